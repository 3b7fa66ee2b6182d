"""The overview of a chain in a real browser: its clubs, and what is missing of which."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from playwright.async_api import Browser

from domain.values import Role
from infra.chain.reading import Chain, open_reading
from infra.settings import Settings
from interfaces.rest.assembly import Outside
from interfaces.rest.chain.main import create_chain_app
from tests.interfaces.pages.test_overview_in_a_browser import (
    A_SPRING,
    DESK,
    PHONE,
    assert_it_is_seen_well,
    browser,
    keep,
    looking,
    pytestmark,
)
from tests.interfaces.rest.chain.scenes import join, make_chain, say, take_in
from tests.interfaces.rest.serving import serving
from tests.projections.histories import rich

__all__ = ["browser", "pytestmark"]

LONG = "Sports and swimming " * 9
CLUBS = {"North": 900, "Süd <b>": 400, LONG: 300}


@pytest.fixture
async def chain(settings: Settings, empty_database: str) -> AsyncIterator[Chain]:
    """A chain of three clubs that are taken in, and one that is not."""
    await make_chain(empty_database)
    for seed, (name, actions) in enumerate(CLUBS.items(), 1):
        events = rich(actions, seed=seed, step=timedelta(hours=2)).events
        await take_in(empty_database, await join(empty_database, name, events), events)
    await join(empty_database, "West")
    late = "UPDATE chain_clubs SET head = head + 12, waiting_since = now() - interval '1 hour'"
    await say(empty_database, f"{late} WHERE name = 'North'")
    found = settings.model_copy(update={"chain_database_url": empty_database})
    async with open_reading(found) as opened:
        yield opened


async def test_the_page_of_a_chain_is_seen_well_and_says_what_is_missing_of_which_club(
    chain: Chain, browser: Browser
) -> None:
    reader = await chain.people.add("Ada", Role.ANALYST)
    token = (await chain.links.make(reader.number)).token
    async with serving(create_chain_app(chain, Outside())) as root:
        there = f"{root}/chain/reports/overview/?link={token}&{A_SPRING}"
        for name, size in (("phone", PHONE), ("desk", DESK)):
            async with looking(browser, there, size) as looked:
                page = looked.page
                assert "link=" not in page.url
                await keep(page, f"chain-{name}")
                await assert_it_is_seen_well(looked, root)
                clubs = page.get_by_role("table", name="Clubs")
                assert await clubs.get_by_role("rowheader").all_inner_texts() == [
                    "North",
                    LONG.strip(),
                    "Süd <b>",
                    "West",
                ]
                for said in (
                    "North is behind: 12 events are not in these figures yet.",
                    "West is not in these figures yet.",
                ):
                    assert await page.get_by_text(said).is_visible()
        async with looking(browser, f"{there}&club=North", DESK) as looked:
            page = looked.page
            await page.get_by_role("combobox", name="By").select_option("month")
            await page.get_by_role("button", name="Show").click()
            await page.wait_for_url("**by=month*")
            assert "club=North" in page.url
            assert await page.get_by_role("table", name="Clubs").get_by_role("row").count() == 2
            assert looked.said == []
