"""The overview in a real browser: on a phone, at a desk, in the dark and on paper.

The screenshots are kept in `.screenshots/`, for a person to look at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from application.access import THE_CLUB
from application.command import Command, Context
from application.page_links import MakePageLinkFor
from application.users import NewUser, RegisterUser
from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.settings import Settings
from tests.interfaces.figures import Invented
from tests.interfaces.rest.serving import served
from tests.projections.histories import record, rich

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed here")

ARGUMENTS = [
    *("--no-sandbox", "--disable-background-networking", "--disable-quic", "--no-first-run"),
    *("--disable-component-update", "--disable-sync"),
]
KEPT = Path(os.environ.get("CLUB_SCREENSHOTS") or Path(__file__).parents[3] / ".screenshots")
A_SPRING = "from_date=2026-01-01&to_date=2026-04-30&by=week"

PHONE, DESK, NARROWEST = (360, 740), (1280, 900), (320, 568)

OVERFLOWING = """() => {
    const width = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll('body *')].filter(one => {
        if (one.closest('.table') && !one.matches('.table')) return false;  // it scrolls
        if (one.closest('.skip')) return false;
        const box = one.getBoundingClientRect();
        return box.width > 0 && (box.right > width + 1 || box.left < -1);
    });
    return [document.documentElement.scrollWidth - width,
            wide.map(one => one.outerHTML.slice(0, 120))];
}"""

TEXTS = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const node = walker.currentNode;
        const parent = node.parentElement;
        if (!node.data.trim() || parent.closest('title, desc, style, option')) continue;
        if (parent.closest('.skip') || !parent.checkVisibility()) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const box of range.getClientRects()) {
            if (box.width > 1 && box.height > 1)
                found.push([node.data.trim(), box.left, box.top, box.right, box.bottom]);
        }
    }
    return found;
}"""

Box = tuple[str, float, float, float, float]


@dataclass
class Looked:
    """A page that was opened, and what it did besides."""

    page: Page
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest.fixture
async def club(settings: Settings) -> AsyncIterator[Club]:
    """A club in which a lot has happened for months, with its figures up to now."""
    history = rich(1200, step=timedelta(hours=2))
    await record(str(settings.database_url), history.events)
    async with open_club(settings) as opened:
        await opened.refresh_reports()
        yield opened


async def do(club: Club, command: Command) -> dict[str, Any]:
    outcome = await club.bus.execute(command, Context(THE_CLUB, "scene"))
    return dict(outcome.shown or {})


async def link_to(club: Club, name: str = "owner") -> str:
    facts = {"username": name, "email": f"{name}@example.com", "password": "long enough"}
    owner = await do(club, RegisterUser(NewUser(**facts, role=Role.ADMIN)))
    return str((await do(club, MakePageLinkFor(owner["id"])))["url"])


@asynccontextmanager
async def looking(
    browser: Browser, url: str, size: tuple[int, int], **more: Any
) -> AsyncIterator[Looked]:
    """The page at this size; whatever it asks for and says is kept."""
    width, height = size
    context = await browser.new_context(viewport={"width": width, "height": height}, **more)
    page = await context.new_page()
    looked = Looked(page)
    page.on("request", lambda request: looked.asked.append(request.url))
    page.on("console", lambda message: looked.said.append(message.text))
    page.on("pageerror", lambda error: looked.said.append(str(error)))
    answer = await page.goto(url)
    assert answer is not None
    assert answer.ok, await page.content()
    try:
        yield looked
    finally:
        await context.close()


async def keep(page: Page, name: str) -> None:
    await page.screenshot(path=KEPT / f"{name}.png", full_page=True)


async def open_tables(page: Page) -> None:
    await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def overlapping(boxes: list[Box]) -> list[tuple[str, str]]:
    """Texts that lie on each other, by more than a hair."""
    found = []
    for n, (one, left, top, right, bottom) in enumerate(boxes):
        for other, its_left, its_top, its_right, its_bottom in boxes[n + 1 :]:
            across = min(right, its_right) - max(left, its_left)
            down = min(bottom, its_bottom) - max(top, its_top)
            least = min(bottom - top, its_bottom - its_top)
            if across > 2 and down > 0.35 * least:
                found.append((one, other))
    return found


async def assert_it_is_seen_well(looked: Looked, root: str) -> None:
    """Nothing is too wide, nothing lies on another, nothing is from elsewhere, nobody complains."""
    too_wide, elements = await looked.page.evaluate(OVERFLOWING)
    assert (too_wide, elements) == (0, [])
    texts = await looked.page.evaluate(TEXTS)
    assert len(texts) > 20
    assert overlapping([tuple(text) for text in texts]) == []
    assert [url for url in looked.asked if not url.startswith((root, "data:"))] == []
    assert looked.said == []


SIGHTS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "phone": (PHONE, {"has_touch": True, "device_scale_factor": 2}),
    "narrowest": (NARROWEST, {}),
    "desk": (DESK, {}),
    "dark": (DESK, {"color_scheme": "dark"}),
    "phone-dark": (PHONE, {"color_scheme": "dark"}),
}


