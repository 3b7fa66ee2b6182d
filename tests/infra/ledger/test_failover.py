"""The address of Postgres leads to another server: the club is there within seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.settings import Settings
from interfaces.rest.main import create_app
from tests.conftest import Rest
from tests.failover import Pair, pair
from tests.waiting import until

SECONDS = 15.0
"""Within which the club is on the new server."""


@pytest.fixture
def servers() -> Iterator[Pair]:
    with pair() as both:
        yield both


@pytest.fixture
async def club(servers: Pair, tmp_path: Path, signing_key: Path) -> AsyncIterator[Club]:
    settings = Settings(home=signing_key, database_url=servers.url, redis_url=None, amqp_url=None)
    async with open_club(settings, building=True) as opened:
        yield opened


async def post(http: httpx.AsyncClient, price: str, admin: dict[str, str]) -> int | None:
    """The number of a new membership; None where it is refused for now."""
    answer = await http.post("/memberships/", json={"price": price}, headers=admin)
    assert answer.status_code in {201, 503}, answer.text
    return int(answer.json()["id"]) if answer.status_code == 201 else None


async def a_membership(rest: Rest) -> tuple[dict[str, str], int]:
    """The header of an administrator, and the number of a membership for 10.00."""
    _, admin = await rest.user(Role.ADMIN)
    number = await post(rest.http, "10.00", admin)
    assert number is not None
    return admin, number


async def copied(servers: Pair) -> None:
    """Wait until the copy has all that the primary has."""
    await until(lambda: asyncio.to_thread(servers.caught_up), "the copy has it")


async def read(http: httpx.AsyncClient, number: int, admin: dict[str, str]) -> httpx.Response:
    return await http.get(f"/memberships/{number}/", headers=admin)


async def test_commands_and_reads_are_on_the_new_primary_while_the_old_one_lives_on(
    servers: Pair, club: Club, rest: Rest
) -> None:
    admin, number = await a_membership(rest)
    assert (await read(rest.http, number, admin)).json()["price"] == "10.00"
    await copied(servers)

    servers.old.close()
    servers.new.promote()
    servers.address.redirect(servers.new.socket)
    begun = time.monotonic()
    later = await until(lambda: post(rest.http, "11.00", admin), "it takes commands", SECONDS)
    change = await rest.http.patch(
        f"/memberships/{number}/", json={"price": "12.00"}, headers=admin
    )

    assert change.status_code == 200, change.text
    # One after the other, over every connection that there may be.
    for _ in range(20):
        assert (await read(rest.http, number, admin)).json()["price"] == "12.00"
        assert (await read(rest.http, later, admin)).status_code == 200
    assert time.monotonic() - begun < SECONDS
    assert club.postgres.era == 1
    (_, old), (_, new) = [
        (s, s.ask("SELECT max(notification_id) FROM ledger_events")[0][0])
        for s in (servers.old, servers.new)
    ]
    assert isinstance(old, int)
    assert isinstance(new, int)
    assert old < new


async def test_a_process_that_only_reads_finds_out_by_itself(
    servers: Pair, club: Club, rest: Rest
) -> None:
    admin, number = await a_membership(rest)
    await copied(servers)
    assert (await read(rest.http, number, admin)).status_code == 200

    servers.old.close()
    servers.new.promote()
    servers.address.redirect(servers.new.socket)
    elsewhere = Settings(
        home=club.settings.home, database_url=servers.url, redis_url=None, amqp_url=None
    )
    async with open_club(elsewhere) as other:
        transport = httpx.ASGITransport(app=create_app(other))
        async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
            change = await http.patch(
                f"/memberships/{number}/", json={"price": "12.00"}, headers=admin
            )
            assert change.status_code == 200, change.text

    async def shown() -> bool:
        answer = await read(rest.http, number, admin)
        return answer.status_code == 200 and answer.json()["price"] == "12.00"

    # The very first answer of a server that was closed tells so.
    assert await shown()


@pytest.mark.parametrize(("lost", "price"), [(True, "10.00"), (False, "99.00")])
async def test_nothing_is_answered_but_what_the_new_primary_has(
    servers: Pair, club: Club, rest: Rest, lost: bool, price: str
) -> None:
    admin, number = await a_membership(rest)
    await copied(servers)
    if lost:
        servers.new.leave()
    path = f"/memberships/{number}/"
    changed = await rest.http.patch(path, json={"price": "99.00"}, headers=admin)
    assert changed.status_code == 200, changed.text
    assert (await read(rest.http, number, admin)).json()["price"] == "99.00"
    if not lost:
        await copied(servers)

    servers.old.end()
    servers.new.promote()
    servers.address.redirect(servers.new.socket)

    async def shown() -> str | None:
        answer = await read(rest.http, number, admin)
        assert answer.status_code in {200, 503}, answer.text
        return str(answer.json()["price"]) if answer.status_code == 200 else None

    assert await until(shown, "it is shown", SECONDS) == price
    described = await rest.http.patch(path, json={"description": "towels"}, headers=admin)
    assert described.status_code == 200, described.text
    assert described.json()["price"] == price
    assert club.ledger.era == 1


async def test_a_standby_is_not_read_by_who_knew_a_primary(
    servers: Pair, club: Club, rest: Rest
) -> None:
    admin, number = await a_membership(rest)
    await copied(servers)

    await asyncio.to_thread(servers.old.stand_by)
    assert (await read(rest.http, number, admin)).status_code == 503

    servers.new.promote()
    servers.address.redirect(servers.new.socket)
    assert await until(lambda: post(rest.http, "11.00", admin), "it takes commands", SECONDS)
    assert (await read(rest.http, number, admin)).status_code == 200


async def test_a_primary_that_vanishes_without_a_word_is_left(
    servers: Pair, club: Club, rest: Rest
) -> None:
    admin, number = await a_membership(rest)
    await copied(servers)

    servers.address.swallow()
    servers.new.promote()
    servers.address.redirect(servers.new.socket)
    begun = time.monotonic()
    waiting = asyncio.create_task(rest.http.get(f"/memberships/{number}/", headers=admin))
    assert await until(lambda: post(rest.http, "11.00", admin), "it takes commands", 2 * SECONDS)
    assert time.monotonic() - begun < SECONDS
    assert (await waiting).status_code == 200
