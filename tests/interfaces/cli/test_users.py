"""`club users create-admin`, as whoever sits at the machine meets it."""

from __future__ import annotations

import pytest

from tests.interfaces.cli.conftest import CommandLine

NEW = ("users", "create-admin", "--username", "boss", "--email", "boss@example.com")


def test_the_first_admin_is_made_with_a_password_from_standard_input(
    command_line: CommandLine,
) -> None:
    made = command_line.run(*NEW, said="correct horse\n")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == "User 1 is ADMIN: boss\n"
    (row,) = command_line.rows("SELECT username, email, role::text, password_hash FROM users")
    assert row[:3] == ("boss", "boss@example.com", "ADMIN")
    assert row[3].startswith("$argon2id$")
    ((actor,),) = command_line.rows("SELECT DISTINCT actor FROM ledger_events")
    assert actor == "club"


@pytest.mark.parametrize(
    ("username", "email", "password", "sentence"),
    [
        ("boss", "boss@example.com", "short", "password: String should have at least 8 characters"),
        ("the boss", "boss@example.com", "long enough", "username: String should match pattern"),
        ("boss", "boss.example.com", "long enough", "email: value is not a valid email address"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_and_nothing_is_made(
    command_line: CommandLine, username: str, email: str, password: str, sentence: str
) -> None:
    options = ("--username", username, "--email", email)
    made = command_line.run("users", "create-admin", *options, said=f"{password}\n")
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith(sentence)
    assert made.stderr.count("\n") == 1
    assert password not in made.stderr
    assert command_line.rows("SELECT count(*) FROM ledger_events") == [(0,)]


def test_a_name_or_an_address_that_is_taken_is_refused(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    named = command_line.run(*NEW[:3], "BOSS", *NEW[4:5], "b@example.com", said="long enough\n")
    assert (named.returncode, named.stdout) == (1, "")
    assert named.stderr == "This username is taken.\n"
    reached = command_line.run(*NEW[:3], "chief", *NEW[4:], said="long enough\n")
    assert (reached.returncode, reached.stdout) == (1, "")
    assert reached.stderr == "This email address is taken.\n"


def test_a_database_that_is_not_there_is_said_in_a_sentence(command_line: CommandLine) -> None:
    nowhere = {"CLUB_DATABASE_URL": "postgresql://club:hidden@127.0.0.1:1/club"}
    made = command_line.run(*NEW, said="correct horse\n", **nowhere)
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr.startswith("The database cannot be reached: ")
    assert "Traceback" not in made.stderr
    assert "hidden" not in made.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("CLUB_DATABASE_URL", "nonsense", "this is not the URL of a Postgres"),
        ("CLUB_LOG_LEVEL", "loud", "there is no log level 'loud'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    command_line: CommandLine, name: str, value: str, sentence: str
) -> None:
    made = command_line.run(*NEW, said="correct horse\n", **{name: value})
    assert made.returncode == 2
    assert made.stderr.startswith(f"{name}: {sentence}")
    assert made.stderr.count("\n") == 1
