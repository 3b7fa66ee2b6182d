"""`club audit`, as whoever sits at the machine meets it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from application.access import THE_CLUB
from application.command import Command, Context
from application.memberships import AddMembership, ChangeMembership, MembershipBody
from infra.bootstrap import open_club
from infra.settings import Settings
from tests.interfaces.cli.conftest import CLUB, CommandLine


@pytest.fixture(autouse=True)
def repriced(settings: Settings) -> None:
    """A membership that was repriced twice."""

    async def happen() -> None:
        commands: list[Command] = [
            AddMembership(MembershipBody(price="49.90", access_level="DAY_PASS")),  # type: ignore[arg-type]
            ChangeMembership(1, {"price": "59.90"}),
            ChangeMembership(1, {"access_level": "WEEK_PASS"}),
        ]
        async with open_club(settings) as club:
            for command in commands:
                await club.bus.execute(command, Context(THE_CLUB, "spring-cleaning"))

    asyncio.run(happen())


def lines(said: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("kind", ["membership", "memberships"])
def test_a_history_is_a_table_for_people(command_line: CommandLine, kind: str) -> None:
    told = command_line.run("audit", "history", kind, "1")
    assert (told.returncode, told.stderr) == (0, "")
    assert "access level: day pass → week pass" in told.stdout
    assert "price: 49.90 → 59.90" in told.stdout
    assert told.stdout.splitlines()[0].split()[:3] == ["position", "when", "what"]


def test_a_history_is_json_lines_for_programs(command_line: CommandLine) -> None:
    told = command_line.run("audit", "history", "membership", "1", "--json", "--newest-first")
    entries = lines(told.stdout)
    assert [entry["version"] for entry in entries] == [3, 2, 1]
    assert entries[0]["changes"] == [
        {"field": "access_level", "before": "DAY_PASS", "after": "WEEK_PASS"}
    ]


def test_the_log_and_why_and_who_asked_for_them(command_line: CommandLine) -> None:
    log = command_line.run("audit", "log", "--correlation", "spring-cleaning", "--json")
    assert [entry["type"] for entry in lines(log.stdout)] == [
        "membership.added",
        "membership.repriced",
        "membership.details-changed",
    ]
    by_position = command_line.run("audit", "why", "2")
    by_id = command_line.run("audit", "why", "membership-1/2")
    assert by_position.stdout == by_id.stdout
    first, second = by_position.stdout.splitlines()
    assert first == "request: change-membership by club (conversation spring-cleaning)"
    assert "membership-1:" in second
    table = command_line.run("audit", "log").stdout
    assert table.count("note-reading") == 3
    asked = command_line.rows(
        "SELECT actor, convert_from(state, 'UTF8')::json ->> 'asked' FROM ledger_events "
        "WHERE topic = 'audit-reading.made' ORDER BY notification_id"
    )
    assert asked[1] == ("club", "club audit why 2")
    assert len(asked) == 4


def test_how_it_was_and_what_has_changed_since(command_line: CommandLine) -> None:
    then = command_line.run("audit", "as-of", "1", "membership", "1")
    assert json.loads(then.stdout)["price"] == "49.90"
    ((moment,),) = command_line.rows(
        "SELECT to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
        "FROM ledger_events WHERE notification_id = 2"
    )
    then = command_line.run("audit", "as-of", moment, "membership", "1")
    assert json.loads(then.stdout) == {
        "id": 1,
        "access_level": "DAY_PASS",
        "description": None,
        "price": "59.90",
    }
    differ = command_line.run("audit", "diff", "1", "3", "membership", "1")
    assert differ.stdout.splitlines() == [
        "access level: day pass → week pass",
        "price: 49.90 → 59.90",
    ]
    nothing = command_line.run("audit", "diff", "3", "3", "membership", "1")
    assert (nothing.returncode, nothing.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("history", "membership", "9"), "There is no membership 9."),
        (("why", "9999"), "There is no event 9999."),
        (("as-of", "0", "membership", "1"), "There is no membership 1."),
        (("as-of", "9999", "membership", "1"), "This has not come yet: the ledger ends"),
        (("diff", "1", "2", "client", "1"), "There is no client 1."),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    command_line: CommandLine, arguments: tuple[str, ...], sentence: str
) -> None:
    told = command_line.run("audit", *arguments)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(sentence)
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "reservation", "1"),
        ("history", "membership", "0"),
        ("why", "membership"),
        ("as-of", "yesterday", "membership", "1"),
        ("as-of", "2026-13-01T00:00:00Z", "membership", "1"),
        ("log", "--from", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    command_line: CommandLine, arguments: tuple[str, ...]
) -> None:
    told = command_line.run("audit", *arguments)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_who_has_seen_enough_is_no_fault(
    settings: Settings, form: tuple[str, ...]
) -> None:
    """More than fits into a pipe, of which the other end is closed after the first line."""

    async def many() -> None:
        async with open_club(settings) as club:
            for price in range(700):
                change: dict[str, str | None] = {"price": f"{price}.00"}
                await club.bus.execute(
                    ChangeMembership(1, change), Context(THE_CLUB, "many", visible=False)
                )

    asyncio.run(many())
    with subprocess.Popen(
        [*CLUB, "audit", "log", *form],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={
            "CLUB_DATABASE_URL": str(settings.database_url),
            "CLUB_HOME": str(settings.home),
            "PATH": str(Path(sys.executable).parent),
        },
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (0, "")
