"""The page of all keys of recipes."""

import dataclasses
from pathlib import Path
from typing import Any, get_type_hints

from click.testing import CliRunner

from bitat_deploy.cli.main import cli
from bitat_deploy.training.document_recipes import key_texts, recipe_keys
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.registry import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "recipe-keys.md"


def records(kind: Any) -> list[type]:
    """A dataclass and those inside it."""
    inner = [hint for hint in get_type_hints(kind).values() if dataclasses.is_dataclass(hint)]
    return [kind, *(record for part in inner for record in records(part))]


def test_the_page_is_fresh() -> None:
    """If it is not: bitat-deploy train --keys > docs/recipe-keys.md."""
    printed = CliRunner().invoke(cli, ["train", "--keys"])
    assert printed.exit_code == 0
    assert PAGE.read_text() == printed.output == recipe_keys()


def test_every_key_is_explained() -> None:
    for record in records(Recipe):
        texts = key_texts(record)
        texts.pop("sections", None)
        assert all(texts.values()), (record, texts)
    page = recipe_keys()
    for name in METHODS:
        assert f"- `{name}`: " in page
        for field in dataclasses.fields(METHODS[name]):
            assert f"`{field.name}`" in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert all(len(row.replace("\\|", "").split("|")) == 6 for row in rows)
    assert not any(row.endswith("|  |") for row in rows)
