"""`kill -9`: of the service, of Postgres, of a projector, all in mid-load. Nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from infra.following.rebuilding import rebuild
from infra.ledger.postgres import Postgres
from infra.servers.embedded_postgres import embedded_postgres, start_again
from projections.catalogue import DOCUMENTED
from tests.acceptance.service import CHECKOUT, PATIENCE, Service, until
from tests.projections.histories import record, rich

Services = Callable[..., Service]
WORKERS = 32


class Load:
    """Many clients, who each add one membership after another, under a key each.

    The key is the description, too, so that every request can be told in tables and log.
    """

    def __init__(self, service: Service, headers: dict[str, str], name: str = "load") -> None:
        self._service = service
        self._headers = headers
        self._name = name
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.unanswered: set[str] = set()
        self.refusals: list[httpx.Response] = []
        self._done = False

    def stop(self) -> None:
        self._done = True

    async def post(self, http: httpx.AsyncClient, key: str) -> bool:
        """Ask once under this key; whether the answer was yes. Lost answers raise."""
        self.unanswered.add(key)
        answer = await http.post(
            "/memberships/",
            json={"price": "9.90", "description": key},
            headers={"Idempotency-Key": key},
        )
        if answer.status_code != 201:
            self.refusals.append(answer)
            return False
        assert self.acknowledged.setdefault(key, answer.json()) == answer.json()
        self.unanswered.discard(key)
        return True

    async def insist(self, http: httpx.AsyncClient, key: str) -> None:
        """Ask under this key until the answer is yes."""
        deadline = time.monotonic() + PATIENCE
        while not await self.post(http, key):
            assert time.monotonic() < deadline, self.refusals[-1].text
            await asyncio.sleep(0.05)  # Retry-After says a second; the test has less.

    async def run(self, *, until_lost: bool) -> None:
        """Ask until told to stop; ask again under the same key, or end where an answer is lost."""
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(
                base_url=self._service.url, headers=self._headers, timeout=60, limits=limits
            ) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for worker in range(WORKERS):
                tasks.create_task(self._work(http, worker, until_lost=until_lost))

    async def _work(self, http: httpx.AsyncClient, worker: int, *, until_lost: bool) -> None:
        number = 0
        while not self._done:
            number += 1
            key = f"{self._name}-{worker}-{number}"
            try:
                await self.insist(http, key)
            except httpx.TransportError:
                if not until_lost:
                    raise
                return

    async def answered(self, many: int) -> None:
        """Wait for so many more yeses."""
        wanted = len(self.acknowledged) + many
        deadline = time.monotonic() + PATIENCE
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.refusals[-1:]
            await asyncio.sleep(0.01)


def assert_each_happened_once(service: Service, load: Load, headers: dict[str, str]) -> None:
    """Every acknowledged request is in tables and log, once, as it was answered."""
    with service.http(headers) as http:
        found: dict[str, dict[str, Any]] = {}
        page = "/memberships/?limit=500"
        while page:
            answer = http.get(page)
            for row in answer.json():
                assert row["description"] not in found, "it happened twice"
                found[row["description"]] = row
            page = answer.links.get("next", {}).get("url", "")
    assert load.unanswered == set()
    assert found == load.acknowledged
    with embedded_postgres(service.home) as url, psycopg.connect(url) as connection:
        logged = connection.execute(
            "SELECT convert_from(state, 'UTF8')::json ->> 'description' FROM ledger_events"
            " WHERE topic = 'membership.added' ORDER BY 1"
        ).fetchall()
        positions = connection.execute(
            "SELECT count(*) = max(notification_id) FROM ledger_events"
        ).fetchone()
    assert [row[0] for row in logged] == sorted(load.acknowledged)
    assert positions == (True,), "positions have no gaps"
    rebuilt = service.club("replay")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "was not what the ledger says" not in rebuilt.stdout, rebuilt.stdout


async def test_a_service_killed_in_mid_load_loses_nothing_it_acknowledged(
    services: Services,
) -> None:
    service = services()
    service.start()
    headers = service.admin()
    load = Load(service, headers)
    running = asyncio.create_task(load.run(until_lost=True))
    for _ in range(2):
        await load.answered(200)
        service.kill()
        await running
        assert load.unanswered, "it was in the middle of something"
        assert service.postgres_runs()

        service.start()
        async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60) as http:
            for key in [*load.unanswered, *list(load.acknowledged)[:5]]:
                assert await load.post(http, key)
        load = _continued(load, service, headers)
        running = asyncio.create_task(load.run(until_lost=True))
    await load.answered(50)
    load.stop()
    await running
    assert load.refusals == []
    assert_each_happened_once(service, load, headers)


def _continued(load: Load, service: Service, headers: dict[str, str]) -> Load:
    """More of the same, with new keys."""
    more = Load(service, headers, name=f"more-{len(load.acknowledged)}")
    more.acknowledged = load.acknowledged
    return more


async def test_an_embedded_postgres_killed_in_mid_load_is_started_again(
    services: Services,
) -> None:
    service = services()
    service.start()
    headers = service.admin()
    load = Load(service, headers)
    running = asyncio.create_task(load.run(until_lost=False))
    for _ in range(2):
        await load.answered(200)
        postmaster = service.postmaster()
        postmaster.kill()
        another = partial(_another, service, postmaster)
        await asyncio.to_thread(until, another, "another one runs")
        await load.answered(200)
    load.stop()
    await running
    for refusal in load.refusals:
        assert_may_be_asked_again(refusal)
    assert service.process.poll() is None
    assert service.is_open()
    assert_each_happened_once(service, load, headers)
    assert service.end() == 0
    assert not service.postgres_runs()


def _another(service: Service, postmaster: psutil.Process) -> bool:
    try:
        return service.postmaster() != postmaster
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
        return False


def assert_may_be_asked_again(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) >= 1


async def test_while_a_postgres_elsewhere_is_down_answers_are_503_and_then_it_goes_on(
    services: Services, tmp_path: Path
) -> None:
    for above in (tmp_path, *tmp_path.parents):
        above.chmod(above.stat().st_mode | 0o001)
    elsewhere = tmp_path / "elsewhere"
    with embedded_postgres(elsewhere) as url:
        service = services(CLUB_DATABASE_URL=url)
        service.start()
        headers = service.admin()
        async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60) as http:
            load = Load(service, headers)
            assert await load.post(http, "before")

            psutil.Process(
                int((elsewhere / "postgres/postmaster.pid").read_text().split()[0])
            ).kill()
            answers = await asyncio.gather(
                http.get("/health/"),
                http.get("/memberships/"),
                http.post("/memberships/", json={"price": "9.90", "description": "meanwhile"}),
                load.post(http, "meanwhile"),
            )
            health, listed, posted, with_key = answers
            assert (health.status_code, health.json()["status"]) == (503, "unavailable")
            assert not with_key
            for refused in (listed, posted, *load.refusals):
                assert_may_be_asked_again(refused)

            start_again(elsewhere)
            # Everything in it comes back by itself.
            await asyncio.to_thread(until, service.is_open, "it is open again")
            await load.insist(http, "meanwhile")
            found = (await http.get("/memberships/")).json()
        assert [row["description"] for row in found] == ["before", "meanwhile"]
        assert service.end() == 0


PROJECT = """
import asyncio, sys
from infra.ledger.postgres import Postgres
from infra.following.projecting import Projector
from infra.following.watch import Watch
from projections.catalogue import DOCUMENTED

asyncio.run(Projector(Postgres(sys.argv[1]), DOCUMENTED, Watch(), batch=20).run())
"""


def test_projectors_killed_in_mid_batch_lose_and_double_nothing(database: str) -> None:
    events = rich(2500).events
    asyncio.run(record(database, events))

    def position() -> int:
        with psycopg.connect(database) as connection:
            row = connection.execute(
                "SELECT position FROM read_groups WHERE name = %s", [DOCUMENTED.name]
            ).fetchone()
            assert row is not None
            return int(row[0])

    def come_to(goal: int) -> bool:
        return position() >= goal

    kills = 0
    while (reached := position()) < len(events):
        projectors = [
            subprocess.Popen([sys.executable, "-c", PROJECT, database], cwd=CHECKOUT)
            for _ in range(2)
        ]
        try:
            goal = min(reached + len(events) // 4, len(events))
            until(partial(come_to, goal), f"they come to {goal}")
        finally:
            for projector in projectors:
                projector.kill()
                projector.wait(PATIENCE)
                kills += 1
    assert kills >= 4
    found = asyncio.run(rebuild(Postgres(database), DOCUMENTED))
    assert (found.position, found.differing) == (len(events), ())
