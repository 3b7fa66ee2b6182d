"""Figures as a chart: SVG that needs nothing from elsewhere, and runs nothing.

leather has the frame, the axes and the lines; columns that stand on each other, and what is to be
read by people in the dark and by screen readers, are here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as Xml

from leather import Axis, Chart, Series, theme
from leather.scales import Scale
from leather.shapes import Line, Shape

from application.figures import Draw, Section, Unit, Value
from interfaces.forms.words import said, shortly

MEDIA_TYPE = "image/svg+xml"
XMLNS = "http://www.w3.org/2000/svg"

WIDE, NARROW = 560, 340
"""Widths of a chart: on a desk, and on a phone, where it is not to be shrunk."""

HEIGHT, ROW = 250, 26
MOST_ROWS = 20
"""Of what has names; the table has all of them."""
LONGEST_NAME = {WIDE: 26, NARROW: 15}
LETTER = 8.2
"""As wide is a letter of the widest of these fonts, about."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
TEXT_SIZE = 13
INDENT = 8.0
TICKS = {WIDE: 6, NARROW: 4}

COLOURS = ("#2f7fd0", "#cc6d14", "#199473", "#b5539c", "#8a7a1f", "#7268d0", "#c2504a", "#6f7b86")
"""Each is told from white and from black, and from the others also by who sees fewer colours."""
DASHES = ("none", "7 4", "2 4", "11 4 2 4")
GRID = "#8a8f94"

STANDING_ALONE = (
    ":root{color-scheme:light dark;color:#1b1f23;background:#fff}"
    "@media(prefers-color-scheme:dark){:root{color:#e8eaed;background:#14171a}}"
    "@media print{:root{color:#000;background:#fff}}"
)

NOTHING = "Nothing to draw"


def _set_up() -> None:
    """What leather would draw in colours and fonts of its own."""
    for part in ("tick", "legend", "title", "axis_title"):
        setattr(theme, f"{part}_font_family", FONT)
    theme.background_color = "none"
    theme.margin = 0.0
    theme.label_color = "currentColor"
    theme.tick_color = theme.zero_color = GRID
    theme.tick_width = 0.6
    theme.tick_font_size = theme.tick_font_char_height = TEXT_SIZE
    theme.tick_font_char_width = LETTER
    theme.legend_font_char_height = theme.legend_gap = 0  # there is one below


_set_up()


@dataclass(frozen=True)
class _Drawing:
    """What of a section is drawn, as numbers."""

    draw: Draw
    names: Sequence[str]
    titles: Sequence[str]
    values: Sequence[Sequence[float | None]]
    """For each title, one a name."""
    unit: Unit
    listed: bool
    """Whether the names are no days, but words: then they stand below each other."""


