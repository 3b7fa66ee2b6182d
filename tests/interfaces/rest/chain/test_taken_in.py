"""From a club's own API, over a worker, to the API of its chain."""

from __future__ import annotations

from domain.values import Role
from infra.chain import clubs
from infra.chain.reading import open_reading
from infra.chain.store import open_chain
from infra.settings import Settings
from projections.catalogue import FIGURES
from tests.conftest import Rest
from tests.infra.chain import scenes as chains
from tests.interfaces.rest.chain.scenes import Reading
from tests.interfaces.rest.chain.test_clubs import asking
from tests.interfaces.rest.scenes import furnished
from tests.waiting import until

HELD = ("position", "events", "clubs", "as_of", "timezone_since")
REPORTS = ("clients", "cohorts", "money", "trainings", "plans")


async def test_what_a_club_reports_of_itself_its_chain_reports_of_it(
    rest: Rest, chain_settings: Settings, database: str, url: str
) -> None:
    await furnished(rest)
    _, of_club = await rest.user(Role.ANALYST)
    await rest.club.refresh_reports()
    own = (await rest.http.get("/reports/overview/", headers=of_club)).json()
    head = await rest.club.ledger.head()
    async with open_chain(url, (FIGURES,), building=True) as store:
        await clubs.add(store, "north", database)
    async with chains.Chain(url, groups=(FIGURES,)).worker():
        reached = "SELECT 1 FROM chain_positions WHERE position = %s"
        await until(lambda: chains.ask(url, reached, head), "all is taken in")
        found = chain_settings.model_copy(update={"timezone": own["timezone"]})
        async with open_reading(found) as chain, asking(chain) as http:
            _, analyst = await Reading(chain, http).person()
            await chain.heads.look()
            shown = (await http.get("/chain/reports/overview/", headers=analyst)).json()
            (club,) = (await http.get("/chain/clubs/", headers=analyst)).json()
    assert shown["empty"] is False
    assert shown["clubs"] == [
        {
            "club": "north",
            "state": "running",
            "position": head,
            "as_of": club["groups"][0]["as_of"],
            "lag": 0,
        }
    ]
    assert (club["head"], club["groups"][0]["position"]) == (head, head)
    for body in (own, shown):
        for name in ("", *REPORTS):
            part = body[name] if name else body
            for held in HELD:
                part.pop(held, None)
    assert shown == own
