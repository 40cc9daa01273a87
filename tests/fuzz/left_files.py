"""The readers of files that training, exploring and tuning leave or take: see ``parsers.py``."""

import json
import math
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import numpy as np
from rich.console import Console

from bitat_deploy.api.class_names import read_class_names
from bitat_deploy.baseline.trained_twin import trained_twins
from bitat_deploy.datasets import decoded
from bitat_deploy.errors import InputError
from bitat_deploy.exploration import exploration_report, read_exploration, recommendation
from bitat_deploy.exploration.candidates import combinations, load_space
from bitat_deploy.exploration.costing import within_budget
from bitat_deploy.exploration.costs import Budget, Cost, CostFile, Timing
from bitat_deploy.exploration.halving import cell_of
from bitat_deploy.exploration.plan import Plan, PlanFile, affordable
from bitat_deploy.exploration.work import Score, read_score
from bitat_deploy.network import Preprocessing, class_names_of, preprocessing_of
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.records import Records
from bitat_deploy.records.files import parse_records
from bitat_deploy.report import html_page, markdown_page, terminal_page
from bitat_deploy.target import load_target
from bitat_deploy.training import load_recipe
from bitat_deploy.training.recipe import recipe_directory, recipe_text
from tests.exploration.documents import CANDIDATE, exploration
from tests.exploration.pictures import CANDIDATES

_SHAPE = (28, 28, 3)
_RPI4 = load_target("rpi4")
_ENTRY = decoded.Entry(("folder",), "0" * 16)


def preprocessing_seeds() -> list[bytes]:
    """The metadata of an ONNX file: what is done to a picture, and names of classes."""
    own = Preprocessing("stretch", "bilinear", None, "bgr", 1.0, (1.0, 2.0, 3.0), (0.5,))
    records = (own, Preprocessing(resized_to=(32, 40), assumed=True))
    return [
        json.dumps({"preprocessing": record.to_text(), "class_names": '["a", "b"]'}).encode()
        for record in records
    ] + [b'{"cropped_from": "40", "class_names": "a,b"}']


def read_preprocessing(content: bytes, folder: Path) -> None:
    """That it can be told, written and read again; as metadata, which is text."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError("no metadata") from error
    if not isinstance(document, dict):
        raise InputError("no metadata")
    metadata = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in document.items()
    }
    record, rest = preprocessing_of(metadata)
    names = class_names_of(rest.pop("class_names", ""))
    assert all(name.isprintable() for name in names)
    record.check(_SHAPE)
    assert foreign_text(record.describe(_SHAPE), 10_000)
    assert Preprocessing.from_text(record.to_text()) == record
    assert all(map(math.isfinite, (record.scale, *record.mean, *record.std)))


def class_seeds() -> list[bytes]:
    """A list of classes."""
    return ["cat\ndog\nWeißstorch\n".encode(), b"\xef\xbb\xbfa\r\nb\r\n\r\n"]


def read_classes(content: bytes, folder: Path) -> None:
    """That each is one line."""
    (folder / "classes.txt").write_bytes(content)
    assert all(name and name.isprintable() for name in read_class_names(folder / "classes.txt"))


def recipe_seeds() -> list[bytes]:
    """Ours, and what ``train`` leaves of a folder of photos, with all its keys."""
    names = ("fashion-mnist-mobilenet", "traffic-signs-w1a2")
    own = [(recipe_directory() / f"{name}.yaml").read_bytes() for name in names]
    return [*own, recipe_text(load_recipe(names[1]), ["why so"]).encode()]


def read_recipe(content: bytes, folder: Path) -> None:
    """That it means the same when it is written and read again."""
    (folder / "recipe.yaml").write_bytes(content)
    recipe = load_recipe(str(folder / "recipe.yaml"))
    assert foreign_text(recipe.name) == recipe.name and Path(recipe.name).name == recipe.name
    (folder / "again.yaml").write_text(recipe_text(recipe))
    assert load_recipe(str(folder / "again.yaml")) == recipe


def candidate_seeds() -> list[bytes]:
    """Candidates of an exploration."""
    return [CANDIDATES.encode()]


def read_candidates(content: bytes, folder: Path) -> None:
    """That each has a name which can be a folder's."""
    (folder / "candidates.yaml").write_bytes(content)
    kept, left_out = combinations(load_space(folder / "candidates.yaml"))
    for name in [*(one.name for one in kept), *left_out]:
        assert Path(name).name == name and name.isprintable()


def exploration_seeds() -> list[bytes]:
    """A report of explore, modelled, and measured beside another runtime."""
    measured = exploration() | {"modelled": False, "doubts": ["it is hot"], "emulated": True}
    measured["networks"][1]["others"] = {
        "int8, ONNX Runtime": {"milliseconds": 1.9, "interval": [1.8, 2.0]}
    }
    return [json.dumps(document).encode() for document in (exploration(), measured)]


