"""Figures as CSV that a spreadsheet opens right, and of which it runs nothing."""

from __future__ import annotations

import re
from decimal import Decimal

from application.figures import Figures, Section, Value

MEDIA_TYPE = "text/csv; charset=utf-8"

MARK = "\ufeff"
"""Says that what follows is UTF-8, to spreadsheets that would take it for something else."""

_RUN = re.compile(r"((?:^|[;|\t\r\n])\s*)(?=[=+\-@＝＋－＠])")
"""Where a spreadsheet would begin to run text, also one that parts columns by something else."""

_QUOTED = re.compile(r'[",\r\n]|^\s|\s$')


def csv_of(section: Section) -> bytes:
    """The rows of a section below the names of its columns, as RFC 4180 has it."""
    names = [column.name for column in section.columns]
    lines = [_line(names), *(_line([cell(value) for value in row]) for row in section.rows)]
    return (MARK + "".join(lines)).encode()


def cell(value: Value) -> str:
    """A figure to the last digit; text that nothing is run of; nothing where there is none."""
    match value:
        case None:
            return ""
        case Decimal():
            return format(value, "f")
        case int():
            return str(value)
        case _:
            return _as_text(value)


def file_name(figures: Figures, section: Section) -> str:
    """`money-by-level-2026-01-01-to-2026-01-31.csv`: of which report, section and days."""
    first, last = figures.span.whole
    return f"{figures.name}-{section.name.replace('_', '-')}-{first}-to-{last}.csv"


def _as_text(text: str) -> str:
    """With an apostrophe before what would be run; a spreadsheet shows the rest as it is."""
    if text[:1] in {"\t", "\r", "\n"}:
        text = f"'{text}"
    return _RUN.sub(r"\1'", text)


def _line(cells: list[str]) -> str:
    return ",".join(map(_quoted, cells)) + "\r\n"


def _quoted(text: str) -> str:
    if not _QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'
