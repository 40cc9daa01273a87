"""A comparison of recipes: its runs, their order, and each run's recipe.

A comparison is one YAML file with the keys ``title``, ``text``, ``effort``, ``base`` (a recipe's
values), ``parts`` (values by name; those of a part's own ``part`` come first), ``tables``
(``title``, ``seeds``, ``rows``), and optionally ``tuning``, ``budgets`` and ``findings`` (a text on
what the tables show). A row has a ``name``, a ``title``, optionally a ``part``, values of its own
in ``set``, and a ``twin``: the row whose run of the same seed is its full-precision twin. A row in
several tables is run once. With ``static_int8`` nothing is trained: ONNX Runtime quantizes the twin
to 8 bits.

With ``rows_of`` in place of ``parts`` and ``tables``, those of the comparison of that name are
taken, less the rows in ``without``, with ``seeds``, and with ``changes`` to the values of rows.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.plain_values import build_record
from bitat_deploy.training import CHECKPOINT_NAME, Recipe, recipe_from_mapping
from bitat_deploy.yaml_file import read_yaml


@dataclass(frozen=True)
class Row:
    """One line of a table; see the module."""

    name: str
    title: str
    twin: str | None = None
    part: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    static_int8: bool = False


@dataclass(frozen=True)
class Table:
    """Rows that are to be compared with each other, each run with every one of ``seeds``."""

    title: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Tuning:
    """Short runs from which each row's learning rate was chosen, by validation images.

    ``rates`` by the rows' names: each is tried as the highest rate of the row's stages, of which
    the others keep their proportion. ``epochs`` is the fraction of each stage's that is trained.
    """

    seed: int
    epochs: float
    rates: dict[str, list[float]]


@dataclass(frozen=True)
class Amount:
    """So many training images (None: all), and passes through them, as numbers of epochs."""

    epochs: tuple[float, ...]
    images: int | None = None


@dataclass(frozen=True)
class Budgets:
    """What rows, by their names, reach with less: fewer steps, fewer images.

    The epochs are those of all of a row's stages together, which keep their proportion. The twin
    is the one of all images. ``validation_images`` are held out where images are few. ``leads``
    are pairs of rows whose difference is shown.
    """

    seeds: tuple[int, ...]
    rows: tuple[str, ...]
    amounts: tuple[Amount, ...]
    validation_images: int = 300
    leads: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All tables on one network and data set.

    ``archived``: made with an earlier version of training. Its reports are shown, not made again.
    """

    name: str
    title: str
    text: str
    effort: str
    base: dict[str, Any]
    tables: tuple[Table, ...]
    parts: dict[str, Any] = field(default_factory=dict)
    tuning: Tuning | None = None
    budgets: Budgets | None = None
    findings: str = ""
    archived: bool = False

    def runs(self) -> list["Run"]:
        """All runs: those of the tuning first, then a seed after the other, last the budgets;
        twins before those that begin with them."""
        runs: dict[str, Run] = {}

        def add(row: Row, seed: int, rate: float | None = None) -> None:
            if row.twin is not None:
                add(self.row(row.twin), seed)
            run = self.run(row, seed, rate)
            runs.setdefault(run.name, run)

        if self.tuning is not None:
            for name, rates in self.tuning.rates.items():
                for rate in rates:
                    add(self.row(name), self.tuning.seed, rate)
        for seed in sorted({seed for table in self.tables for seed in table.seeds}):
            for table in self.tables:
                for row in table.rows if seed in table.seeds else ():
                    add(row, seed)
        for run in self._budget_runs():
            runs.setdefault(run.name, run)
        return list(runs.values())

    def _budget_runs(self) -> Iterator["Run"]:
        if self.budgets is None:
            return
        for seed in self.budgets.seeds:
            for amount in self.budgets.amounts:
                for epochs in amount.epochs:
                    for name in self.budgets.rows:
                        yield self.budget_run(self.row(name), seed, amount.images, epochs)

    def budget_run(self, row: Row, seed: int, images: int | None, epochs: float) -> "Run":
        """The run of a row that sees so many images for so many epochs."""
        assert self.budgets is not None
        whole = self.run(row, seed)
        values = copy.deepcopy(whole.values)
        _shorten(values, 1.0, epochs / sum(stage["epochs"] for stage in _stages(values)))
        if images is not None:
            held = self.budgets.validation_images
            values["data"] |= {"train_images": images + held, "validation_images": held}
        name = f"{self.name}-{row.name}-{images or 'all'}-images-{epochs:g}-epochs-seed{seed}"
        return Run(name, whole.twin, values)

    def run(self, row: Row, seed: int, rate: float | None = None) -> "Run":
        """The run of a row with a seed; with ``rate`` the short one of the tuning."""
        twin = None if row.twin is None else self._name(self.row(row.twin), seed)
        values = self._values(self.row(row.twin) if row.twin and row.static_int8 else row, seed)
        name = self._name(row, seed)
        if rate is not None and self.tuning is not None:
            name += f"-rate{rate:g}"
            _shorten(values, rate / highest_rate(values), self.tuning.epochs)
        return Run(name, twin, values, self.archived, row.static_int8)

    def _name(self, row: Row, seed: int) -> str:
        return f"{self.name}-{row.name}-seed{seed}"

    def row(self, name: str) -> Row:
        """The row of that name. Raises InputError where there is none."""
        for table in self.tables:
            for row in table.rows:
                if row.name == name:
                    return row
        raise InputError(f"comparison '{self.name}': there is no row '{name}'")

    def _values(self, row: Row, seed: int) -> dict[str, Any]:
        values = copy.deepcopy(self.base)
        if row.part is not None:
            merge(values, self._part(row.part))
        merge(values, row.set)
        return {**values, "seed": seed}

    def _part(self, name: str) -> dict[str, Any]:
        """The values of a part, after those of the one that it names."""
        if name not in self.parts:
            raise InputError(f"comparison '{self.name}': there is no part '{name}'")
        own = dict(self.parts[name])
        values = self._part(own.pop("part")) if "part" in own else {}
        merge(values, own)
        return values


