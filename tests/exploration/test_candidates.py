"""The candidates file, and which combinations make sense."""

from dataclasses import replace
from pathlib import Path

import pytest

from bitat_deploy.errors import InputError
from bitat_deploy.exploration.candidates import (
    Bits,
    Candidate,
    Shape,
    combinations,
    load_space,
    plain,
)
from bitat_deploy.exploration.recipes import Images, candidate_recipe, twin_recipe
from bitat_deploy.training import recipe_from_mapping
from tests.exploration.pictures import CANDIDATES, write_candidates


def test_all_of_ours_can_be_trained() -> None:
    space = load_space(None)
    candidates, left_out = combinations(space)
    images = Images(space.training, 20)
    assert {one.series for one in candidates} >= {"W1A1", "W1A2", "W2A2", "W4A4", "W8A8", "float"}
    assert len({one.name for one in candidates}) == len(candidates)
    for one in candidates:
        recipe = recipe_from_mapping(candidate_recipe(one, images, 8, Path("twin.pt")))
        twin = recipe_from_mapping(twin_recipe(one, images, 8))
        assert recipe.network == twin.network
        assert recipe.data == twin.data
        assert recipe.data.test_images == 0
    assert any("ReActNet" in reason for reason in left_out.values())


@pytest.mark.parametrize(
    ("architecture", "blocks"),
    [
        ("mobilenet-v1", ((64, 1), (128, 2), (256, 2))),
        ("mobilenet-v2", ((6, 64, 1, 1), (1, 128, 3, 2), (6, 256, 1, 2))),
    ],
)
def test_blocks_are_read_as_their_architecture_says(
    architecture: str, blocks: tuple[tuple[int, ...], ...]
) -> None:
    one = Candidate("one", Shape(architecture, "shortcut", 32, blocks), 0.5, 96, None)
    assert list(one.channels) == [16, 32, 64, 128]
    assert one.reduction == 8
    assert (plain(one)["weight_bits"], plain(one)["activation_bits"]) == (32, 32)
    few = plain(replace(one, bits=Bits(1, 2)))
    assert (few["weight_bits"], few["activation_bits"], few["series"]) == (1, 2, "W1A2")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("widths: [1.0]", "widths: [0.25]", "fewer than 8 channels"),
        ("image_sizes: [16]", "image_sizes: [8]", None),
        ("blocks: [[32, 2]]", "blocks: [[32, 2], [32, 2], [32, 2]]", "less than 2 x 2 positions"),
        (
            "{weights: 2, activations: 2}",
            "{weights: 2, activations: 1}",
            "more bits in its weights",
        ),
        ("{weights: 2, activations: 2}", "{weights: 4, activations: 8}", "8 bits in weights and"),
        ("block: shortcut", "block: reactnet", "made for signs"),
    ],
)
def test_nonsense_is_left_out(old: str, new: str, reason: str | None, tmp_path: Path) -> None:
    assert old in CANDIDATES
    file = write_candidates(tmp_path / "candidates.yaml", CANDIDATES.replace(old, new))
    candidates, left_out = combinations(load_space(file))
    reasons = " ".join(left_out.values())
    assert (reason in reasons) if reason else not reasons
    assert len(candidates) + len(left_out) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("widths:", "breadths:", "candidates has unknown keys: breadths; missing keys: widths"),
        ("weights: 2", "weights: 5", r"bits\[1\]\.weights must be 1, 2, 3, 4 or 8, not 5"),
        ("widths: [1.0]", "widths: []", "widths is empty"),
        ("weights: 1, activations: 1", "weights: 2, activations: 2", "two entries have the same"),
        ("epochs: 4", "epochs: 3", "epochs must be at least 4"),
        ("widths: [1.0]", "widths: [.nan]", "widths must be above 0 and at most 64"),
        ("widths: [1.0]", "widths: [1e308]", "widths must be above 0 and at most 64"),
        ("widths: [1.0]", "widths: [1.0, 1.0]", "widths: two are the same"),
        ("[32, 2]", "[32]", "blocks must hold lists of numbers"),
        ("[32, 2]", "[32, 2, 1]", "as a recipe has them: channels, stride"),
        ("mobilenet-v1", "toaster", "architecture must be one of mobilenet-v1, mobilenet-v2"),
        ("[32, 2]", "[32, 0]", "must hold numbers from 1 to 65,536"),
    ],
)
def test_a_wrong_file_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in CANDIDATES
    file = write_candidates(tmp_path / "candidates.yaml", CANDIDATES.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_space(file)
