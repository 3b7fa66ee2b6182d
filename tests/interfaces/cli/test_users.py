"""`club users`, as whoever sits at the machine meets it."""

from __future__ import annotations

import asyncio

import pytest

from application.access import THE_CLUB
from application.command import Context
from application.repository import replay
from application.sessions import OpenSession, proof_of
from domain.users import User
from infra.bootstrap import open_club
from infra.settings import Settings
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
        (
            "the boss",
            "boss@example.com",
            "long enough",
            "username: Input should be 1 to 50 letters",
        ),
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
        ("CLUB_REDIS_URL", "nonsense", "this is not the URL of a Redis"),
        ("CLUB_SESSION_DAYS", "0", "Input should be greater than or equal to 1"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    command_line: CommandLine, name: str, value: str, sentence: str
) -> None:
    made = command_line.run(*NEW, said="correct horse\n", **{name: value})
    assert made.returncode == 2
    assert made.stderr.startswith(f"{name}: {sentence}")
    assert made.stderr.count("\n") == 1


def test_a_redis_that_cannot_be_meant_is_said_without_its_password(
    command_line: CommandLine,
) -> None:
    made = command_line.run(*NEW, said="correct horse\n", CLUB_REDIS_URL="redis://:hidden@h:p/0")
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr.startswith("CLUB_REDIS_URL is not the URL of a Redis: ")
    assert made.stderr.count("\n") == 1
    assert "hidden" not in made.stderr


def test_a_redis_that_is_not_there_keeps_nobody_from_the_command_line(
    command_line: CommandLine,
) -> None:
    nowhere = {"CLUB_REDIS_URL": "redis://127.0.0.1:1/0"}
    made = command_line.run(*NEW, said="correct horse\n", **nowhere)
    assert (made.returncode, made.stdout) == (0, "User 1 is ADMIN: boss\n")


# --- roles -------------------------------------------------------------------------------------


def test_a_role_is_given_on_the_machine_in_whatever_case(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    other = (*NEW[:3], "mia", *NEW[4:5], "mia@example.com")
    assert command_line.run(*other, said="correct horse\n").returncode == 0
    given = command_line.run("users", "set-role", "Mia", "trainer")
    assert (given.returncode, given.stdout, given.stderr) == (0, "Mia is TRAINER.\n", "")
    again = command_line.run("users", "set-role", "mia", "TRAINER")
    assert (again.returncode, again.stdout) == (0, "mia is TRAINER.\n")
    events = command_line.rows(
        "SELECT actor, command FROM ledger_events WHERE topic = 'user.role-changed'"
    )
    assert events == [("club", "change-user")]
    assert command_line.rows("SELECT role::text FROM users WHERE username = 'mia'") == [
        ("TRAINER",)
    ]


def test_the_last_admin_stays_one_on_the_machine_too(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    refused = command_line.run("users", "set-role", "boss", "USER")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == ("This is the last ADMIN: without one, nobody could keep the club.\n")
    assert command_line.rows("SELECT role::text FROM users") == [("ADMIN",)]


@pytest.mark.parametrize(
    ("username", "role", "status", "sentence"),
    [
        ("nobody", "ADMIN", 1, "There is no user nobody."),
        ("boss", "KING", 2, "there is no role KING; there are USER, ADMIN, TRAINER"),
    ],
)
def test_nobody_and_no_role_are_said_in_a_sentence(
    command_line: CommandLine, username: str, role: str, status: int, sentence: str
) -> None:
    refused = command_line.run("users", "set-role", username, role, COLUMNS="200")
    assert (refused.returncode, refused.stdout) == (status, "")
    assert sentence in refused.stderr


# --- unbinding ---------------------------------------------------------------------------------


def bind(settings: Settings, telegram_id: int) -> None:
    """Let the first user sign in with this Telegram account."""

    async def sign_in() -> None:
        async with open_club(settings) as club:
            user = replay((await club.ledger.streams(["user-1"]))["user-1"])
            assert isinstance(user, User)
            command = OpenSession(1, telegram_id, proof_of(user))
            await club.bus.execute(command, Context(THE_CLUB, "scene"))

    asyncio.run(sign_in())


def test_a_telegram_account_is_unbound_and_its_sessions_end(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    for telegram_id in (17, 18):
        bind(command_line.settings, telegram_id)
        unbound = command_line.run("users", "unbind-telegram", "Boss")
        assert (unbound.returncode, unbound.stderr) == (0, "")
        assert unbound.stdout == "The next sign-in of Boss binds a Telegram account anew.\n"
    sessions = command_line.rows("SELECT ended_at IS NOT NULL, ended_because FROM sessions")
    assert sessions == [(True, "telegram-unbound")] * 2


def test_without_a_telegram_account_there_is_nothing_to_unbind(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    unbound = command_line.run("users", "unbind-telegram", "boss")
    assert (unbound.returncode, unbound.stdout) == (1, "")
    assert unbound.stderr == "No Telegram account is bound to this user.\n"


def test_nobody_of_that_name_cannot_be_unbound(command_line: CommandLine) -> None:
    unbound = command_line.run("users", "unbind-telegram", "nobody")
    assert (unbound.returncode, unbound.stdout) == (1, "")
    assert unbound.stderr == "There is no user nobody.\n"
