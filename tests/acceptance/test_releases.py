"""Two releases of the service on one database: real checkouts that differ in a read model."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from projections.catalogue import DOCUMENTED
from tests.acceptance.service import CHECKOUT, PATIENCE, Service, until

PACKAGES = ("domain", "application", "projections", "interfaces", "infra")
NOW = DOCUMENTED.generation


class Release(Service):
    """The service of one checkout."""

    command = (sys.executable, "-m", "interfaces.cli.main")

    def __init__(self, checkout: Path, home: Path, name: str, database: str) -> None:
        super().__init__(home, CLUB_DATABASE_URL=database)
        self.checkout = checkout
        self.said = home.with_name(f"{name}.said")
        self.watcher: dict[str, str] = {}
        """The headers of an administrator, who is told why something does not run."""

    def projector(self) -> dict[str, Any]:
        """How its documented tables are doing."""
        url = f"{self.url}/health/"
        found: dict[str, Any] = httpx.get(url, headers=self.watcher, timeout=PATIENCE).json()
        group: dict[str, Any] = found["projectors"]["documented"]
        return group

    def add(self, headers: dict[str, str], description: str) -> dict[str, Any]:
        """A new membership, as this release answers it."""
        answer = httpx.post(
            f"{self.url}/memberships/",
            json={"price": "10", "description": description},
            headers=headers,
            timeout=PATIENCE,
        )
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def shown(self, headers: dict[str, str]) -> list[str]:
        """The descriptions of all memberships, as this release reads them."""
        answer = httpx.get(f"{self.url}/memberships/", headers=headers, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return [row["description"] for row in answer.json()]


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the next release: another projector, another table, the next generation."""
    checkout = tmp_path_factory.mktemp("newer")
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, checkout / package)
    edit(checkout / "projections/catalogue.py", rf"generation={NOW}\b", f"generation={NOW + 1}")
    edit(
        checkout / "projections/memberships.py",
        r'"description": event\.description',
        '"description": f"{event.description} (newer)"',
    )
    edit(
        checkout / "projections/clients.py",
        r"until timestamptz,",
        "until timestamptz, note text,",
    )
    return checkout


def edit(file: Path, pattern: str, new: str) -> None:
    text, times = re.subn(pattern, new, file.read_text())
    assert times == 1, (file, pattern)
    file.write_text(text)


@pytest.fixture
def release(empty_database: str, tmp_path: Path) -> Iterator[Callable[[Path, str], Release]]:
    """Makes services of a checkout, on one database and with one set of keys."""
    with ExitStack() as stack:

        def make(checkout: Path, name: str) -> Release:
            made = Release(checkout, tmp_path / "home", name, empty_database)
            stack.callback(made.close)
            return made

        yield make


