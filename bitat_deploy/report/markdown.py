"""A report as Markdown, for an issue, a wiki or a commit message."""

from collections.abc import Iterable, Sequence

from bitat_deploy.report.bench_sections import Document, bench_report
from bitat_deploy.report.sections import Banner, Cell, Column, Facts, Report, Table, Tone

_FACTS = (Column("what"), Column("value"))


def markdown_report(document: Document) -> str:
    """The report on a bench in GitHub's dialect."""
    return markdown_page(bench_report(document))


def markdown_page(report: Report) -> str:
    """The report in GitHub's dialect; without its pictures."""
    parts = [f"# {_text(report.title)}", _text(report.subtitle)]
    if report.banner:
        parts.append(_banner(report.banner))
    if report.figures:
        figures = [f"**{_text(value)}** {_text(what)}" for value, what in report.figures]
        parts.append(" · ".join(figures))
    for section in report.sections:
        if isinstance(section, Facts):
            rows = [(fact.what, fact.value) for fact in section.rows]
            parts += [f"## {_text(section.title)}", _table(_FACTS, rows)]
        elif isinstance(section, Table):
            parts += [f"## {_text(section.title)}", _table(section.columns, section.rows)]
            parts += map(_text, section.notes)
    return "\n\n".join(parts) + "\n"


def _banner(banner: Banner) -> str:
    lines = [f"**{banner.title}.** {_text(banner.sentence)}", ""]
    lines += [f"- {_text(reason)}" for reason in banner.reasons]
    lines += ["", f"Remedies: {_text(banner.remedy)}"] if banner.remedy else []
    return "\n".join(f"> {line}".rstrip() for line in lines).removesuffix("\n>")


def _table(columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]]) -> str:
    header = [_text(column.name) for column in columns]
    rules = ["---:" if column.number else "---" for column in columns]
    lines = [header, rules, *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: str | Cell) -> str:
    """Text that neither Markdown nor HTML interprets."""
    text = str(cell)
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    strong = isinstance(cell, Cell) and cell.tone is Tone.STRONG and text
    return f"**{text}**" if strong else text
