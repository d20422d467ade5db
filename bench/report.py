"""Results as a table, for the terminal and for the page of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.figures import Figure, Result

HEAD = ("measured", "ours", "floor", "ours against it", "target", "met")
BEGIN, END = "<!-- results: written by python -m bench --write -->", "<!-- end of results -->"


def row(figure: Figure) -> tuple[str, ...]:
    """Return a figure as the cells of :data:`HEAD`."""
    met = {True: "yes", False: "**no**", None: "–"}[figure.met]
    floor = f"{figure.floor_name}: {figure.floor.written(figure.unit)}"
    return (figure.name, figure.ours.written(figure.unit), floor, figure.compared, figure.target, met)


def plain(results: Iterable[Result]) -> str:
    """Return everything for a terminal."""
    lines: list[str] = []
    for result in results:
        rows = [HEAD, *(tuple(cell.replace("**", "") for cell in row(figure)) for figure in result.figures)]
        widths = [max(len(each[column]) for each in rows) for column in range(len(HEAD))]
        lines += ["", result.title, "-" * len(result.title)]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip() for each in rows
        ]
        lines += [f"{'ok' if holds else 'WRONG'}: {what}" for what, holds in result.checks]
        lines += result.notes
        if result.profile:
            lines += ["profile:", result.profile]
    return "\n".join(lines)


def markdown(results: Iterable[Result], head: Sequence[tuple[str, str]]) -> str:
    """Return the section of results."""
    lines = ["| | |", "| --- | --- |", *(f"| {what} | {which} |" for what, which in head), ""]
    for result in results:
        lines += [f"### {result.title}", "", f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
        lines += [f"| {' | '.join(row(figure))} |" for figure in result.figures]
        lines.append("")
        checks = "; ".join(f"{what}: {'yes' if holds else '**NO**'}" for what, holds in result.checks)
        lines += [f"Checked: {checks}.", ""] if checks else []
        lines += [line for note in result.notes for line in (note, "")]
        if result.profile and any(figure.met is False for figure in result.figures):
            lines += ["Profile:", "", "```", result.profile, "```", ""]
    return "\n".join(lines)


def write(path: Path, section: str) -> None:
    """Put the section between the marks of the page."""
    page = path.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{section.rstrip()}\n\n{END}{after}")