async def test_the_page_is_seen_well_at_every_size_by_day_and_night(
    club: Club, browser: Browser
) -> None:
    link = await link_to(club)
    async with served(club) as root:
        for name, (size, more) in SIGHTS.items():
            url = f"{root}{link}&{A_SPRING}"
            async with looking(browser, url, size, **more) as looked:
                assert "link=" not in looked.page.url
                await keep(looked.page, name)
                await assert_it_is_seen_well(looked, root)
                await open_tables(looked.page)
                await keep(looked.page, f"{name}-tables")
                await assert_it_is_seen_well(looked, root)


async def test_long_names_and_great_numbers_are_seen_well_too(club: Club, browser: Browser) -> None:
    invented = replace(club, figures=Invented())  # type: ignore[arg-type]
    link = await link_to(club)
    async with served(invented) as root:
        for name, size in (("phone", PHONE), ("desk", DESK)):
            async with looking(browser, f"{root}{link}", size) as looked:
                await keep(looked.page, f"invented-{name}")
                await assert_it_is_seen_well(looked, root)


async def test_an_empty_club_has_a_page(settings: Settings, browser: Browser) -> None:
    async with open_club(settings) as club:
        await club.refresh_reports()
        link = await link_to(club)
        async with served(club) as root, looking(browser, f"{root}{link}", PHONE) as looked:
            await keep(looked.page, "empty")
            heading = looked.page.get_by_role("heading", name="There is nothing to show yet")
            assert await heading.is_visible()
            assert looked.said == []


async def test_it_is_printed_on_white_with_every_table_and_no_chart_is_cut(
    club: Club, browser: Browser
) -> None:
    link = await link_to(club)
    async with served(club) as root:
        url = f"{root}{link}&{A_SPRING}"
        # As wide as A4 is between its margins.
        async with looking(browser, url, (688, 974), color_scheme="dark") as looked:
            page = looked.page
            await page.emulate_media(media="print")
            await keep(page, "print")
            await assert_it_is_seen_well(looked, root)
            ground = "getComputedStyle(document.body).backgroundColor"
            assert await page.evaluate(ground) == "rgb(255, 255, 255)"
            assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
            for what in ("form", "nav", "summary"):
                assert not await page.locator(what).first.is_visible(), what
            for table in await page.locator("table").all():
                assert await table.is_visible()
            charts = await page.locator("svg.chart").all()
            shown = [chart for chart in charts if await chart.is_visible()]
            assert len(shown) * 2 == len(charts)
            for chart in shown:
                inside = await chart.evaluate("one => getComputedStyle(one).breakInside")
                assert inside == "avoid"
            printed = await page.pdf(path=KEPT / "print.pdf", format="A4")
    assert printed.startswith(b"%PDF")


async def test_the_keyboard_reaches_the_form_and_every_table(club: Club, browser: Browser) -> None:
    link = await link_to(club)
    async with (
        served(club) as root,
        looking(browser, f"{root}{link}&{A_SPRING}", DESK) as looked,
    ):
        page = looked.page
        seen: list[str] = []
        for _ in range(100):
            await page.keyboard.press("Tab")
            focused = "document.activeElement"
            tag = str(await page.evaluate(f"{focused}.name || {focused}.tagName.toLowerCase()"))
            if tag == "body":
                break
            seen.append(tag)
            outline = f"getComputedStyle({focused}).outlineStyle"
            assert await page.evaluate(outline) != "none", tag
        assert seen[0] == "a"  # to the figures
        assert {"from_date", "to_date", "by", "button"} <= set(seen)
        summaries = page.locator("summary")
        assert seen.count("summary") == await summaries.count()
        await summaries.first.focus()
        await page.keyboard.press("Enter")
        assert await page.locator("table").first.is_visible()


async def test_the_form_shows_other_days_and_the_cookie_stays(club: Club, browser: Browser) -> None:
    link = await link_to(club)
    async with served(club) as root, looking(browser, f"{root}{link}", DESK) as looked:
        page = looked.page
        await page.get_by_label("From", exact=True).fill("2026-02-01")
        await page.get_by_label("To", exact=True).fill("2026-02-28")
        await page.get_by_role("combobox", name="By").select_option("week")
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**from_date=2026-02-01*")
        assert "1 February 2026 to 28 February 2026, by the week" in await page.content()
        await page.get_by_label("From", exact=True).fill("2026-03-02")
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**from_date=2026-03-02*")
        assert await page.get_by_role("heading", name="What to do").is_visible()
        assert [one for one in looked.said if "422" not in one] == []


async def test_who_listens_is_told_what_every_chart_is_and_has_its_table(
    club: Club, browser: Browser
) -> None:
    link = await link_to(club)
    async with (
        served(club) as root,
        looking(browser, f"{root}{link}&{A_SPRING}", DESK) as looked,
    ):
        page = looked.page
        for role in ("banner", "main", "contentinfo", "navigation"):
            assert await page.get_by_role(role).count() == 1, role
        charts = await page.get_by_role("img").all()
        assert len(charts) > 5
        await open_tables(page)
        for chart in charts:
            title = await chart.locator("title").first.text_content()
            snapshot = await chart.aria_snapshot()
            assert title
            assert title in snapshot
            table = page.get_by_role("table", name=title, exact=True)
            assert await table.count() >= 1, title
