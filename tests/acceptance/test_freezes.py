"""`kill -STOP` in mid-load: whoever sleeps holds up no other, and loses and doubles nothing."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psycopg
import pytest

from infra.servers.embedded_postgres import embedded_postgres
from tests.acceptance.service import PATIENCE, Service
from tests.acceptance.test_kill import Load

Services = Callable[..., Service]

SOON = 15.0
"""Seconds within which the others go on."""


@pytest.fixture
def database() -> Iterator[str]:
    """A Postgres that is neither service's own."""
    # Not below pytest's own folder: each pytest that starts closes that to other accounts.
    with (
        TemporaryDirectory(prefix="club-freezes-") as folder,
        embedded_postgres(Path(folder, "postgres")) as url,
    ):
        yield url


class Patient(Load):
    """Asks again, under the same key, also where the connection was closed over a long sleep."""

    async def post(self, http: httpx.AsyncClient, key: str) -> bool:
        try:
            return await super().post(http, key)
        except httpx.TransportError:
            return False


async def answers_soon(service: Service, headers: dict[str, str], key: str) -> float:
    """The seconds until a command is recorded there."""
    begun = time.monotonic()
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=PATIENCE) as http:
        answer = await http.post(
            "/memberships/", json={"price": "1", "description": key}, timeout=PATIENCE
        )
    assert answer.status_code == 201, answer.text
    return time.monotonic() - begun


async def test_a_service_that_is_stopped_in_mid_load_is_passed_and_finds_out_when_it_wakes(
    services: Services, database: str
) -> None:
    sleeper, awake = (services(CLUB_DATABASE_URL=database) for _ in range(2))
    sleeper.start()
    headers = sleeper.admin()
    awake.start()
    theirs = awake.admin("other")
    load = Patient(sleeper, headers)
    running = asyncio.create_task(load.run(until_lost=False))
    for n in range(2):
        await load.answered(100)
        sleeper.process.send_signal(signal.SIGSTOP)
        # Longer than an idle transaction may last: whatever it held, it has lost.
        assert await answers_soon(awake, theirs, f"meanwhile-{n}") < SOON
        await asyncio.sleep(5)
        sleeper.process.send_signal(signal.SIGCONT)
    await load.answered(100)
    load.stop()
    await running
    assert sleeper.process.poll() is None, sleeper.said.read_text()[-2000:]
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT convert_from(state, 'UTF8')::json ->> 'description' FROM ledger_events"
            " WHERE topic = 'membership.added' ORDER BY 1"
        ).fetchall()
        gaps = connection.execute(
            "SELECT count(*) <> max(notification_id) FROM ledger_events"
        ).fetchone()
    assert [row[0] for row in rows] == sorted(
        [*load.acknowledged, *(f"meanwhile-{n}" for n in range(2))]
    )
    assert load.unanswered == set()
    assert gaps == (False,)
