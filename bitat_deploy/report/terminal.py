"""Reports and tables in a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from bitat_deploy.report.bench_sections import Document, bench_report
from bitat_deploy.report.sections import Banner, Cell, Facts, Table, Tone

# Text, never str: rich would take what a device says for its own markup.
_STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.DOUBTFUL: "yellow",
    Tone.BAD: "bold red",
    Tone.QUIET: "dim",
}

# A table of more columns gets less space between them, to fit into 80 characters.
_WIDE = 6


def terminal_report(document: Document) -> RenderableType:
    """The report for people at a terminal: what bench prints."""
    report = bench_report(document)
    parts: list[RenderableType] = [Text(report.title, style="bold"), Text(report.subtitle)]
    if report.banner:
        parts.append(_banner(report.banner))
    parts += ["", _figures(report.figures), ""]
    parts.append(_facts([section for section in report.sections if isinstance(section, Facts)]))
    for section in report.sections:
        if isinstance(section, Table) and not section.pages_only:
            parts += ["", terminal_table(section)]
    return Group(*parts)


def terminal_table(section: Table) -> RenderableType:
    """A table with its title above and its notes below."""
    shown = [index for index, column in enumerate(section.columns) if not column.pages_only]
    table = RichTable(
        title=Text(section.title) if section.title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0 if len(shown) > _WIDE else (0, 1),
        pad_edge=False,
        show_edge=False,
    )
    for column in (section.columns[index] for index in shown):
        table.add_column(
            Text(column.name),
            justify="right" if column.number else "left",
            overflow="fold" if column.fold else "ellipsis",
            no_wrap=not column.fold,
            min_width=min(len(column.name), 9),
        )
    for row in section.rows:
        table.add_row(*(_text(row[index]) for index in shown))
    return Group(table, *map(_text, section.notes))


def _figures(figures: Sequence[tuple[str, str]]) -> RenderableType:
    table = RichTable.grid(padding=(0, 3))
    table.add_row(*(Text(value, style="bold") for value, _ in figures))
    table.add_row(*(Text(what) for _, what in figures))
    return table


def _facts(sections: Sequence[Facts]) -> RenderableType:
    table = RichTable.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for section in sections:
        table.add_row(Text(section.title, style="bold"))
        for what, value in section.rows:
            table.add_row(Text(f"  {what}"), Text(value))
    return table


def _banner(banner: Banner) -> Panel:
    lines = [banner.sentence, *(f"- {reason}" for reason in banner.reasons)]
    lines += [f"Remedies: {banner.remedy}"] if banner.remedy else []
    text = Text.assemble((banner.title, "bold"), "\n", "\n".join(lines))
    style = _STYLES[banner.tone]
    return Panel(text, border_style=style, style=style, expand=False)


def _text(cell: str | Cell) -> Text:
    return Text(str(cell), style=_STYLES[cell.tone] if isinstance(cell, Cell) else "")