def read_explored(content: bytes, folder: Path) -> None:
    """That it can be shown."""
    (folder / "report.json").write_bytes(content)
    document = read_exploration(folder / "report.json")
    recommendation(document)
    report = exploration_report(document)
    html_page(report)
    markdown_page(report)
    with StringIO() as terminal:
        Console(file=terminal).print(terminal_page(report))


def cost_seeds() -> list[bytes]:
    """What candidates cost."""
    timing = Timing(1.5, (1.0, 2.0))
    cost = Cost("board", timing, 5, 6, others={"int8": Timing(3.0)}, doubts=("hot",))
    return [json.dumps({CANDIDATE.name: asdict(cost)}).encode()]


def read_costs(content: bytes, folder: Path) -> None:
    """That they can be compared with a budget, and sorted by powers of 2."""
    (folder / "costs.json").write_bytes(content)
    file = CostFile(folder / "costs.json")
    for cost in file.costs.values():
        cell_of(CANDIDATE, cost)
        within_budget([CANDIDATE], {CANDIDATE.name: cost}, Budget())
    file.add("another", Cost("board"))


def plan_seeds() -> list[bytes]:
    """An exploration's plan."""
    return [json.dumps(asdict(Plan("subject", "owner", 4, 8, 90.5, "rpi4"))).encode()]


def read_plan(content: bytes, folder: Path) -> None:
    """That time and epochs go on from it."""
    (folder / "plan.json").write_bytes(content)
    plan = PlanFile(folder / "plan.json", "subject").value
    assert affordable(40, 1e4 - plan.seconds, 1.0) >= 4 and min(plan.epochs, plan.twin_epochs) >= 0


def score_seeds() -> list[bytes]:
    """How many images a run answered rightly."""
    return [b'{"right": 3, "images": 4}']


def read_validation(content: bytes, folder: Path) -> None:
    """That it is a share of 1."""
    (folder / "validation.json").write_bytes(content)
    score: Score = read_score(folder / "validation.json")
    assert 0 <= score.accuracy <= 1


def twin_seeds() -> list[bytes]:
    """Reports of training in float32 and in 8 bits."""
    eight_bit = {"method": "uniq", "quantization": {"weight_bits": 8, "activation_bits": 8}}
    recipes: tuple[dict[str, object], ...] = ({"method": "full-precision"}, eight_bit)
    return [
        json.dumps(
            {
                "recipe": {"name": "run", "dataset": "fashion-mnist", **recipe},
                "accuracy": {"top1": 0.9},
            }
        ).encode()
        for recipe in recipes
    ]


def read_twin(content: bytes, folder: Path) -> None:
    """That its accuracy is one, and its name can be shown."""
    (folder / "report.json").write_bytes(content)
    for twin in trained_twins([folder], "fashion-mnist").values():
        assert 0 <= twin.top1 <= 1 and foreign_text(twin.run) == twin.run


def record_seeds() -> list[bytes]:
    """Tuning records: the first of those that ship."""
    path = Path(__file__).parents[2] / "targets" / "records" / "rpi4.jsonl"
    return [line for line in path.read_bytes().splitlines(keepends=True)[:3]]


def read_record_file(content: bytes, folder: Path) -> None:
    """That the best can be chosen among them."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InputError("no text") from error
    records = parse_records(text if text.endswith("\n") else text + "\n", "records", _RPI4)
    Records(records).workloads()
    for record in records:
        assert record.outcome != "ok" or 0 < record.ratio < math.inf
        assert parse_records(record.to_line(), "again", _RPI4) in ([record], [])


def decoded_seeds() -> list[bytes]:
    """What is kept beside decoded images."""
    facts = {"shape": [2, 4, 4, 3], "class_names": ["a", "b"], "files": ["a/1.png", "b/2.png"]}
    return [json.dumps(facts).encode()]


def read_decoded(content: bytes, folder: Path) -> None:
    """That there is a label, a name and an image for each; else it is decoded again."""
    entry = folder / _ENTRY.path.name
    entry.mkdir()
    (entry / "facts.json").write_bytes(content)
    (entry / "images.bin").write_bytes(bytes(96))
    np.save(entry / "labels.npy", np.array([0, 1]))
    with patch.object(decoded, "_folder", lambda: folder):
        found = decoded.find_decoded(_ENTRY)
    if found is None:
        raise InputError("damaged")
    assert len(found.images) == len(found.labels) == len(found.files)
    assert max(found.labels) < len(found.class_names) and found.images.ndim == 4
