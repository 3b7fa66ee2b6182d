"""`club audit export` and `import`, as somebody at the machine sees them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from infra.bootstrap import open_club
from infra.ledger.numbers import put_right
from infra.ledger.postgres import Postgres
from infra.settings import Settings
from tests.infra.ledger.scenes import look
from tests.interfaces.cli.conftest import CLUB, CommandLine
from tests.projections.histories import record, rich

Command = Callable[..., Result]
EVENTS = rich(60).events


@pytest.fixture
def moving(
    settings: Settings, database: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """A club; called, it is an empty database from there on, with the same keys."""

    async def fill() -> None:
        await record(database, EVENTS)
        async with open_club(settings) as club:
            assert await club.watch.reached(len(EVENTS), 30)
        async with await Postgres(database).connect(autocommit=True) as connection:
            await put_right(connection)

    asyncio.run(fill())
    monkeypatch.setenv("CLUB_HOME", str(settings.home))
    monkeypatch.setenv("CLUB_DATABASE_URL", database)
    return lambda: monkeypatch.setenv("CLUB_DATABASE_URL", empty_database)


@pytest.mark.parametrize("options", [[], ["--gzip"]])
def test_a_club_moves_as_a_file(
    command: Command, moving: Callable[[], None], database: str, empty_database: str,
    tmp_path: Path, options: list[str],
) -> None:  # fmt: skip
    file = tmp_path / "club.jsonl"
    done = command("audit", "export", "--out", str(file), *options)
    assert done.exit_code == 0, done.output
    count = len(EVENTS) + 1  # with the reading that this is
    assert f"Exported {count} events." in done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    moving()
    done = command("audit", "import", str(file))
    assert (done.exit_code, done.stdout) == (0, f"Imported {count} events.\n"), done.output
    for rows in ("ledger_events ORDER BY notification_id", "clients ORDER BY id"):
        query = f"SELECT * FROM {rows}"
        assert look(empty_database, query) == look(database, query) != []
    again = command("audit", "import", str(file))
    assert (again.exit_code, again.stdout) == (1, "")
    assert "There is a club in this database already" in again.stderr


def test_a_changed_file_is_refused_by_line_and_no_club_is_made(
    command: Command, moving: Callable[[], None], empty_database: str, tmp_path: Path
) -> None:
    file = tmp_path / "club.jsonl"
    assert command("audit", "export", "--out", str(file)).exit_code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:6], lines[6].replace(b'"command":"', b'"command":"x')]))
    moving()
    refused = command("audit", "import", str(file))
    assert (refused.exit_code, refused.stdout) == (1, "")
    said = "Line 7 of the export: the event was changed. Nothing was imported."
    assert said in refused.stderr
    assert look(empty_database, "SELECT count(*) FROM ledger_events") == [(0,)]
    told = command("rules")
    assert "There is no club in this database yet" in told.stderr


def test_an_export_goes_to_standard_output_and_says_where_that_is_full(
    command_line: CommandLine, moving: Callable[[], None]
) -> None:
    done = command_line.run("audit", "export")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == len(EVENTS) + 2
    with Path("/dev/full").open("wb") as full:
        refused = subprocess.run(
            [*CLUB, "audit", "export"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == "No space left on device."


def test_an_export_is_noted_before_it_is_made_and_the_same_each_time(
    command: Command, moving: Callable[[], None], database: str, tmp_path: Path
) -> None:
    notes = (
        "SELECT notification_id FROM ledger_events"
        " WHERE topic = 'audit-reading.made' AND actor = 'club' ORDER BY 1"
    )
    files = [tmp_path / f"{number}.jsonl" for number in range(3)]
    assert command("audit", "export", "--out", str(files[0])).exit_code == 0
    assert command("audit", "export", "--out", str(files[1])).exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert look(database, notes) == [(len(EVENTS) + 1,)]
    assert command("audit", "log", "--from", str(len(EVENTS))).exit_code == 0
    assert command("audit", "export", "--out", str(files[2])).exit_code == 0
    assert look(database, notes) == [(len(EVENTS) + n,) for n in (1, 2, 3)]
    lines = files[2].read_bytes().splitlines()
    assert json.loads(lines[-2])["topic"] == "audit-reading.made"
    assert lines[: len(EVENTS) + 1] == files[0].read_bytes().splitlines()[:-1]


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_a_file_that_cannot_be_read_is_said_before_anything_is_made(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLUB_HOME", raising=False)
    monkeypatch.delenv("CLUB_DATABASE_URL", raising=False)
    refused = command("audit", "import", name)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"{name}: ")
    assert list(tmp_path.iterdir()) == []


def test_whose_export_it_is_has_to_be_known(
    command: Command, moving: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, key = tmp_path / "club.jsonl", tmp_path / "key.pem"
    assert command("audit", "export", "--out", str(file)).exit_code == 0
    key.write_text(command("audit", "key").stdout)
    moving()
    monkeypatch.setenv("CLUB_HOME", str(tmp_path / "new"))
    refused = command("audit", "import", str(file))
    assert refused.stderr.splitlines()[-1].startswith("There is no key here to check signatures")
    assert command("audit", "import", str(file), "--key", str(key)).exit_code == 0
