"""The clubs of a chain, how it is doing, and what there is while nothing is there yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import schemathesis
from psycopg.conninfo import conninfo_to_dict

from domain.aggregate import time_text
from domain.values import Role
from infra.chain.reading import Chain, NoChainDatabase, open_reading
from infra.chain.store import ChainMissing, ClubThere, open_chain
from infra.parts import Plain
from infra.settings import Settings
from interfaces.rest.assembly import Outside
from interfaces.rest.chain.main import create_chain_app
from projections.catalogue import DOCUMENTED, FIGURES, GROUPS
from tests.interfaces.rest.chain.scenes import (
    Headers,
    Reading,
    join,
    make_chain,
    say,
    take_in,
)
from tests.projections.histories import rich
from tests.waiting import until

EVENTS = rich(60).events


async def four(url: str) -> None:
    """A club that is well, one that is behind, one that stands still, and a new one."""
    for name in ("East", "North", "South"):
        await take_in(url, await join(url, name, EVENTS), EVENTS)
    await join(url, "West", EVENTS)
    await say(
        url,
        "UPDATE chain_clubs SET head = head + 5, published = head + 2,"
        " waiting_since = now() - interval '90 s', waiting_after = head WHERE name = 'North'",
    )
    await say(
        url,
        "UPDATE chain_positions SET reason = 'its projector failed', stands_at = 7,"
        " topic = 'client.registered', since = now()"
        " WHERE club = (SELECT number FROM chain_clubs WHERE name = 'South')",
    )


async def test_the_list_says_of_each_club_how_far_it_is_and_why_one_does_not_go_on(
    reading: Reading, analyst: Headers, url: str
) -> None:
    await four(url)
    told = (await reading.http.get("/chain/clubs/?sort=name", headers=analyst)).json()
    _, admin = await reading.person(Role.ADMIN)
    clubs = (await reading.http.get("/chain/clubs/?sort=name", headers=admin)).json()
    why = {"stands_at", "topic", "reason"}
    for club, in_full in zip(told, clubs, strict=True):
        (group,), (group_in_full,) = club["groups"], in_full["groups"]
        assert group_in_full.keys() - group.keys() == why, "why is for who runs the chain"
        assert group.keys() < group_in_full.keys()
    assert [club["name"] for club in clubs] == ["East", "North", "South", "West"]
    groups = [club["groups"][0] for club in clubs]
    assert [group["state"] for group in groups] == ["running", "behind", "standing", "absent"]
    assert [group["lag"] for group in groups] == [0, 5, 0, len(EVENTS)]
    _, north, south, west = groups
    assert 90 <= north["age"] < 120
    assert (clubs[1]["head"], clubs[1]["published"]) == (len(EVENTS) + 5, len(EVENTS) + 2)
    stands = {name: south[name] for name in ("stands_at", "topic", "reason")}
    assert stands == {
        "stands_at": 7,
        "topic": "client.registered",
        "reason": "its projector failed",
    }
    assert (west["position"], west["as_of"], west["generation"]) == (0, None, 1)
    # What lets anybody into a ledger, or into the topic, is told to nobody.
    assert "secret" not in json.dumps(clubs)


async def test_the_list_has_pages_filters_and_an_order_like_every_other(
    reading: Reading, analyst: Headers, url: str
) -> None:
    for number in range(7):
        await join(url, f"Club {number}")
    seen, there = [], "/chain/clubs/?limit=3&sort=-name&total=true"
    while there:
        page = await reading.http.get(there, headers=analyst)
        assert page.headers["x-total-count"] == "7"
        seen += [club["name"] for club in page.json()]
        there = page.links.get("next", {}).get("url", "")
    assert seen == [f"Club {number}" for number in reversed(range(7))]
    one = await reading.http.get("/chain/clubs/?name=Club 3", headers=analyst)
    assert [club["name"] for club in one.json()] == ["Club 3"]
    known = analyst | {"If-None-Match": one.headers["etag"]}
    assert (await reading.http.get("/chain/clubs/?name=Club 3", headers=known)).status_code == 304
    for query in ("limit=501", "sort=url", "after=%%%", "secret=x", "limit=1&limit=2"):
        refused = await reading.http.get(f"/chain/clubs/?{query}", headers=analyst)
        assert refused.status_code == 422, query


async def test_health_counts_the_clubs_and_names_those_that_are_late_to_an_admin(
    reading: Reading, analyst: Headers, url: str
) -> None:
    await four(url)
    public = (await reading.http.get("/health/")).json()
    assert public["status"] == "degraded"
    assert public["clubs"] == {"running": 1, "behind": 1, "unseen": 0, "absent": 1, "standing": 1}
    assert public["components"]["workers"] == {"status": "unavailable"}
    for word in ("North", "South", "its projector failed", "late"):
        assert word not in json.dumps(public)
    assert "late" not in (await reading.http.get("/health/", headers=analyst)).json()
    _, admin = await reading.person(Role.ADMIN)
    told = (await reading.http.get("/health/", headers=admin)).json()
    assert [(club["name"], club["state"], club["detail"]) for club in told["late"]] == [
        ("North", "behind", None),
        ("South", "standing", "its projector failed"),
        ("West", "absent", None),
    ]
    metrics = (await reading.http.get("/metrics")).text
    assert 'chain_events_behind{club="North",group="figures"} 5.0' in metrics
    assert 'chain_stands_still{club="South",group="figures"} 1.0' in metrics
    assert 'chain_stands_still{club="East",group="figures"} 0.0' in metrics
    assert 'chain_part_works{part="workers"} 0.0' in metrics
    # A club that has left is measured no more.
    await say(url, "DELETE FROM chain_clubs WHERE name = 'North'")
    assert "North" not in (await reading.http.get("/metrics")).text


async def test_a_club_that_was_not_seen_for_minutes_or_never_is_not_said_to_run(
    reading: Reading, analyst: Headers, url: str
) -> None:
    for name in ("East", "North", "South"):
        await take_in(url, await join(url, name, EVENTS), EVENTS)
    await say(url, "UPDATE chain_clubs SET seen_at = now() - interval '1 h' WHERE name = 'North'")
    await say(url, "UPDATE chain_clubs SET seen_at = NULL WHERE name = 'South'")
    clubs = (await reading.http.get("/chain/clubs/?sort=name", headers=analyst)).json()
    groups = [club["groups"][0] for club in clubs]
    assert [group["state"] for group in groups] == ["running", "unseen", "unseen"]
    assert (await reading.http.get("/health/")).json()["clubs"]["unseen"] == 2
    metrics = (await reading.http.get("/metrics")).text
    assert 'chain_unseen_seconds{club="North"} 36' in metrics
    page = await reading.http.get("/chain/reports/overview/?format=html", headers=analyst)
    assert "North was not seen lately" in page.text
    # One that is quiet, fully in and seen just now holds up to now; others as far as they were.
    now = datetime.now(UTC)
    ages = [now - datetime.fromisoformat(group["as_of"]) for group in groups]
    assert timedelta(0) < ages[0] < timedelta(minutes=2)
    assert timedelta(hours=1) < ages[1] < timedelta(hours=1, minutes=2)
    assert groups[2]["as_of"] == time_text(EVENTS[-1].timestamp)


async def test_the_age_of_one_group_is_not_told_of_another(
    chain_settings: Settings, url: str
) -> None:
    both = chain_settings.model_copy(update={"chain_groups": "figures,documented"})
    async with open_chain(url, GROUPS, building=True):
        pass
    club = await join(url, "North", EVENTS)
    for group, at in ((FIGURES, 5), (DOCUMENTED, 50)):
        await say(
            url,
            "INSERT INTO chain_positions (group_name, generation, club, position)"
            " VALUES (%s, %s, %s, %s)",
            *(group.name, group.generation, club, at),
        )
    await say(
        url, "UPDATE chain_clubs SET waiting_since = now() - interval '1 h', waiting_after = 5"
    )
    async with open_reading(both) as chain, asking(chain) as http:
        _, analyst = await Reading(chain, http).person()
        (north,) = (await http.get("/chain/clubs/", headers=analyst)).json()
    documented, figures = north["groups"]
    assert (figures["state"], documented["state"]) == ("behind", "running")
    assert figures["age"] >= 3600
    assert (documented["age"], documented["lag"]) == (None, len(EVENTS) - 50)


async def test_a_look_is_taken_once_for_all_who_ask_and_no_sign_of_life_waits_behind(
    reading: Reading, url: str
) -> None:
    await join(url, "North", EVENTS)
    looks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    looks += " AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(url) as held:
        await held.execute("LOCK TABLE chain_clubs")
        asked = [asyncio.create_task(reading.http.get("/health/")) for _ in range(40)]

        async def looking() -> bool:
            return (await reading.chain.postgres.rows(looks)) != [(0,)]

        await until(looking, "a look waits for the table", patience=2)
        assert await reading.chain.postgres.rows(looks) == [(1,)]
        assert await reading.chain.postgres.watching.rows("SELECT 1") == [(1,)]
        await held.rollback()
    assert {(await answer).status_code for answer in asked} == {200}


async def test_reports_that_take_long_shut_out_nobody_who_does_not_ask_for_one(
    reading: Reading, analyst: Headers, url: str
) -> None:
    await take_in(url, await join(url, "North", EVENTS), EVENTS)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    waiting += " AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(url) as held:
        await held.execute("LOCK TABLE figures_1.figures_money")
        slow = [
            asyncio.create_task(reading.http.get("/chain/reports/money/", headers=analyst))
            for _ in range(reading.chain.settings.listing_connections)
        ]

        async def all_wait() -> bool:
            return (await reading.chain.postgres.rows(waiting)) == [(len(slow),)]

        await until(all_wait, "all reports wait", patience=5)
        link = await reading.http.post("/chain/reports/overview/links/", headers=analyst)
        assert link.status_code == 201, link.text
        await held.rollback()
    assert {(await answer).status_code for answer in slow} == {200}


async def test_a_chain_whose_workers_and_clubs_are_well_is_running(
    reading: Reading, url: str
) -> None:
    await take_in(url, await join(url, "East", EVENTS), EVENTS)
    async with reading.chain.parts.reporting(Plain("stream"), Plain("api")):
        shown = (await reading.http.get("/health/")).json()
    assert shown["status"] == "running", shown


async def test_methods_and_slashes_are_as_in_a_club(reading: Reading, analyst: Headers) -> None:
    wrong = await reading.http.post("/chain/clubs/", headers=analyst)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert (await reading.http.options("/chain/reports/money/")).status_code == 405
    slash = await reading.http.get("/chain/clubs?limit=1", headers=analyst)
    assert (slash.status_code, slash.headers["location"]) == (307, "/chain/clubs/?limit=1")
    head = await reading.http.head("/chain/clubs/", headers=analyst)
    assert (head.status_code, head.content) == (200, b"")
    for path in ("/users/", "/reports/money/", "/jwt-auth/login/", "/chain/reports/1/"):
        nowhere = await reading.http.get(path, headers=analyst)
        assert nowhere.status_code == 404, path
        assert nowhere.headers["content-type"] == "application/problem+json"


async def test_the_document_of_the_chain_is_valid_and_names_no_command(reading: Reading) -> None:
    document = (await reading.http.get("/openapi.json")).json()
    schemathesis.openapi.from_dict(document).validate()
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if f'"#/components/schemas/{name}"' not in text] == []
    for word in (
        "Idempotency-Key",
        "If-Match",
        "Ledger-Position",
        "/users/",
        "/asyncapi.json",
        "the club's",
    ):
        assert word not in text, word
    link = schemas["ChainPageLinkMade"]["properties"]["url"]
    assert [urlsplit(url).path for url in link["examples"]] == ["/chain/reports/overview/"]
    assert (await reading.http.get("/docs")).status_code == 200
    assert (await reading.http.get("/asyncapi.json")).status_code == 404


# --- while nothing is there yet ----------------------------------------------------------------


@pytest.fixture
async def bare(chain_settings: Settings, url: str) -> AsyncIterator[Reading]:
    """A chain for which no worker has ever run."""
    await make_chain(url, computing=False)
    async with open_reading(chain_settings) as chain, asking(chain) as http:
        yield Reading(chain, http)


def asking(chain: Chain) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_chain_app(chain, Outside()))
    return httpx.AsyncClient(transport=transport, base_url="http://chain")


async def test_without_clubs_and_without_a_worker_ever_that_is_said(
    bare: Reading, url: str
) -> None:
    _, analyst = await bare.person()
    assert (await bare.http.get("/chain/clubs/", headers=analyst)).json() == []
    assert (await bare.http.get("/health/")).json()["status"] == "degraded"
    for then, code in ((None, "no-clubs"), ("North", "nothing-computed")):
        if then:
            await join(url, then, EVENTS)
        for path in ("money/", "overview/", "overview/?club=North"):
            refused = await bare.http.get(f"/chain/reports/{path}", headers=analyst)
            assert (refused.status_code, refused.json()["type"]) == (503, f"/problems/{code}")
    (club,) = (await bare.http.get("/chain/clubs/", headers=analyst)).json()
    assert club["groups"][0]["state"] == "absent"


async def test_an_empty_chain_says_that_no_club_has_joined(
    reading: Reading, analyst: Headers
) -> None:
    page = await reading.http.get("/chain/reports/overview/?format=html", headers=analyst)
    assert page.status_code == 503
    assert "No club has joined this chain yet" in page.text


async def test_a_chain_that_computes_no_figures_says_so(chain_settings: Settings, url: str) -> None:
    await make_chain(url, computing=False)
    await join(url, "North", EVENTS)
    documented = chain_settings.model_copy(update={"chain_groups": "documented"})
    async with open_reading(documented) as chain, asking(chain) as http:
        _, analyst = await Reading(chain, http).person()
        refused = await http.get("/chain/reports/money/", headers=analyst)
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/no-figures")
        (club,) = (await http.get("/chain/clubs/", headers=analyst)).json()
        assert [group["name"] for group in club["groups"]] == ["documented"]


async def test_a_database_that_went_away_is_told_and_that_it_is_back(
    reading: Reading, analyst: Headers, server: str, url: str
) -> None:
    await take_in(url, await join(url, "North", EVENTS), EVENTS)
    assert (await reading.http.get("/chain/clubs/", headers=analyst)).status_code == 200
    assert 'club="North"' in (await reading.http.get("/metrics")).text
    name = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS off".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        for path in ("/chain/clubs/", "/chain/reports/money/", "/chain/reports/overview/"):
            away = await reading.http.get(path, headers=analyst)
            assert (away.status_code, away.json()["type"]) == (503, "/problems/chain-unavailable")
            assert "club" not in away.json()["detail"]
        health = await reading.http.get("/health/")
        assert (health.status_code, health.json()["status"]) == (503, "unavailable")
        assert name not in health.text
        metrics = await reading.http.get("/metrics")
        assert metrics.status_code == 200
        assert 'chain_part_works{part="postgres"} 0.0' in metrics.text
        assert "North" not in metrics.text
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS on".encode())
    assert (await reading.http.get("/chain/reports/money/", headers=analyst)).status_code == 200
    assert (await reading.http.get("/health/")).status_code == 200


async def test_what_is_no_chain_is_not_opened(
    settings: Settings, chain_settings: Settings, database: str
) -> None:
    club = chain_settings.model_copy(update={"chain_database_url": database})
    for wrong, why in (
        (settings, NoChainDatabase),
        (chain_settings, ChainMissing),
        (club, ClubThere),
    ):
        with pytest.raises(why):
            async with open_reading(wrong):
                pass
