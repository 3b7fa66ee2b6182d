"""Backup and restore, with the very commands of docs/operations.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from infra.servers.embedded_postgres import embedded_postgres
from infra.servers.postgres_server import PROGRAMS
from tests.acceptance.service import CHECKOUT, PASSWORD, PATIENCE, Service, a_payment, until

PAGE = (CHECKOUT / "docs/operations.md").read_text()


def commands(title: str) -> str:
    """What is to be typed under this heading."""
    section = PAGE.partition(f"\n### {title}\n")[2].partition("\n### ")[0]
    (block,) = re.findall(r"^ *```sh\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return str(block)


def typed(title: str, folder: Path, home: Path, database: str) -> None:
    """Type them in a folder, for a club in this home and database."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands(title)],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "CLUB_HOME": str(home),
            "DATABASE": database,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def servers() -> Iterator[tuple[str, str]]:
    """Two Postgres servers: the club's, and a fresh one."""
    homes = [Path(tempfile.mkdtemp(prefix="club-restore-")) for _ in range(2)]
    with embedded_postgres(homes[0]) as before, embedded_postgres(homes[1]) as after:
        yield before, after
    for home in homes:
        shutil.rmtree(home)


@pytest.mark.parametrize("way", ["Restore everything", "Restore the ledger alone"])
def test_a_club_is_restored_as_the_page_says(
    services: Callable[..., Service], servers: tuple[str, str], tmp_path: Path, way: str
) -> None:
    before, after = servers
    club = services(CLUB_DATABASE_URL=before)
    club.start()
    owner = club.admin()
    kept = [a_payment(club, owner, f"kept{n}") for n in range(3)]
    with club.http(owner) as http:
        shown = {path: http.get(path).json() for path in ("/users/", "/clients/", kept[0])}
    typed("Back up", tmp_path, club.home, before)
    lost = a_payment(club, owner, "lost")
    club.end()

    restored = services(CLUB_DATABASE_URL=after)
    restored.home.mkdir(mode=0o700)
    typed(way, tmp_path, restored.home, after)
    if way == "Restore everything":
        with psycopg.connect(after, autocommit=True) as connection:
            connection.execute("SELECT setval('payments_id_seq', 1)")
    restored.start()

    with restored.http(owner) as http:  # whose token was signed before
        until(lambda: http.get(kept[-1]).status_code == 200, "the tables have caught up")
        assert {path: http.get(path).json() for path in shown} == shown
        assert http.get(lost).status_code == 404
    assert_it_goes_on(restored, owner, kept)
    assert_it_is_whole(restored, after)


def assert_it_goes_on(restored: Service, owner: dict[str, str], kept: list[str]) -> None:
    """What is asked for is done at the first try, under numbers of its own."""
    account = {"username": "new", "email": "new@example.com", "password": PASSWORD}
    with restored.http() as http:
        assert http.post("/users/", json=account).status_code == 201
    assert a_payment(restored, owner, "again") not in kept


def assert_it_is_whole(restored: Service, database: str) -> None:
    """The tables are those of the ledger, which nobody can change."""
    rebuilt = restored.club("replay")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "was not what the ledger says" not in rebuilt.stdout, rebuilt.stdout
    with psycopg.connect(database) as connection, pytest.raises(psycopg.errors.RaiseException):
        connection.execute("DELETE FROM ledger_events")
