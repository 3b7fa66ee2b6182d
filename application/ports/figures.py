"""The figures that a club is run by, as channels ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

from application.figures import By, Figures, Overview

MONEY_SUMS = ("asked", "settled", "refunded", "twice", "returned")
"""The amounts in the answer about money, behind the period and the access level, in order."""

MONEY_COUNTS = (
    "asked_payments",
    "settled_payments",
    "refunded_payments",
    "collected_twice",
    "returned_payments",
    "without_amount",
    "seconds",
    "within_hour",
    "within_day",
    "within_week",
    "later",
)
"""What is counted, behind those; `seconds` are what all settled payments took together."""


class Wanted(NamedTuple):
    """Which days, of the club's time zone, in which periods; each may be left open."""

    first: date | None = None
    last: date | None = None
    by: By | None = None


class FiguresStopped(Exception):
    """The figures cannot be brought up to now; the first line of the message says why."""


class FiguresOfClub(Protocol):
    """Answers from the report tables; each says up to where in the ledger it holds."""

    async def figures(self, name: str, wanted: Wanted) -> Figures:
        """One report: `clients`, `cohorts`, `money`, `trainings` or `plans`.

        Raises Invalid for a span that ends before it starts, or has more periods than are shown.
        """
        ...

    async def overview(self, wanted: Wanted) -> Overview:
        """All of them, and the figures that matter first; raises Invalid as `figures` does."""
        ...


class FigureRows(Protocol):
    """The tables of figures: rows of plain values, which mean something to who asks for them."""

    async def look(
        self, asked: Sequence[tuple[str, Sequence[str], Sequence[str]]]
    ) -> Mapping[str, Any]:
        """The answers to some questions, each about periods between moments, or days.

        That is `answers`, each as rows; `position` and `as_of`, up to which they hold; and
        `anything`, whether anything was counted by the end of the first question's periods.
        """
        ...
