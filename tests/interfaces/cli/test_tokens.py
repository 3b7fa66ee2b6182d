"""`club tokens issue`, as whoever sits at the machine meets it."""

from __future__ import annotations

import time

import pytest

from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from tests.interfaces.cli.conftest import CommandLine

NEW = ("users", "create-admin", "--username", "boss", "--email", "boss@example.com")


def test_a_token_of_a_user_is_printed_and_nothing_else(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    settings = command_line.settings
    tokens = SignedTokens(Keys(settings.home), settings.issuer)
    for options, minutes in ((), settings.access_token_minutes), (("--minutes", "90"), 90):
        issued = command_line.run("tokens", "issue", "Boss", *options)
        assert (issued.returncode, issued.stderr) == (0, "")
        claims = tokens.check(issued.stdout.removesuffix("\n"))
        assert claims.user_id == 1
        assert claims.expires - time.time() == pytest.approx(minutes * 60, abs=30)


def test_nobody_of_that_name_is_said_in_a_sentence(command_line: CommandLine) -> None:
    issued = command_line.run("tokens", "issue", "nobody")
    assert (issued.returncode, issued.stdout) == (1, "")
    assert issued.stderr == "There is no user nobody.\n"


def test_a_token_is_good_for_a_minute_to_a_day(command_line: CommandLine) -> None:
    for minutes in ("0", "1441"):
        issued = command_line.run("tokens", "issue", "boss", "--minutes", minutes)
        assert (issued.returncode, issued.stdout) == (2, "")
        assert "--minutes" in issued.stderr
