"""`club reports`, as whoever sits at the machine meets it."""

from __future__ import annotations

import pytest

from tests.interfaces.cli.conftest import CommandLine


def test_a_report_is_made_and_its_route_printed(command_line: CommandLine) -> None:
    made = command_line.run("reports", "make", "2026-01-01", "2026-01-31")
    assert (made.returncode, made.stdout) == (0, "Report 1 is at /reports/1/\n"), made.stderr
    shown = "SELECT id, report_date_start::text, report_date_end::text FROM simple_report"
    assert command_line.rows(shown) == [(1, "2026-01-01", "2026-01-31")]


@pytest.mark.parametrize(
    ("days", "status", "said"),
    [
        (("2026-02-30", "2026-03-01"), 2, "FROM '2026-02-30' is not a day"),
        (("2026-01-01", "tomorrow"), 2, "TO 'tomorrow' is not a day"),
        (("2026-01-31", "2026-01-01"), 1, "A report ends on the day it starts, or later."),
    ],
)
def test_days_that_make_no_sense_are_said_in_a_sentence(
    command_line: CommandLine, days: tuple[str, str], status: int, said: str
) -> None:
    refused = command_line.run("reports", "make", *days)
    assert (refused.returncode, refused.stdout) == (status, "")
    assert refused.stderr.startswith(said)
    assert len(refused.stderr.splitlines()) == 1
    assert command_line.rows("SELECT count(*) FROM simple_report") == [(0,)]


def test_a_refresh_takes_in_what_is_new_and_then_nothing(command_line: CommandLine) -> None:
    command_line.run("reports", "make", "2026-01-01", "2026-01-31")
    head = command_line.rows("SELECT max(notification_id) FROM ledger_events")
    first = command_line.run("reports", "refresh")
    assert first.returncode == 0, first.stderr
    position = "SELECT position FROM read_groups WHERE name = 'figures'"
    assert command_line.rows(position) == head
    again = command_line.run("reports", "refresh")
    assert (again.returncode, again.stdout) == (0, "There was nothing new.\n")


def test_the_status_says_how_far_figures_are_and_what_became_of_deliveries(
    command_line: CommandLine,
) -> None:
    command_line.run("users", "create-admin", "--username", "ada", "--email", "a@example.com")
    shown = command_line.run("reports", "status")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("The figures are at position ")
    assert "ada" not in shown.stdout, "nobody has asked for the figures"
