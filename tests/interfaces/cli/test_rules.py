"""`club rules` and `club projections status`, as whoever sits at the machine meets them."""

from __future__ import annotations

import pytest

from infra.servers.local_servers import LocalRedis
from tests.interfaces.cli.conftest import CommandLine

FIRST = """\
paid-days               30
payment-patience-hours  24
shared-memberships      no
timezone                UTC
daily-report-at         08:00
"""


def test_the_rules_are_shown_and_set(command_line: CommandLine) -> None:
    shown = command_line.run("rules")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, FIRST, "")
    set_anew = command_line.run(
        "rules",
        "--paid-days",
        "7",
        "--shared-memberships",
        "--timezone",
        "Europe/Lisbon",
        "--daily-report-at",
        "06:30",
    )
    assert set_anew.returncode == 0, set_anew.stderr
    assert set_anew.stdout.split()[1::2] == ["7", "24", "yes", "Europe/Lisbon", "06:30"]
    assert command_line.run("rules", CLUB_PAID_DAYS="9").stdout == set_anew.stdout
    events = command_line.rows("SELECT topic FROM ledger_events ORDER BY notification_id")
    assert events == [("rules.adopted",), ("rules.changed",)]


def test_what_cannot_be_a_rule_is_said_in_a_sentence(command_line: CommandLine) -> None:
    refused = command_line.run("rules", "--paid-days", "0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("--paid-days: Input should be greater than or equal to 1")
    no_time = command_line.run("rules", "--daily-report-at", "24:00")
    assert (no_time.returncode, no_time.stdout) == (2, "")
    assert no_time.stderr.startswith("--daily-report-at: Input should be a time of day from 00:00")
    unknown = command_line.run("rules", "--timezone", "Middle/Earth")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "There is no time zone 'Middle/Earth'.\n"


def test_the_status_of_the_read_tables_is_told_by_group(command_line: CommandLine) -> None:
    command_line.run("rules")
    told = command_line.run("projections", "status")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("documented: ")
    assert "at position 1, 0 behind" in told.stdout


@pytest.mark.usefixtures("redis_url")  # so that the program is installed
def test_the_redis_of_a_stack_beside_it_is_the_one_of_which_the_status_is_told(
    command_line: CommandLine,
) -> None:
    command_line.run("rules")
    redis = LocalRedis(command_line.settings.home / "redis")
    assert "in this process" in _line_of("redis", command_line)
    redis.start()
    try:
        assert _line_of("redis", command_line).split() == ["redis", "running"]
    finally:
        redis.stop()
    assert "in this process" in _line_of("redis", command_line), "that one has ended"


def _line_of(part: str, command_line: CommandLine) -> str:
    told = command_line.run("status").stdout.splitlines()
    return next(line for line in told if line.split()[0] == part)