def generation(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT generation FROM read_groups WHERE name = 'documented'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def stands_aside(release: Release) -> dict[str, Any] | None:
    group = release.projector()
    return group if "stands aside" in group.get("detail", "") else None


def works_alone(release: Release) -> bool:
    """Whether one of two projectors works, and the other is missed."""
    group = release.projector()
    return (group["status"], group.get("working")) == ("degraded", 1)


def test_a_newer_release_beside_an_older_one(
    release: Callable[[Path, str], Release], newer: Path, empty_database: str
) -> None:
    old, new = release(CHECKOUT, "old"), release(newer, "new")
    old.start()
    admin = old.admin()
    old.add(admin, "first")
    assert old.shown(admin) == ["first"]

    new.start()
    until(lambda: generation(empty_database) == NOW + 1, "the newer one builds its tables")
    until(lambda: new.projector()["status"] == "running", "and projects into them")
    group = until(lambda: stands_aside(old), "the older one says that it stands aside")
    assert f"generation {NOW + 1}" in group["detail"]

    # Both take commands and read; whoever writes with either reads it, from either.
    old.add(admin, "second")
    new.add(admin, "third")
    expected = [f"{name} (newer)" for name in ("first", "second", "third")]
    until(lambda: old.shown(admin) == expected, "the older one reads what the newer one shows")
    assert new.shown(admin) == expected

    # An older command line beside them changes nothing either.
    issued = old.club("tokens", "issue", "owner")
    assert issued.returncode == 0, issued.stderr
    old.end()
    old.start()
    assert old.shown(admin) == expected
    assert generation(empty_database) == NOW + 1
    assert new.projector()["status"] == "running"


def test_an_older_release_beside_a_newer_one_and_back_by_hand(
    release: Callable[[Path, str], Release], newer: Path, empty_database: str
) -> None:
    new, old = release(newer, "new"), release(CHECKOUT, "old")
    new.start()
    admin = new.admin()
    new.add(admin, "first")
    old.start()
    old.watcher = admin
    until(lambda: stands_aside(old), "the older one says that it stands aside")
    old.add(admin, "second")
    until(
        lambda: old.shown(admin) == ["first (newer)", "second (newer)"],
        "it reads what the newer one shows",
    )
    assert generation(empty_database) == NOW + 1

    # Alone, it goes on taking commands, and waits for a person.
    new.end()
    old.add(admin, "third")
    group = until(
        lambda: (found := old.projector())["status"] == "standing" and found, "nobody projects"
    )
    assert "stands aside" in group["detail"]
    assert old.shown(admin) == ["first (newer)", "second (newer)"]

    back = old.club("replay")
    assert back.returncode == 0, back.stderr
    until(lambda: old.shown(admin) == ["first", "second", "third"], "it goes on by itself")
    assert generation(empty_database) == NOW

    # And forward again, by whoever comes with the newer one.
    new.start()
    until(lambda: generation(empty_database) == NOW + 1, "the newer one builds its tables")


def test_an_upgrade_serves_from_the_first_second(
    release: Callable[[Path, str], Release], newer: Path, empty_database: str
) -> None:
    old, new = release(CHECKOUT, "old"), release(newer, "new")
    old.start()
    admin = old.admin()
    old.add(admin, "first")
    old.end()
    with psycopg.connect(empty_database) as reader:
        reader.execute("SELECT FROM memberships")  # as long as this goes on, nothing is exchanged
        new.start()
        assert new.shown(admin) == ["first"], "the old tables are served"
        new.add(admin, "second")
        assert generation(empty_database) == NOW
        reader.rollback()
    until(
        lambda: new.shown(admin) == ["first (newer)", "second (newer)"], "the new tables are served"
    )


def test_a_release_killed_while_it_builds_leaves_the_tables_to_the_next(
    release: Callable[[Path, str], Release], newer: Path, empty_database: str
) -> None:
    old, new = release(CHECKOUT, "old"), release(newer, "new")
    old.start()
    admin = old.admin()
    old.add(admin, "first")
    with psycopg.connect(empty_database) as reader:
        reader.execute("SELECT FROM memberships")
        new.start()
        until(lambda: being_built(empty_database), "it builds")
        until(lambda: works_alone(old), "and is known to")
        new.end(signal.SIGKILL)
        old.add(admin, "second")
        assert old.shown(admin) == ["first", "second"]
        assert works_alone(old)
        reader.rollback()
    new.start()
    expected = ["first (newer)", "second (newer)"]
    until(lambda: new.shown(admin) == expected, "the next one builds anew")


def test_a_newer_release_builds_by_hand_as_well(
    release: Callable[[Path, str], Release], newer: Path, empty_database: str
) -> None:
    old, new = release(CHECKOUT, "old"), release(newer, "new")
    old.start()
    admin = old.admin()
    old.add(admin, "first")
    for _ in range(2):
        built = new.club("replay")
        assert built.returncode == 0, built.stderr
        assert built.stdout.startswith("documented: built from ")
        assert "was not what the ledger says" not in built.stdout
    assert generation(empty_database) == NOW + 1
    assert old.shown(admin) == ["first (newer)"]


def being_built(database: str) -> bool:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT to_regclass('club_rebuild_documented.memberships') IS NOT NULL"
        ).fetchone()
    return row == (True,)


def test_settings_beside_a_running_service_change_nothing(
    release: Callable[[Path, str], Release], empty_database: str
) -> None:
    """What the environment says of rules is the first value, and no other process's."""
    service = release(CHECKOUT, "sharing")
    service.environment = {**service.environment, "CLUB_SHARED_MEMBERSHIPS": "true"}
    service.start()
    admin = service.admin()
    beside = release(CHECKOUT, "beside")
    issued = beside.club("tokens", "issue", "owner")
    assert issued.returncode == 0, issued.stderr
    membership = service.add(admin, "shared")["id"]
    for number in range(2):
        user = httpx.post(
            f"{service.url}/users/",
            json={
                "username": f"user{number}",
                "email": f"user{number}@example.com",
                "password": "long enough",
            },
            timeout=PATIENCE,
        )
        client = httpx.post(
            f"{service.url}/clients/",
            json={
                "user_id": user.json()["id"],
                "membership_id": membership,
                "first_name": "Ada",
                "last_name": "Lovelace",
                "phone_number": "1",
                "date_of_birth": "1990-12-10",
            },
            headers=admin,
            timeout=PATIENCE,
        )
        assert client.status_code == 201, client.text
        read = httpx.get(f"{service.url}{client.headers['Location']}", headers=admin)
        assert read.status_code == 200
    rules = beside.club("rules")
    assert re.search(r"shared-memberships +yes", rules.stdout), rules.stderr
    refused = beside.club("rules", "--no-shared-memberships")
    assert refused.returncode == 1
    assert f"membership {membership}" in refused.stderr
    assert service.projector()["status"] == "running"