def chart_of(section: Section, name: str, width: int = WIDE, *, alone: bool = False) -> str:
    """The chart, `name` being one that nothing else on the page has.

    `alone` is for a file of its own.
    """
    drawing = _drawing(section)
    body, height = _body(drawing, width) if drawing.names else (_nothing(width), HEIGHT // 2)
    svg = Xml.Element("svg", {"viewBox": f"0 0 {width} {height}", "role": "img"})
    svg.set("aria-labelledby", f"{name}-title {name}-desc")
    svg.set("class", "chart")
    Xml.SubElement(svg, "title", {"id": f"{name}-title"}).text = section.title
    Xml.SubElement(svg, "desc", {"id": f"{name}-desc"}).text = described(section)
    if alone:
        svg.attrib |= {"xmlns": XMLNS, "width": str(width), "height": str(height)}
        Xml.SubElement(svg, "style").text = STANDING_ALONE
    svg.append(body)
    return Xml.tostring(svg, encoding="unicode")


def described(section: Section) -> str:
    """What a chart shows, for those who do not see it."""
    drawing = _drawing(section)
    if not drawing.names:
        return NOTHING
    kinds = {Draw.LINES: "Lines", Draw.BARS: "Bars", Draw.STACKED: "Bars on each other"}
    ends = " to ".join(dict.fromkeys((drawing.names[0], drawing.names[-1])))
    parts = [f"{kinds[drawing.draw]}, {ends}."]
    for title, values in zip(drawing.titles, drawing.values, strict=True):
        there = [value for value in values if value is not None]
        if there:
            least, most = (shortly(value, drawing.unit) for value in (min(there), max(there)))
            parts.append(f"{title}: {least} to {most}.")
    return " ".join(parts)


def _drawing(section: Section) -> _Drawing:
    assert section.chart is not None  # noqa: S101 - who asks for a chart has looked
    draw, by, shows = section.chart
    places = {column.name: n for n, column in enumerate(section.columns)}
    columns = [section.columns[places[name]] for name in shows]
    named = section.columns[places[by]]
    listed = named.unit is not Unit.DAY
    rows = section.rows[:MOST_ROWS] if listed and draw is not Draw.LINES else section.rows
    values = [[_number(row[places[name]]) for row in rows] for name in shows]
    drawn = any(value is not None for series in values for value in series)
    return _Drawing(
        draw,
        [said(row[places[by]], named.unit) if listed else str(row[places[by]]) for row in rows]
        if drawn
        else [],
        [column.title for column in columns],
        values,
        columns[0].unit,
        listed=listed and draw is not Draw.LINES,
    )


def _number(value: Value) -> float | None:
    return None if value is None or isinstance(value, str) else float(value)


# --- putting it together -------------------------------------------------------------------


def _body(drawing: _Drawing, width: int) -> tuple[Xml.Element, int]:
    """The chart with its legend below, and how high both are."""
    height = max(HEIGHT // 2, ROW * len(drawing.names) + 40) if drawing.listed else HEIGHT
    chart = Chart()
    places, ticks, tops = _scales(drawing)
    across, along = (ticks, places) if drawing.listed else (places, ticks)
    chart.set_x_scale(across)
    chart.set_y_scale(along)
    names = _names(drawing, width)
    words = Axis(list(names), lambda value, *_: names[value])
    figures = Axis(tops, lambda value, *_: shortly(value, drawing.unit))
    chart.set_x_axis(figures if drawing.listed else words)
    chart.set_y_axis(words if drawing.listed else figures)
    for series, shape in _layers(drawing):
        chart.add_series(series, shape)
    edge = TEXT_SIZE
    inner = chart.to_svg_group(width - 3 * edge, height)
    inner.set("transform", f"translate(4 {edge})")
    for line in inner.iter("line"):
        line.set("stroke-opacity", "0.45")
    legend, rows = _legend(drawing, width)
    legend.set("transform", f"translate(0 {height + 2 * edge})")
    body = Xml.Element("g")
    body.extend([inner, legend])
    return body, height + 2 * edge + rows * 20


def _nothing(width: int) -> Xml.Element:
    text = _text(width / 2, HEIGHT / 4, NOTHING)
    text.set("text-anchor", "middle")
    return text


def _text(x: float, y: float, said_there: str) -> Xml.Element:
    text = Xml.Element("text", {"x": f"{x:g}", "y": f"{y:g}", "fill": "currentColor"})
    text.set("font-family", FONT)
    text.set("font-size", str(TEXT_SIZE))
    text.text = said_there
    return text


def _legend(drawing: _Drawing, width: int) -> tuple[Xml.Element, int]:
    """What each colour stands for, in as many rows as it takes."""
    group, x, y = Xml.Element("g", {"class": "legend"}), INDENT, 0
    for n, title in enumerate(drawing.titles):
        taken = 34 + len(title) * LETTER
        if x > INDENT and x + taken > width:
            x, y = INDENT, y + 1
        group.append(_swatch(drawing.draw, n, x, y * 20))
        group.append(_text(x + 26, y * 20 + 12, title))
        x += taken
    return group, y + 1


def _swatch(draw: Draw, n: int, x: float, y: float) -> Xml.Element:
    if draw is not Draw.LINES:
        place = {"x": f"{x + 8:g}", "y": f"{y + 1:g}", "width": "12", "height": "12"}
        return Xml.Element("rect", {**place, "fill": _colour(n)})
    line = {"x1": f"{x:g}", "x2": f"{x + 20:g}", "y1": f"{y + 8:g}", "y2": f"{y + 8:g}"}
    style = {"stroke": _colour(n), "stroke-width": "2.5", "stroke-dasharray": _dash(n)}
    return Xml.Element("line", {**line, **style})


def _colour(n: int) -> str:
    return COLOURS[n % len(COLOURS)]


def _dash(n: int) -> str:
    return DASHES[n % len(DASHES)]


# --- scales and names ----------------------------------------------------------------------


class _Straight(Scale):  # type: ignore[misc]
    """From so much to so much, to a tenth of a pixel."""

    def __init__(self, least: float, most: float, *, turned: bool = False) -> None:
        self._least, self._most = least, most
        self._turned = turned
        """Whether the least is where others have the most: names are read downwards."""

    def contains(self, value: float) -> bool:
        return self._least <= value <= self._most

    def project(self, value: float, begin: float, end: float) -> float:
        part = (value - self._least) / (self._most - self._least)
        return round(begin + (end - begin) * (1 - part if self._turned else part), 1)

    def ticks(self) -> list[float]:
        return [self._least, self._most]


def _scales(drawing: _Drawing) -> tuple[_Straight, _Straight, list[float]]:
    """Of the names, of the figures, and where those have their marks."""
    space = 0.0 if drawing.draw is Draw.LINES and len(drawing.names) > 1 else 0.5
    places = _Straight(-space, len(drawing.names) - 1 + space, turned=drawing.listed)
    least, most = _ends(drawing)
    marks = _marks(least, most, whole=drawing.unit is Unit.COUNT)
    return places, _Straight(marks[0], marks[-1]), marks


def _ends(drawing: _Drawing) -> tuple[float, float]:
    """The least and the most that is drawn, nothing included."""
    if drawing.draw is Draw.STACKED:
        columns = [[v or 0.0 for v in column] for column in zip(*drawing.values, strict=True)]
        low = min(sum(v for v in column if v < 0) for column in columns)
        high = max(sum(v for v in column if v > 0) for column in columns)
    else:
        there = [v for values in drawing.values for v in values if v is not None]
        low, high = min(there), max(there)
    return min(0.0, low), max(0.0, high)


def _marks(least: float, most: float, *, whole: bool) -> list[float]:
    """Round figures, some four of them, around all there are."""
    rough = (most - least) / 4 or 0.25
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 2.5, 5, 10) if power * n >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(least / step), math.ceil(most / step) or 1
    return [float(f"{n * step:.12g}") for n in range(first, last + 1)]


def _names(drawing: _Drawing, width: int) -> dict[int, str]:
    """What is written along the names' axis, and where."""
    if drawing.listed:
        return {n: _cut(name, LONGEST_NAME[width]) for n, name in enumerate(drawing.names)}
    step = math.ceil(len(drawing.names) / TICKS[width])
    form = _form(drawing.names)
    return {n: form(drawing.names[n]) for n in range(0, len(drawing.names), step)}


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _form(names: Sequence[str]) -> Any:
    """How days are written: with the year where there are several, as months where it is these."""
    try:
        days = [date.fromisoformat(name) for name in names]
    except ValueError:
        return lambda name: _cut(name, 10)
    monthly = len(days) > 1 and all(a.month != b.month for a, b in pairwise(days))
    if monthly or (days[-1] - days[0]).days > 366:  # noqa: PLR2004 - a year
        return lambda name: f"{date.fromisoformat(name):%b %Y}"
    return lambda name: f"{date.fromisoformat(name).day} {date.fromisoformat(name):%b}"


# --- lines and columns ---------------------------------------------------------------------


class _Path(Line):  # type: ignore[misc]
    """A line, which shows also what stands alone between gaps."""

    def legend_to_svg(self, *_: object) -> list[Any]:
        return []

    def to_svg(self, *asked: Any) -> Xml.Element:
        group: Xml.Element = super().to_svg(*asked)
        for path in list(group):
            _, x, y, *more = path.attrib["d"].split(" ")
            if not more:
                group.remove(path)
                dot = {"cx": x, "cy": y, "r": "4", "fill": self._stroke_color}
                group.append(Xml.Element("circle", dot))
        return group


class _Columns(Shape):  # type: ignore[misc]
    """Columns of one colour, each from somewhere to somewhere, in one path."""

    def __init__(self, colour: str, spans: Sequence[tuple[float, float, float]], thick: float):
        self._colour = colour
        self._spans = spans
        """Of each: the middle, from where, and up to where."""
        self._thick = thick
        self.lying = False

    def validate_series(self, _: Series) -> None:
        """It draws its own."""

    def legend_to_svg(self, *_: object) -> list[Any]:
        return []

    def to_svg(self, width: float, height: float, x: _Straight, y: _Straight, *_: Any) -> Any:
        def place(middle: float, figure: float) -> tuple[float, float]:
            across, along = (figure, middle) if self.lying else (middle, figure)
            return x.project(across, 0, float(width)), y.project(along, float(height), 0)

        half, drawn = self._thick / 2, []
        for middle, begin, end in self._spans:
            (x1, y1), (x2, y2) = place(middle - half, begin), place(middle + half, end)
            drawn.append(f"M{x1:g} {y1:g}H{x2:g}V{y2:g}H{x1:g}z")
        return Xml.Element("path", {"d": "".join(drawn), "fill": self._colour})


def _layers(drawing: _Drawing) -> Iterator[tuple[Series, Shape]]:
    for n, values in enumerate(drawing.values):
        if drawing.draw is Draw.LINES:
            # A point that there is, so that leather knows what kind of figures these are.
            series = Series([*enumerate(values), (None, 0.0)])
            yield series, _Path(_colour(n), 2.5, _dash(n))
        else:
            columns = _columns(drawing, n)
            columns.lying = drawing.listed
            yield Series([(0, 0.0)]), columns


def _columns(drawing: _Drawing, n: int) -> _Columns:
    if drawing.draw is Draw.STACKED:
        return _Columns(_colour(n), list(_on_each_other(drawing.values, n)), 0.8)
    thick = 0.8 / len(drawing.values)
    beside = (n + 0.5) * thick - 0.4
    there = [(m, value) for m, value in enumerate(drawing.values[n]) if value]
    return _Columns(_colour(n), [(m + beside, 0.0, value) for m, value in there], thick)


def _on_each_other(
    values: Sequence[Sequence[float | None]], n: int
) -> Iterator[tuple[float, float, float]]:
    for m, value in enumerate(values[n]):
        if value:
            under = [one[m] or 0.0 for one in values[:n]]
            begin = sum(one for one in under if (one > 0) is (value > 0))
            yield m, begin, begin + value
