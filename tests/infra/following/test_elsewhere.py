"""A process that does not project knows how far the read tables are, while somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from application.ports.ledger import LedgerUnavailable
from infra.following.elsewhere import follow
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres

AGES = 30.0
"""Longer than any of these tests takes."""

ADVANCE = "UPDATE read_groups SET position = %s"


class Counting(Postgres):
    """A Postgres that counts the questions, and is out of reach while it is told to be."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked = 0
        self.reachable = True

    async def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.asked += 1
        if not self.reachable:
            raise LedgerUnavailable("it is being restarted")
        return await super().rows(sql, params)


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Counting]:
    counting = Counting(database)
    async with counting.open():
        yield counting


@pytest.fixture
async def watch(postgres: Counting) -> AsyncIterator[Watch]:
    """The watch of a process that follows."""
    followed = Watch()
    following = asyncio.create_task(follow(postgres, followed))
    yield followed
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def another_process_projects_up_to(position: int, database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute(ADVANCE.encode(), [position])


async def asked(postgres: Counting, times: int) -> None:
    async with asyncio.timeout(AGES):
        while postgres.asked < times:  # noqa: ASYNC110 - it does not tell
            await asyncio.sleep(0)


async def test_who_waits_is_told_when_another_process_has_come_far_enough(
    postgres: Counting, watch: Watch, database: str
) -> None:
    waiting = asyncio.create_task(watch.reached(7, AGES))
    await asked(postgres, 2)
    assert not waiting.done()
    await another_process_projects_up_to(6, database)
    await asked(postgres, postgres.asked + 3)
    assert not waiting.done()

    await another_process_projects_up_to(7, database)

    assert await waiting


async def test_as_long_as_nobody_waits_nothing_is_asked(
    postgres: Counting, watch: Watch, database: str
) -> None:
    await another_process_projects_up_to(7, database)
    assert await watch.reached(7, AGES)
    # One look more may be under way when it is reached.
    before = postgres.asked
    await asyncio.sleep(0.1)
    assert postgres.asked <= before + 1


async def test_across_an_outage_it_goes_on(postgres: Counting, watch: Watch, database: str) -> None:
    postgres.reachable = False
    waiting = asyncio.create_task(watch.reached(7, AGES))
    await asked(postgres, 1)

    postgres.reachable = True
    await another_process_projects_up_to(7, database)

    assert await waiting


async def test_who_waits_for_what_does_not_come_is_told_no(watch: Watch) -> None:
    assert not await watch.reached(1, 0.05)
