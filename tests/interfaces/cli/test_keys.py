"""`club keys rotate`, as whoever sits at the machine meets it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from application.ports.signing_in import InvalidToken
from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from tests.interfaces.cli.conftest import CommandLine

NEW = ("users", "create-admin", "--username", "boss", "--email", "boss@example.com")
ROTATED = re.compile(
    r"Tokens are signed with (\S{43}); older ones are good until (\d{4}-\d\d-\d\d) at most.\n"
)
COMPROMISED = re.compile(r"Tokens are signed with (\S{43}); all others have ended.\n")


def is_good(command_line: CommandLine, token: str) -> bool:
    """Whether a process that starts now lets its bearer in."""
    settings = command_line.settings
    try:
        return SignedTokens(Keys(settings.home), settings.issuer).check(token).user_id == 7
    except InvalidToken:
        return False


def a_token(command_line: CommandLine) -> str:
    settings = command_line.settings
    return SignedTokens(Keys(settings.home), settings.issuer).access_token(7, None, 600)


def test_a_new_key_signs_and_older_tokens_are_good_until_sessions_have_ended(
    command_line: CommandLine,
) -> None:
    old = a_token(command_line)
    for days in ("30", "7"):
        rotated = command_line.run("keys", "rotate", CLUB_SESSION_DAYS=days)
        assert (rotated.returncode, rotated.stderr) == (0, "")
        said = ROTATED.fullmatch(rotated.stdout)
        assert said is not None
        assert said[1] == Keys(command_line.settings.home).signing.kid
        ends = datetime.fromisoformat(said[2]).replace(tzinfo=UTC)
        expected = datetime.now(UTC) + timedelta(days=int(days))
        assert abs(ends - expected) < timedelta(days=1, minutes=1)
    assert is_good(command_line, old)
    assert is_good(command_line, a_token(command_line))


def test_a_compromised_key_takes_all_its_tokens_with_it(command_line: CommandLine) -> None:
    old = [a_token(command_line)]
    command_line.run("keys", "rotate")
    old.append(a_token(command_line))
    rotated = command_line.run("keys", "rotate", "--compromised")
    assert (rotated.returncode, rotated.stderr) == (0, "")
    said = COMPROMISED.fullmatch(rotated.stdout)
    assert said is not None
    assert said[1] == Keys(command_line.settings.home).signing.kid
    assert not any(is_good(command_line, token) for token in old)
    assert is_good(command_line, a_token(command_line))


def test_tokens_are_issued_with_the_new_key(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    command_line.run("keys", "rotate")
    issued = command_line.run("tokens", "issue", "boss")
    settings = command_line.settings
    keys = Keys(settings.home)
    claims = SignedTokens(keys, settings.issuer).check(issued.stdout.strip())
    assert (claims.user_id, claims.kid) == (1, keys.signing.kid)


def test_rotating_needs_no_database_and_no_key(command_line: CommandLine) -> None:
    (command_line.settings.home / "keys" / "signing.pem").unlink()
    nowhere = {"CLUB_DATABASE_URL": "postgresql://club@127.0.0.1:1/club"}
    rotated = command_line.run("keys", "rotate", **nowhere)
    assert (rotated.returncode, rotated.stderr) == (0, "")
    assert ROTATED.fullmatch(rotated.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("tokens", "issue", "boss"), id="tokens issue"),
        pytest.param(("keys", "rotate"), id="keys rotate"),
    ],
)
@pytest.mark.parametrize("name", ["signing.pem", "retired.json"])
def test_a_file_that_cannot_be_read_is_said_in_a_sentence(
    command_line: CommandLine, arguments: tuple[str, ...], name: str
) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    Keys(command_line.settings.home).rotate(time.time() + 600)
    path = command_line.settings.home / "keys" / name
    path.write_bytes(b"garbage")
    told = command_line.run(*arguments)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"{path} is not as the club wrote it: ")
    assert told.stderr.count("\n") == 1
    assert path.read_bytes() == b"garbage"
