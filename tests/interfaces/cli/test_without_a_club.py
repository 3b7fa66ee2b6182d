"""The command line where there is no club: it says so, and makes none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.testing import Result

from infra.chain import installed
from interfaces.cli.main import app

NOWHERE = {
    "CLUB_REDIS_URL": "redis://127.0.0.1:1/0",
    "CLUB_AMQP_URL": "amqp://127.0.0.1:1/",
    "CLUB_KAFKA_URL": "kafka://127.0.0.1:1",
    "CLUB_TELEGRAM_TOKEN": "1:nobody",
}
"""All that a command could ask for before it looks for the club; none of it answers."""

MAKE_ONE = {"run", "stack", "audit import"}
NEED_NONE = {"docs", "audit check"}
LOOK_AT_RABBITMQ_ALONE = {"queue parked", "queue show", "queue drop"}

SAMPLE = Path(__file__).with_name("sample_exercises.json")
ANSWERS = {
    "role": "ADMIN",
    "payment": "1",
    "email": "a@example.com",
    "file": str(SAMPLE),
    "group": "documented",
    "kind": "client",
    **dict.fromkeys(("first", "last"), "2026-01-31"),
    **dict.fromkeys(("number", "event", "moment", "one", "other"), "1"),
}
"""What is said where not any name will do."""


def every(group: TyperGroup, *above: str) -> Iterator[tuple[str, TyperCommand]]:
    """All commands, by all of their words."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from every(command, *above, name)
        elif isinstance(command, TyperCommand):
            yield " ".join((*above, name)), command


def said_to(name: str, command: TyperCommand) -> list[str]:
    """The command with all that it cannot do without."""
    words = name.split()
    for param in command.params:
        answer = ANSWERS.get(str(param.name), "somebody")
        if isinstance(param, TyperOption) and param.required:
            words += [param.opts[0], answer]
        elif isinstance(param, TyperArgument) and (param.required or param.nargs == -1):
            words.append(answer)
    return words


main = typer.main.get_command(app)
assert isinstance(main, TyperGroup)
COMMANDS = {name: said_to(name, command) for name, command in every(main)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which nothing says where the club is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLUB_HOME", raising=False)
    monkeypatch.delenv("CLUB_DATABASE_URL", raising=False)
    monkeypatch.delenv("CLUB_CHAIN_DATABASE_URL", raising=False)
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - MAKE_ONE - NEED_NONE))
def test_without_a_club_a_command_says_so_in_a_sentence_and_makes_none(
    command: Callable[..., Result], here: Path, name: str
) -> None:
    refused = command(*COMMANDS[name], said="correct horse\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    if name in LOOK_AT_RABBITMQ_ALONE:
        assert refused.stderr.startswith("RabbitMQ does not answer as it should: ")
    elif name in {"keys rotate", "queue replay", "audit key"}:
        assert refused.stderr == "The keys of the club are not in .club: CLUB_HOME says where.\n"
    elif name.startswith(("chain ", "stream ")):
        expected = "Nothing says where the chain's database is: set CLUB_CHAIN_DATABASE_URL.\n"
        assert refused.stderr == expected
    else:
        expected = "There is no club in .club: `club run` makes one, and CLUB_HOME says where.\n"
        assert refused.stderr == expected
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["projections rebuild", "projections status", "rules", "users create-admin", "consumer"]
)
def test_in_an_empty_database_a_command_makes_no_club_either(
    command: Callable[..., Result],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_database: str,
    name: str,
) -> None:
    monkeypatch.setenv("CLUB_DATABASE_URL", empty_database)
    refused = command(*COMMANDS[name], said="correct horse\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "There is no club in this database yet: `club run` makes one.\n"
    with psycopg.connect(empty_database) as connection:
        assert not connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()


@pytest.mark.parametrize(
    "name",
    [
        "tokens issue",
        "providers add",
        "providers rotate",
        "providers simulate",
        "keys rotate",
        "audit key",
        "audit seal",
    ],
)
def test_no_keys_are_made_where_the_club_keeps_none(
    command: Callable[..., Result],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
    name: str,
) -> None:
    # The right database, asked from a wrong folder: a token made here would let nobody in.
    monkeypatch.setenv("CLUB_DATABASE_URL", database)
    refused = command(*COMMANDS[name], said="correct horse\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "The keys of the club are not in .club: CLUB_HOME says where.\n"
    assert list(here.iterdir()) == []


def test_a_worker_says_what_it_lacks(
    command: Callable[..., Result], here: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    missing = "Nothing says where the chain's database is: set CLUB_CHAIN_DATABASE_URL.\n"
    assert command("stream").stderr == missing
    monkeypatch.setenv("CLUB_CHAIN_DATABASE_URL", database)
    monkeypatch.delenv("CLUB_KAFKA_URL")
    assert command("stream").stderr == "There is no Kafka: CLUB_KAFKA_URL says where one is.\n"
    monkeypatch.setattr(installed, "NEEDED", ("aiokafka", "no-such-thing"))
    for name in ("stream", "publish"):
        refused = command(name)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("What a chain of clubs needs is not installed here.")
        assert "`make chain` installs it" in refused.stderr
