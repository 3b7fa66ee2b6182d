"""Figures as charts: whatever they are, SVG that needs nothing, runs nothing and can be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.figures import Column, Draw, Section, Unit, Value
from interfaces.forms.chart import COLOURS, NARROW, NOTHING, WIDE, chart_of, described
from tests.interfaces.figures import DAY, clients, money, section, span

SVG = "{http://www.w3.org/2000/svg}"
ACTIVE, NET = Column("active", "Active", Unit.COUNT), Column("net", "Net", Unit.MONEY)
TITLE = Column("title", "Title", Unit.TEXT)


def drawn(of: Section, width: int = WIDE) -> Xml.Element:
    return Xml.fromstring(chart_of(of, "it", width, alone=True))


def texts(svg: Xml.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def days(*values: Value, draw: Draw = Draw.LINES) -> Section:
    """A value on each day from the first of March."""
    rows = [(f"2026-03-{n:02}", value) for n, value in enumerate(values, 1)]
    return section(rows, DAY, NET, draw=draw)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_chart_is_named_described_and_has_a_legend(width: int) -> None:
    svg = drawn(clients(span()).sections[0], width)
    assert svg.attrib["role"] == "img"
    named = {part.attrib["id"]: part.text for part in svg if "id" in part.attrib}
    assert " ".join(named) == svg.attrib["aria-labelledby"]
    assert list(named.values()) == [
        "Clients at the end of each period",
        "Lines, 2026-03-01 to 2026-03-31. Active: 120 to 150. On hold: 9 to 9.",
    ]
    assert {"Active", "On hold", "1 Mar", "150"} <= set(texts(svg))


def test_a_chart_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    hostile = "</title><script>alert(1)</script><image href='https://evil.example/x.png'/>"
    rows = [(hostile, 3), ("javascript:alert(1)", 2)]
    said = chart_of(section(rows, TITLE, ACTIVE, title=hostile, draw=Draw.BARS), "it", alone=True)
    svg = Xml.fromstring(said)
    kinds = {part.tag.removeprefix(SVG) for part in svg.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "g", "rect", "line", "path", "circle", "text"}
    names = {name for part in svg.iter() for name in part.attrib}
    assert not {name for name in names if "href" in name or name.startswith("on")}
    assert "url(" not in said
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)(?!evil\.example)", said) == []
    assert [title.text for title in svg.iter(f"{SVG}title")] == [hostile]


def test_on_a_page_it_has_no_style_of_its_own() -> None:
    said = chart_of(days(1, 2), "it")
    assert "style" not in said
    assert 'fill="currentColor"' in said


ROWS: dict[str, Sequence[Value]] = {
    "all nothing": [0] * 31,
    "one point": [5],
    "one point of nothing": [0],
    "with gaps": [1, None, 3, None, None, 4],
    "below nothing": [Decimal("-12.50"), 3, Decimal("-0.01")],
    "huge": [10**30, 1, -(10**30)],
    "tiny": [Decimal("0.0001"), Decimal("0.0003")],
    "large and alike": [1_000_000_001, 1_000_000_002],
}


@pytest.mark.parametrize("draw", Draw)
@pytest.mark.parametrize("name", ROWS)
def test_whatever_the_figures_are_they_are_drawn_within_the_chart(name: str, draw: Draw) -> None:
    svg = drawn(days(*ROWS[name], draw=draw))
    assert 3 <= len([text for text in texts(svg) if text and text != "Net"]) <= 40
    for path in svg.iter(f"{SVG}path"):
        numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", path.attrib["d"])]
        assert all(-1 <= number <= WIDE for number in numbers)


@pytest.mark.parametrize("draw", Draw)
@pytest.mark.parametrize("rows", [[], [(None, None)], [("2026-03-01", None)]])
def test_where_there_is_nothing_the_chart_says_so(
    rows: list[tuple[Value, ...]], draw: Draw
) -> None:
    of = section(rows, DAY, NET, draw=draw)
    assert texts(drawn(of)) == [NOTHING]
    assert described(of) == NOTHING


def test_a_point_between_gaps_is_seen() -> None:
    svg = drawn(days(1, None, 3, None))
    assert len(list(svg.iter(f"{SVG}circle"))) == 2


@pytest.mark.parametrize("draw", Draw)
def test_ten_years_by_the_day_are_drawn_in_little_space(draw: Draw) -> None:
    rows = [(period.first.isoformat(), n, n % 90) for n, period in enumerate(TEN_YEARS.periods)]
    of = section(rows, DAY, ACTIVE, NET, draw=draw)
    assert len(rows) > 3650
    assert len(chart_of(of, "it")) < 400_000
    assert len([text for text in texts(drawn(of)) if re.search("20[12]", text)]) <= 8


TEN_YEARS = span(date(2016, 1, 1), date(2026, 3, 1))


def test_what_has_names_is_listed_downwards_and_the_first_only_where_it_is_long() -> None:
    rows = [(f"Exercise {n}, with a name that is far too long", 100 - n) for n in range(50)]
    svg = drawn(section(rows, TITLE, ACTIVE, draw=Draw.BARS))
    named = [text for text in svg.iter(f"{SVG}text") if "Exercise" in (text.text or "")]
    assert len(named) == 20
    assert all((text.text or "").endswith("…") for text in named)
    downwards = sorted(named, key=lambda text: float(text.attrib["y"]))
    assert [(text.text or "").split(",")[0] for text in downwards] == [
        f"Exercise {n}" for n in range(20)
    ]


def test_a_count_has_whole_numbers_beside_it() -> None:
    rows = [("2026-03-01", 1), ("2026-03-02", 2)]
    marks = texts(drawn(section(rows, DAY, ACTIVE)))
    assert {"0", "1", "2"} <= set(marks)
    assert not [mark for mark in marks if "." in mark]


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ground", ["#ffffff", "#14171a"])
def test_every_colour_is_told_from_paper_and_from_the_dark(colour: str, ground: str) -> None:
    high, low = sorted((luminance(colour), luminance(ground)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3


values = st.none() | st.integers(-(10**40), 10**40) | st.decimals(-(10**9), 10**9, places=4)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(values, values), max_size=40),
    draw=st.sampled_from(Draw),
    listed=st.booleans(),
    width=st.sampled_from((WIDE, NARROW)),
)
def test_any_figures_are_drawn(
    rows: list[tuple[Value, Value]], draw: Draw, listed: bool, width: int
) -> None:
    first = date(2026, 1, 1).toordinal()
    named = [(date.fromordinal(first + n).isoformat(), *row) for n, row in enumerate(rows)]
    svg = drawn(section(named, TITLE if listed else DAY, ACTIVE, NET, draw=draw), width)
    assert "nan" not in Xml.tostring(svg, encoding="unicode")
    assert texts(svg)


def test_a_section_of_money_is_drawn_by_its_levels() -> None:
    svg = drawn(money(span()).sections[1])
    assert {"=1+1", "PREMIUM", "VIP", "Net", "Payments"} <= set(texts(svg))
