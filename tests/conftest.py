"""What all tests share: one private Postgres, a fresh database for each test, an open club."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import argon2
import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner, Result

from application.access import THE_CLUB, Caller
from application.bus import Outcome
from application.command import Command, Context
from application.users import NewUser, RegisterUser
from domain.values import Role
from infra.bootstrap import Club, open_club
from infra.following.rebuilding import make_missing
from infra.ledger.postgres import Postgres
from infra.ledger.schema import advance_ledger
from infra.secrets.keys import Keys
from infra.servers.embedded_postgres import embedded_postgres
from infra.settings import Settings
from interfaces.cli import opening
from interfaces.cli.main import app
from interfaces.rest.main import create_app
from projections.catalogue import GROUPS
from tests.rabbitmq import amqp_url, channel, rabbitmq
from tests.servers import install_what_is_missing, private_redis

__all__ = ["amqp_url", "channel", "rabbitmq"]
"""Fixtures of other modules."""

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
"""Which of the processes that share the tests this is."""


def in_memory(folder: str = "/dev/shm", needed: int = 2**31) -> str | None:
    """Where the data of the tests' Postgres are, where there is so much room in memory.

    A disk would be most of the time of many tests; a container may have a few megabytes there.
    """
    has_room = Path(folder).is_dir() and shutil.disk_usage(folder).free > needed
    return folder if has_room and os.access(folder, os.W_OK) else None


TEMPLATE = f"club_template_{WORKER}"
_numbers = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A Postgres for the tests: the one of CLUB_DATABASE_URL, else a private one."""
    given = Settings().database_url
    if given is not None:
        yield given
        return
    # Not below pytest's own folder: each pytest that starts closes that to other accounts, and
    # as root, Postgres runs under another account.
    home = Path(tempfile.mkdtemp(prefix="club-tests-", dir=in_memory()))
    with embedded_postgres(home) as url:
        yield url
    shutil.rmtree(home)


def pytest_configure(config: pytest.Config) -> None:
    """The first process of the tests sees to it that the servers are installed."""
    if not hasattr(config, "workerinput"):
        install_what_is_missing()


@pytest.fixture
def costly_hashes() -> None:
    """For tests of what a hash of a password costs: what it costs in the club."""


@pytest.fixture(autouse=True)
def cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real hashes of passwords that take no time, but where a test asks for costly ones."""
    if "costly_hashes" not in request.fixturenames:
        monkeypatch.setattr(argon2.profiles, "RFC_9106_LOW_MEMORY", argon2.profiles.CHEAPEST)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, called in this process; the logs of the tests stay as they are."""
    monkeypatch.setattr(opening, "set_up_logs", lambda _: None)
    return lambda *arguments, said="": CliRunner().invoke(app, list(arguments), input=said)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis for the tests: the one of CLUB_REDIS_URL, else a private one."""
    given = Settings().redis_url
    if given is not None:
        yield given
        return
    with private_redis() as private:
        yield private.url


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a database with all tables and no rows, to copy for each test."""
    _admin(server, f"DROP DATABASE IF EXISTS {TEMPLATE}")
    _admin(server, f"CREATE DATABASE {TEMPLATE}")

    async def fill() -> None:
        postgres = Postgres(make_conninfo(server, dbname=TEMPLATE))
        async with await postgres.connect(autocommit=True) as connection:
            await advance_ledger(connection)
        await make_missing(postgres, GROUPS)

    asyncio.run(fill())
    yield TEMPLATE
    _admin(server, f"DROP DATABASE {TEMPLATE} WITH (FORCE)")


@contextmanager
def database_of(server: str, template: str) -> Iterator[str]:
    """The URL of a database with all tables and no rows, for as long as the block lasts."""
    name = f"club_test_{WORKER}_{next(_numbers)}"
    _admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    _admin(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield make_conninfo(server, dbname=name)
    _admin(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(server: str, template: str) -> Iterator[str]:
    """The URL of a database with all tables and no rows, of the test's own."""
    with database_of(server, template) as url:
        yield url


@pytest.fixture
def empty_database(server: str) -> Iterator[str]:
    """The URL of a database without any tables, of the test's own."""
    name = f"club_empty_{WORKER}_{next(_numbers)}"
    _admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    _admin(server, f"CREATE DATABASE {name}")
    yield make_conninfo(server, dbname=name)
    _admin(server, f"DROP DATABASE {name} WITH (FORCE)")


def _admin(server: str, sql: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(sql.encode())


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a key pair, made once, as making one takes a while."""
    home = tmp_path_factory.mktemp("keys")
    Keys(home)
    return home


@pytest.fixture
def settings(database: str, tmp_path: Path, signing_key: Path) -> Settings:
    """Settings for a club on the test's own database."""
    home = tmp_path / "home"
    shutil.copytree(signing_key, home)
    return Settings(
        home=home, database_url=database, redis_url=None, amqp_url=None, telegram_token=None
    )


@pytest.fixture
async def club(settings: Settings) -> AsyncIterator[Club]:
    """An open club, projecting, without housekeeping."""
    async with open_club(settings) as opened:
        yield opened


@dataclass
class Rest:
    """The REST API of a club, called in this process."""

    club: Club
    http: httpx.AsyncClient
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    async def do(self, command: Command, caller: Caller = THE_CLUB) -> Outcome:
        """Have a command done without HTTP, to set a scene."""
        return await self.club.bus.execute(command, Context(caller, "scene"))

    def token(self, user_id: int) -> dict[str, str]:
        """The header of a user who is signed in."""
        return {"Authorization": f"Bearer {self.club.tokens.access_token(user_id, None, 600)}"}

    async def user(self, role: Role = Role.USER, **facts: Any) -> tuple[int, dict[str, str]]:
        """A new user with a role, and the header of its token."""
        number = next(self._names)
        body = NewUser(
            **{
                "username": f"user{number}",
                "email": f"user{number}@example.com",
                "password": "long enough",
                "role": role,
                **facts,
            }
        )
        outcome = await self.do(RegisterUser(body))
        assert outcome.body is not None
        return outcome.body["id"], self.token(outcome.body["id"])


@pytest.fixture
async def rest(club: Club) -> AsyncIterator[Rest]:
    """The REST API of an open club."""
    transport = httpx.ASGITransport(app=create_app(club), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
        yield Rest(club, http)
