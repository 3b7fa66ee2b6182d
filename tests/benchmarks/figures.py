"""What was measured, and the table that shows it beside its target."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self


@dataclass(frozen=True)
class Figure:
    """One promise and what came of it.

    With `theirs`, the target is a ratio; without, it is a number for `ours` alone. `at_most`
    turns the target from a floor into a ceiling.
    """

    name: str
    ours: float | None
    target: float
    unit: str
    theirs: float | None = None
    ratio: float | None = None
    at_most: bool = False
    note: str = ""

    @classmethod
    def of_rounds(
        cls,
        name: str,
        ours: Sequence[float],
        theirs: Sequence[float],
        target: float,
        unit: str,
        note: str = "",
        *,
        at_most: bool = False,
    ) -> Self:
        """Of both sides in turn: the medians, that of their ratios, and how far rounds differ."""
        return cls(
            name=name,
            ours=median(ours),
            theirs=median(theirs),
            ratio=median(a / b for a, b in zip(ours, theirs, strict=True)),
            target=target,
            unit=unit,
            at_most=at_most,
            note="; ".join(filter(None, (rounds_of(ours, theirs), note))),
        )

    @property
    def reached(self) -> float | None:
        return self.ratio if self.theirs is not None else self.ours

    def verdict(self) -> str:
        if self.reached is None:
            return "not measured: our side is not written yet"
        distance = abs(self.reached / self.target - 1)
        met = self.reached <= self.target if self.at_most else self.reached >= self.target
        return f"{'met, by' if met else 'MISSED by'} {distance:.0%}"

    def line(self) -> str:
        """The figure by itself, as it comes."""
        name, ours, theirs, unit, ratio, target, verdict, note = self.row()
        beside = f" beside {theirs}" if self.theirs is not None else ""
        reached = f"; {ratio}" if self.ratio is not None else ""
        said = f"{name}: {ours}{beside} {unit}{reached}, target {target}: {verdict}"
        return f"{said} ({note})" if note else said

    def row(self) -> list[str]:
        relation = "<=" if self.at_most else ">="
        in_ratio = self.theirs is not None
        return [
            self.name,
            number(self.ours),
            number(self.theirs),
            self.unit,
            f"{self.ratio:.2f}x" if self.ratio is not None else "-",
            f"{relation} {self.target:g}x" if in_ratio else f"{relation} {number(self.target)}",
            self.verdict(),
            self.note,
        ]


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def rounds_of(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How far the ratios of single rounds lie apart."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"rounds {min(ratios):.2f} to {max(ratios):.2f}"


def figures_table(figures: Sequence[Figure]) -> str:
    heads = ["figure", "ours", "theirs", "unit", "ratio", "target", "verdict", "note"]
    return table(heads, [figure.row() for figure in figures], left={0, 3, 6, 7})


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: set[int]) -> str:
    """Plain text in aligned columns; those in `left` stand left, all others right."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]

    def aligned(line: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([aligned(lines[0]), rule, *map(aligned, lines[1:])])
