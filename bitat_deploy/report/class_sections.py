"""How the classes fared: accuracy of each, confusion, and examples of wrong answers."""

from collections.abc import Mapping
from typing import Any

from bitat_deploy.report.formatting import percentage
from bitat_deploy.report.sections import Column, Gallery, Matrix, Section, Table

# A matrix of more classes cannot be read; then only the classes with most mistakes are listed.
_MATRIX_CLASSES = 30


def class_sections(document: Mapping[str, Any], pictures: Mapping[int, bytes]) -> list[Section]:
    """``pictures`` are contents of picture files by the index of their image."""
    accuracy = document["accuracy"]
    names, confusion = accuracy.get("class_names", ()), accuracy.get("confusion", ())
    if not names or not confusion:
        return []
    examples = _examples(accuracy.get("mistakes", ()), names, pictures)
    return [*_fared(names, confusion), *([examples] if examples else [])]


def _fared(names: Any, confusion: Any) -> list[Section]:
    fared = []
    for index, (name, counts) in enumerate(zip(names, confusion, strict=True)):
        wrong = [(count, i) for i, count in enumerate(counts) if i != index and count]
        most = max(wrong, default=None)
        other = f"{names[most[1]]} ({most[0]})" if most else ""
        images = sum(counts)
        share = counts[index] / images if images else 0.0
        fared.append((share, (name, f"{images:,}", percentage(share), other)))
    title, readable = "Accuracy of each class", len(names) <= _MATRIX_CLASSES
    if not readable:
        title = f"{title}, the {_MATRIX_CLASSES} worst of {len(names)}"
        fared = sorted(fared, key=lambda entry: entry[0])[:_MATRIX_CLASSES]
    columns = [
        Column("class", fold=True),
        Column("images", number=True, pages_only=True),
        Column("accuracy", number=True, bars=tuple(share for share, _ in fared)),
        Column("most often mistaken for", fold=True),
    ]
    table = Table(title, columns, [row for _, row in fared], pages_only=True)
    return [table, Matrix("Confusion matrix", names, confusion)] if readable else [table]


def _examples(mistakes: Any, names: Any, pictures: Mapping[int, bytes]) -> Gallery | None:
    shown = [
        (
            pictures[mistake["image"]],
            f"{mistake.get('file') or 'image {}'.format(mistake['image'])}: "
            f"{names[mistake['label']]}, taken for {names[mistake['prediction']]}",
        )
        for mistake in mistakes
        if mistake["image"] in pictures
    ]
    note = "The wrong answers that the network was surest of: by how far the wrong logit leads."
    return Gallery("Examples of wrong answers", shown, [note]) if shown else None