def highest_rate(values: dict[str, Any]) -> float:
    """The highest learning rate of a recipe's stages."""
    return max(section["learning_rate"] for section in _stages(values))


def _shorten(values: dict[str, Any], rates: float, epochs: float) -> None:
    """Multiply all learning rates and numbers of epochs."""
    for section in _stages(values):
        for key in section:
            factor = rates if key == "learning_rate" else epochs
            if key == "learning_rate" or key.endswith("epochs"):
                section[key] = float(f"{section[key] * factor:.6g}")


def _stages(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The sections of a recipe's stages: those with a learning rate."""
    sections = (section for section in values.values() if isinstance(section, dict))
    return [section for section in sections if "learning_rate" in section]


@dataclass(frozen=True)
class Run:
    """One training run: ``name`` is that of its folder and report, ``twin`` another run's.

    ``archived``: its report was made by an earlier version of training. ``static_int8``: the
    recipe is the twin's.
    """

    name: str
    twin: str | None
    values: dict[str, Any]
    archived: bool = False
    static_int8: bool = False

    def recipe(self, folder: Path) -> Recipe:
        """The recipe, where all runs are in ``folder``."""
        values = {"name": self.name, **self.values}
        if self.twin is not None and not self.static_int8:
            values["init"] = str(folder / self.twin / CHECKPOINT_NAME)
        return recipe_from_mapping(values)


def load_comparison(path: Path) -> Comparison:
    """Read a comparison and check all of its recipes. Raises InputError."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"comparison '{path}' is not a mapping of keys to values")
    if "rows_of" in values:
        values = _with_rows_of(path.with_name(f"{values['rows_of']}.yaml"), values)
    comparison: Comparison = build_record(Comparison, {"name": path.stem, **values}, path.stem)
    for run in comparison.runs():
        run.recipe(Path("runs"))
    return comparison


_OF_ROWS = ("rows_of", "without", "seeds", "changes")


def _with_rows_of(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with parts and tables of the comparison at ``path``."""
    other = read_yaml(path)
    seeds, without, changes = (values.get(key) for key in ("seeds", "without", "changes"))
    tables = copy.deepcopy(other["tables"])
    for table in tables:
        table["seeds"] = seeds or table["seeds"]
        table["rows"] = [row for row in table["rows"] if row["name"] not in (without or ())]
        for row in table["rows"]:
            merge(row, {"set": (changes or {}).get(row["name"], {})})
    own = {key: values[key] for key in values if key not in _OF_ROWS}
    return {"parts": other.get("parts", {}), "tables": tables, **own}


def merge(values: dict[str, Any], changes: dict[str, Any]) -> None:
    """Set ``changes`` in ``values``, mapping by mapping."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            merge(values[key], value)
        else:
            values[key] = copy.deepcopy(value)


def report_of(run: Run, reports: Path) -> dict[str, Any] | None:
    """The kept report of a run, None where it has not been run, or with another recipe."""
    path = reports / f"{run.name}.json"
    if not path.is_file():
        return None
    try:
        report: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"'{path}' is damaged; remove it and run the comparison again") from error
    # Where the twin's checkpoint lay does not matter.
    plain = json.loads(json.dumps(run.recipe(Path("runs")).plain()))
    then = report["recipe"]
    if run.archived:  # keys that came later say nothing about it
        plain = _known(plain, then)
    same = all(then.get(key) == value for key, value in plain.items() if key != "init")
    return report if same else None


def _known(values: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """``values`` without what is not in ``keys``, mapping by mapping."""
    return {
        key: _known(value, keys[key])
        if isinstance(value, dict) and isinstance(keys[key], dict)
        else value
        for key, value in values.items()
        if key in keys
    }
