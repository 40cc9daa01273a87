"""A table of the recipes in the package, with cost and accuracy."""

from typing import Any

import torch
from rich.table import Table

from bitat_deploy.datasets import dataset_shape
from bitat_deploy.errors import InputError
from bitat_deploy.training.cost import network_cost
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.recipe import (
    Recipe,
    load_recipe,
    recipe_directory,
    recipe_from_mapping,
    recipe_names,
)
from bitat_deploy.zoo import training_report

_SIZE, _CLASSES = 224, 1000  # for folders of images, whose size and classes are the user's


def recipe_table() -> Table:
    """A row for each recipe: method, bits, cost, and the accuracy of the zoo's network."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is")
    table.caption = (
        f"They lie in {recipe_directory()}; --show NAME prints one, and --recipe takes a changed "
        "copy, FILE.yaml."
    )
    table.caption_justify = "left"
    for name in recipe_names():
        recipe = load_recipe(name)
        facts = [
            f"{recipe.method} {bits_text(recipe)}",
            f"million MACs of an image: {cost_text(recipe_cost(recipe))}",
            f"top-1 {_accuracy_text(recipe)}",
        ]
        table.add_row(name, f"{recipe.description}\n[dim]{'; '.join(facts)}[/dim]")
    return table


def bits_text(recipe: Recipe) -> str:
    """W1A1 and the like, or 32 for full precision."""
    if not recipe.sections.quantizes:
        return "32"
    quantization = recipe.quantization
    bits = sorted({quantization.weight_bits, *quantization.layer_bits.values()})
    return f"W{'/'.join(map(str, bits))}A{quantization.activation_bits}"


def recipe_cost(recipe: Recipe) -> dict[str, int]:
    """:func:`network_cost` of a recipe; images of unknown size are taken to have 224 pixels."""
    size = recipe.data.image_size or _SIZE
    shape, classes = dataset_shape(recipe.dataset, recipe.data.image_size) or (
        (size, size, 3),
        _CLASSES,
    )
    with torch.device("meta"):  # shapes alone: nothing is computed
        network = build_network(recipe.network, recipe.quantization, shape, classes)
        return network_cost(network)


def cost_text(cost: dict[str, int]) -> str:
    """Millions of multiply-accumulates by their bits."""
    kinds = sorted((kind, count) for kind, count in cost.items() if kind != "weight_bits")
    return ", ".join(f"{kind} {count / 1e6:.2f}" for kind, count in kinds)


def _accuracy_text(recipe: Recipe) -> str:
    report = training_report(recipe.name)
    if report is None:
        return "not measured"
    whose = "the zoo's"
    if not _of_recipe(report["recipe"], recipe):
        whose = "the zoo's, trained with an earlier form of this recipe"
    return f"{100 * report['accuracy']['top1']:.2f} % ({whose})"


def _of_recipe(trained: dict[str, Any], recipe: Recipe) -> bool:
    """Whether the values in a report are those of ``recipe`` as it is now."""
    # Streams were not normalized before recipes said whether they are.
    network = {"normalized_stream": False, **trained["network"]}
    try:
        return recipe_from_mapping({**trained, "network": network}) == recipe
    except InputError:  # of keys that recipes no longer have
        return False
