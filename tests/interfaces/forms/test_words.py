"""Figures in words: what changed is said with a sign and a word."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from application.figures import Headline, Period, Unit, Value
from interfaces.forms.words import change, days, moment, said, shortly


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1234567, Unit.COUNT, "1,234,567"),
        (Decimal("-1234.5"), Unit.MONEY, "−1,234.50"),
        (0, Unit.MONEY, "0.00"),
        (Decimal("0.0312"), Unit.SHARE, "3.12 %"),
        (Decimal("5.25"), Unit.HOURS, "5.25 h"),
        (Decimal("1.50"), Unit.RATIO, "1.50"),
        ("2026-03-01", Unit.DAY, "1 Mar 2026"),
        ("2026-03", Unit.DAY, "2026-03"),
        ("DAY_PASS", Unit.NAME, "Day pass"),
        ("=1+1", Unit.TEXT, "=1+1"),
        (None, Unit.MONEY, "–"),
    ],
)
def test_a_figure_is_said_in_full(value: Value, unit: Unit, words: str) -> None:
    assert said(value, unit) == words


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0, Unit.COUNT, "0"),
        (1500.0, Unit.MONEY, "1,500"),
        (-2.5e6, Unit.MONEY, "−2.5 M"),
        (1e30, Unit.COUNT, "1,000,000,000,000,000,000 T"),
        (0.05, Unit.SHARE, "5 %"),
        (0.001, Unit.SHARE, "0.1 %"),
    ],
)
def test_a_mark_of_an_axis_is_short(value: float, unit: Unit, words: str) -> None:
    assert shortly(value, unit) == words


@pytest.mark.parametrize(
    ("unit", "now", "before", "words"),
    [
        (Unit.COUNT, 150, 120, "▲ +30 (25 %) more"),
        (Unit.COUNT, 2, 3, "▼ −1 (33.3 %) less"),
        (Unit.COUNT, 3, 3, "= as before"),
        (Unit.COUNT, 3, 0, "▲ +3 more"),
        (Unit.MONEY, Decimal("-10.00"), Decimal("-20.00"), "▲ +10.00 (50 %) more"),
        (Unit.SHARE, Decimal("0.02"), Decimal("0.05"), "▼ −3.00 points less"),
        (Unit.COUNT, None, 3, "nothing to compare"),
        (Unit.COUNT, 3, None, "nothing to compare"),
    ],
)
def test_a_change_has_a_sign_and_a_word(unit: Unit, now: Value, before: Value, words: str) -> None:
    assert change(Headline("it", "It", unit, now, before)) == words


def test_days_and_moments_are_those_of_the_club() -> None:
    assert days(Period(date(2026, 3, 1), date(2026, 3, 31))) == "1 March 2026 to 31 March 2026"
    assert days(Period(date(2026, 3, 1), date(2026, 3, 1))) == "1 March 2026"
    at = "2026-10-25T01:30:00.000000Z"
    assert moment(at, "Europe/Berlin") == "25 October 2026, 02:30:00 (CET)"
