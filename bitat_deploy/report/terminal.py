"""Reports and tables in a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from bitat_deploy.report.bench_sections import Document, bench_report
from bitat_deploy.report.sections import Banner, Cell, Facts, Report, Table, Tone

# Text, never str: rich would take what a device says for its own markup.
_STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.DOUBTFUL: "yellow",
    Tone.BAD: "bold red",
    Tone.QUIET: "dim",
    Tone.STRONG: "bold",
}

# A table of more columns gets less space between them, to fit into 80 characters.
_WIDE = 6


def terminal_report(document: Document, verbose: bool = False) -> RenderableType:
    """The report on a bench for people at a terminal: what bench prints."""
    return terminal_page(bench_report(document), verbose)


def terminal_page(report: Report, verbose: bool = False) -> RenderableType:
    """The report with its most important facts; with all of them if ``verbose``."""
    parts: list[RenderableType] = [Text(report.title, style="bold"), Text(report.subtitle)]
    if report.banner:
        parts.append(_banner(report.banner))
    if report.figures:
        parts += ["", _figures(report.figures), ""]
    facts = [section for section in report.sections if isinstance(section, Facts)]
    if facts:
        parts.append(_all_facts(facts) if verbose else _brief_facts(facts))
    for section in report.sections:
        if isinstance(section, Table) and not section.pages_only:
            parts += ["", terminal_table(section)]
    if report.more and not verbose:
        parts += ["", Text(report.more, style=_STYLES[Tone.QUIET])]
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


def _all_facts(sections: Sequence[Facts]) -> RenderableType:
    table = _two_columns()
    for section in sections:
        table.add_row(Text(section.title, style="bold"))
        for fact in section.rows:
            table.add_row(Text(f"  {fact.what}"), Text(fact.value, style=_STYLES[fact.tone]))
    return table


def _brief_facts(sections: Sequence[Facts]) -> RenderableType:
    table = _two_columns()
    for fact in (fact for section in sections for fact in section.rows if fact.brief):
        table.add_row(Text(fact.what), Text(fact.value, style=_STYLES[fact.tone]))
    return table


def _two_columns() -> RichTable:
    table = RichTable.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _banner(banner: Banner) -> Panel:
    lines = [banner.sentence, *(f"- {reason}" for reason in banner.reasons)]
    lines += [f"Remedies: {banner.remedy}"] if banner.remedy else []
    text = Text.assemble((banner.title, "bold"), "\n", "\n".join(lines))
    style = _STYLES[banner.tone]
    return Panel(text, border_style=style, style=style, expand=False)


def _text(cell: str | Cell) -> Text:
    return Text(str(cell), style=_STYLES[cell.tone] if isinstance(cell, Cell) else "")
