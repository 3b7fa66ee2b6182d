"""Lists that take long harm nobody who does not ask for lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.settings import Settings
from tests.conftest import Rest

QUICK = 1.0
"""Seconds within which an answer comes, on a busy machine too."""


@pytest.fixture
async def club(settings: Settings) -> AsyncIterator[Club]:
    async with open_club(settings.model_copy(update={"showing_seconds": 4.0})) as opened:
        yield opened


async def took(asked: httpx.Response, begun: float) -> float:
    assert asked.status_code in {200, 201}, asked.text
    return time.monotonic() - begun


async def test_slow_lists_leave_commands_rows_and_heartbeats_as_fast_as_before(
    rest: Rest, database: str
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    number = (await rest.http.post("/memberships/", json={"price": "1"}, headers=admin)).json()
    async with await psycopg.AsyncConnection.connect(database) as other:
        # Nobody reads reports as long as this lasts.
        await other.execute("LOCK TABLE simple_report IN ACCESS EXCLUSIVE MODE")
        slow = [
            asyncio.create_task(rest.http.get(f"/reports/?limit={n}", headers=admin))
            for n in range(1, 9)
        ]
        await asyncio.sleep(0.5)
        for _ in range(3):
            begun = time.monotonic()
            made = await rest.http.post("/memberships/", json={"price": "2"}, headers=admin)
            assert await took(made, begun) < QUICK
            begun = time.monotonic()
            path = f"/memberships/{number['id']}/"
            assert await took(await rest.http.get(path, headers=admin), begun) < QUICK
            begun = time.monotonic()
            assert (await rest.club.health()).able
            assert time.monotonic() - begun < QUICK
        assert not any(task.done() for task in slow)
        answers = await asyncio.gather(*slow)
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/took-too-long"
        assert int(answer.headers["Retry-After"]) > 0
