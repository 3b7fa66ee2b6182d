"""What the club says of how its parts are doing, and what that costs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from application.exercises import AddExercise, ExerciseBody
from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.health import LONGEST_LOOK
from infra.parts import API, Plain
from infra.servers.embedded_postgres import embedded_postgres
from infra.settings import Settings
from interfaces.rest.main import create_app
from tests.conftest import Rest
from tests.waiting import until

SEEN = """
INSERT INTO parts (name, process, status, detail, since, seen_at)
VALUES (%s, %s, 'running', '', now() - interval '1 hour', now() - make_interval(secs => %s))
"""


def seen(database: str, name: str, process: str, seconds_ago: float) -> None:
    """A process of a part, heard of so long ago."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SEEN, [name, process, seconds_ago])


def processes(database: str, name: str) -> set[str]:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT process FROM parts WHERE name = %s", [name])
        return {row[0] for row in found.fetchall()}


async def test_a_look_costs_one_query_however_many_ask(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    rows = rest.club.postgres.watching.rows

    async def counted(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return await rows(sql, params)

    monkeypatch.setattr(rest.club.postgres.watching, "rows", counted)
    answers = await asyncio.gather(*(rest.http.get("/health/") for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200}
    looks = [sql for sql in asked if "'parts'" in sql]
    assert 1 <= len(looks) <= 3, "those who come while one looks share the next look"


async def test_whoever_asks_is_told_what_is_so_by_then(rest: Rest) -> None:
    for number in range(20):
        before = asyncio.create_task(rest.club.health())
        await asyncio.sleep(0)
        await rest.do(AddExercise(ExerciseBody(title=f"Exercise {number}")))
        head = await rest.club.ledger.head()
        assert (await rest.club.health()).report["ledger"]["head"] >= head
        await before


@contextmanager
def frozen(home: Path) -> Iterator[None]:
    """The Postgres of this home, stopped with all of its processes."""
    server = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    family = [server, *server.children()]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in family:
            process.send_signal(signal.SIGCONT)


async def test_a_postgres_that_is_frozen_is_said_to_be_while_it_is(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path / "home") as url:
        settings = Settings(home=tmp_path / "club", database_url=url)
        async with open_club(settings, building=True) as club:
            http = httpx.AsyncClient(
                transport=httpx.ASGITransport(app=create_app(club)), base_url="http://club"
            )
            assert (await http.get("/health/")).status_code == 200
            with frozen(tmp_path / "home"):
                begun = time.monotonic()
                answers = await asyncio.gather(*(http.get("/health/") for _ in range(20)))
                assert time.monotonic() - begun < 2 * LONGEST_LOOK + 1
                assert {answer.status_code for answer in answers} == {503}
                assert answers[0].json()["components"]["postgres"] == {"status": "unavailable"}

            async def well() -> bool:
                return (await http.get("/health/")).status_code == 200

            await until(well, "it is well again")


async def test_why_something_does_not_run_is_for_admins(rest: Rest, database: str) -> None:
    _, admin = await rest.user(Role.ADMIN)
    seen(database, "documented", "elsewhere:1:x", 60)
    told: dict[str, Any] = {}
    for who, headers in (
        ("admin", admin),
        ("anybody", {}),
        ("member", (await rest.user())[1]),
        ("analyst", (await rest.user(Role.ANALYST))[1]),
        ("stranger", {"Authorization": "Bearer nonsense"}),
    ):
        answer = await rest.http.get("/health/", headers=headers)
        assert answer.status_code == 200
        told[who] = answer.json()["components"]["projector"]
    detail = told["admin"].pop("detail")
    assert "not heard of since" in detail
    assert all(said == told["anybody"] for said in told.values())
    assert told["anybody"]["status"] == "degraded", "one of two works"
    assert told["anybody"]["since"]


def ended_pid() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


async def test_one_that_came_in_the_place_of_a_dead_one_lets_it_be_forgotten(
    settings: Settings, database: str
) -> None:
    here = socket.gethostname()
    dead, frozen = f"{here}:{ended_pid()}:dead", f"{here}:{os.getppid()}:frozen"
    seen(database, API, dead, 11)
    seen(database, API, frozen, 11)
    seen(database, API, f"{here}-2:1:elsewhere", 11)
    seen(database, "documented", f"{here}:2:another-part", 11)
    async with open_club(settings, reporting=True) as club, club.parts.reporting(Plain(API)):

        async def replaced() -> bool:
            return dead not in processes(database, API)

        await until(replaced, "the dead one is forgotten")
        stay = {f"{here}-2:1:elsewhere", frozen}
        assert processes(database, API) == {*stay, club.parts.process}
    assert processes(database, API) == stay, "who ends takes its row along"


async def test_one_that_was_there_before_does_not_hide_a_frozen_one(
    settings: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.parts.SILENT", 0.2)
    monkeypatch.setattr("infra.parts.REPLACED", 0.1)
    monkeypatch.setattr("infra.parts.EVERY", 0.05)
    here = socket.gethostname()
    async with open_club(settings, reporting=True) as club, club.parts.reporting(Plain(API)):

        async def told() -> bool:
            return club.parts.process in processes(database, API)

        await until(told, "it is heard of")
        await asyncio.sleep(0.2)  # what is seen from here on came after it
        seen(database, API, f"{here}:1:beside", 0)

        async def named() -> bool:
            shown: str = (await club.health()).report["components"]["api"]["status"]
            return shown == "degraded"

        await until(named, "it is missed")
        for _ in range(5):
            await asyncio.sleep(0.05)
            assert await named()


async def test_the_age_of_what_was_not_handled_is_told(club: Club, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ledger_events VALUES ('client-1', 1, 'client.from-the-future', '{}', 1,"
            " clock_timestamp() - interval '90 seconds', 'x', 'x', 'x', 'x', 'x')"
        )

    async def old() -> dict[str, Any] | None:
        shown: dict[str, Any] = (await club.health()).report["projectors"]["documented"]
        return shown if shown["status"] == "standing" else None

    shown = await until(old, "it stands still")
    assert 90 <= shown["age"] < 120
    assert shown["lag"] == 1


async def test_what_a_database_says_of_a_row_is_told_to_nobody(
    rest: Rest, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, username, email, password_hash, role, created_at)"
            " VALUES (1000000, 'x', 'mia.muster@example.com', 'x', 'USER', now())"
        )
    body = {"username": "mia", "email": "mia.muster@example.com", "password": "long enough"}
    assert (await rest.http.post("/users/", json=body)).status_code == 201

    async def stands() -> str | None:
        found = (await rest.http.get("/health/", headers=admin)).json()
        return str(found) if found["components"]["projector"]["status"] == "standing" else None

    said = await until(stands, "it stands still")
    assert "duplicate key" in said
    for told in (said, (await rest.http.get("/health/")).text, capsys.readouterr().out):
        assert "muster" not in told
