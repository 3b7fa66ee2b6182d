"""The overview as a page: whole in itself, in good order, and of nothing but escaped text."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

from application.figures import Column, Draw, Headline, Overview, Unit
from application.ports.figures import Wanted
from interfaces.forms.page import HEADERS, page_of, refusal_of
from tests.interfaces.figures import Invented, report, section, span

VOID = {"meta", "link", "input"}


class Page(HTMLParser):
    """What a page is made of; every element is to be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.words.append(" ".join(data.split()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


async def overview(*, empty: bool = False) -> Overview:
    return await Invented(empty=empty).overview(Wanted())


async def test_the_figures_that_matter_come_first_beside_those_of_before() -> None:
    page = Page(page_of(await overview()))
    words = page.words
    assert words[words.index("Active clients") :][:4] == [
        *("Active clients", "150", "▲ +30 (25 %) more", "120 before")
    ]
    assert words.index("Active clients") < words.index("Clients at the end of each period")
    text = " ".join(words)
    assert "1 March 2026 to 31 March 2026, by the day" in text
    assert "Europe/Berlin" in text
    assert "up to 1 April 2026, 08:00:00 (CEST) (position 4711)" in text
    assert "29 January 2026 to 28 February 2026" in text


async def test_the_page_is_in_good_order_for_who_listens_to_it() -> None:
    page = Page(page_of(await overview()))
    assert page.all("html") == [{"lang": "en"}]
    for once in ("h1", "main", "header", "footer", "nav"):
        assert len(page.all(once)) == 1, once
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for reference in (attributes.get("aria-labelledby") or "").split():
            assert reference in ids
    assert {a["href"] for a in page.all("a")} <= {f"#{i}" for i in ids}
    assert len(page.all("caption")) == len(page.all("table")) == 8
    assert all(th["scope"] in {"col", "row"} for th in page.all("th"))
    assert all(svg["role"] == "img" for svg in page.all("svg"))
    assert len(page.all("svg")) == 2 * (len(page.all("table")) - 1)


async def test_the_page_is_whole_in_itself_and_runs_nothing() -> None:
    text = page_of(await overview())
    page = Page(text)
    assert page.all("script") == page.all("img") == page.all("iframe") == []
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in {"style", "src"}}
    assert re.findall(r"https?://|url\(|@import", text) == []
    policy = HEADERS["Content-Security-Policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert HEADERS["Referrer-Policy"] == "no-referrer"
    assert HEADERS["Cache-Control"] == "private, no-store"
    assert HEADERS["X-Content-Type-Options"] == "nosniff"


async def test_whatever_is_in_the_figures_is_text() -> None:
    hostile = "</style></title><script>alert(1)</script>\"'<img src=x onerror=alert(1)>"
    columns = Column("title", hostile, Unit.TEXT), Column("active", hostile, Unit.COUNT)
    of = section([(hostile, 1)], *columns, draw=Draw.BARS, title=hostile)
    one = report("clients", hostile, span(), of)
    headline = Headline("active", hostile, Unit.TEXT, hostile, None)
    page = Page(page_of(replace(await overview(), headlines=[headline], reports=[one])))
    assert page.all("script") == page.all("img") == []
    shown = Page(refusal_of(422, hostile, hostile, hostile))
    assert shown.all("script") == shown.all("img") == []


async def test_a_club_in_which_nothing_happened_has_a_page_that_says_so() -> None:
    page = Page(page_of(await overview(empty=True)))
    assert "There is nothing to show yet" in page.words
    assert page.all("svg") == page.all("table") == []
    assert len(page.all("form")) == 1


async def test_a_section_without_rows_says_so() -> None:
    there = await overview()
    first = replace(there.reports[0], sections=[replace(there.reports[0].sections[0], rows=[])])
    page = Page(page_of(replace(there, reports=[first])))
    assert "Nothing in these days." in page.words
    assert page.all("svg") == []


async def test_the_form_asks_for_the_days_that_are_shown() -> None:
    page = Page(page_of(await overview()))
    assert page.all("form") == [{"method": "get"}]
    assert [(i["name"], i["value"]) for i in page.all("input")] == [
        *(("from_date", "2026-03-01"), ("to_date", "2026-03-31"))
    ]
    assert [o["value"] for o in page.all("option") if "selected" in o] == ["day"]
