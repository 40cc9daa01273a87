"""The network that a run on a folder of photos begins with, by what ``init`` names."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.twin import torchvision_state
from bitat_deploy.zoo import training_report, zoo_names

_NETWORK = {
    "architecture": "mobilenet-v1",
    "block": "shortcut",
    "width": 1.0,
    "stem_channels": 32,
    "stem_stride": 2,
    "blocks": [[64, 1], [128, 2], [128, 1], [256, 2], [256, 1], [512, 2], [512, 1]],
}
_TORCHVISION = {
    "architecture": "mobilenet-v2",
    "block": "shortcut",
    "width": 1.0,
    "stem_channels": 32,
    "stem_stride": 2,
    "blocks": [
        [1, 16, 1, 1],
        [6, 24, 2, 2],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ],
}


def starting_network(init: str | None) -> dict[str, Any]:
    """The section ``network`` of a recipe with this ``init``; one of ours without.

    Raises InputError where ``init`` is neither a file nor the name of a network in the zoo.
    """
    if init is None:
        return _NETWORK
    if init in zoo_names():
        report = training_report(init)
        assert report is not None, f"the zoo has no report of {init}"
        # The first reports name neither: there was one architecture then.
        return {"architecture": "mobilenet-v1", "block": "chain", **report["recipe"]["network"]}
    path = Path(init)
    if not path.is_file():
        raise InputError(
            f"init '{init}' is neither a file nor a network in the zoo; the zoo has: "
            f"{', '.join(zoo_names())}"
        )
    if torchvision_state(path) is not None:
        return _TORCHVISION
    return asdict(load_checkpoint(path).recipe.network)
