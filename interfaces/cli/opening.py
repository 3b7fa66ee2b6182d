"""How commands of the command line open the club."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import psycopg
import typer
import uvloop
from pydantic import ValidationError

from application.access import THE_CLUB
from application.audit import NoteReading
from application.bus import Outcome
from application.command import Command, Context
from application.ports.ledger import LedgerUnavailable, UnreadableHistory
from application.ports.queries import Lookup
from domain.refusals import NotFound, Refusal
from infra.bootstrap import Club, open_club
from infra.faults import Fault
from infra.logs import set_up_logs
from infra.proofs.check import Refused
from infra.secrets.keys import KeysMissing, has_keys
from infra.servers.local_servers import running_rabbitmq, running_redis
from infra.settings import Settings

T = TypeVar("T")

REDIS, RABBITMQ = "redis", "rabbitmq"
"""The folders, within the club's, in which a stack keeps its own."""


def settings() -> Settings:
    """The settings of the environment; a wrong one ends the program with its name."""
    try:
        found = Settings()
    except ValidationError as wrong:
        for error in wrong.errors():
            variable = "CLUB_" + "_".join(str(part) for part in error["loc"]).upper()
            complain(f"{variable}: {error['msg'].removeprefix('Value error, ')}")
        raise typer.Exit(2) from None
    set_up_logs(found.log_level)
    return found


def settings_beside() -> Settings:
    """The settings; without Redis or RabbitMQ in them, those of a stack that runs in this home."""
    found = settings()
    beside = {
        "redis_url": found.redis_url or running_redis(found.home / REDIS),
        "amqp_url": found.amqp_url or running_rabbitmq(found.home / RABBITMQ),
    }
    return found.model_copy(update=beside)


def with_club(
    work: Callable[[Club], Awaitable[T]],
    found: Settings | None = None,
    *,
    building: bool = False,
    projecting: bool = True,
    signing: bool = False,
) -> T:
    """Open the club for one piece of work, beside a running service or without one.

    `building` is for work that makes the read tables anew by itself; all other takes them as they
    are, and none makes a club. `projecting` shows at once what the work did, where nobody else
    projects. `signing` is for work with the club's keys: those of a new folder would be good for
    nothing.
    """

    async def opened(having: Settings) -> T:
        async with open_club(
            having, building=building, forward=False, founding=None, projecting=projecting
        ) as club:
            try:
                return await work(club)
            except Exception as why:  # noqa: BLE001 - raised again below
                fault = why
        # Out here, as the club's task group would wrap it.
        raise fault

    with in_plain_words(), _keys_at_hand(found or settings(), signing=signing) as having:
        return uvloop.run(opened(having))


@contextmanager
def _keys_at_hand(found: Settings, *, signing: bool) -> Iterator[Settings]:
    """The settings for work that may find no keys of the club in its home.

    Keys that are made for work without them are thrown away after it: the next would take them for
    the club's. Raises KeysMissing where the work is `signing`.
    """
    if found.database_url is None or has_keys(found.home):
        yield found
        return
    if signing:
        look_for_keys(found)
    with TemporaryDirectory(prefix="club-") as home:
        yield found.model_copy(update={"home": Path(home)})


def look_for_keys(found: Settings) -> None:
    """See to it that the club's keys are in its home; raises KeysMissing."""
    if not has_keys(found.home):
        raise KeysMissing(home=found.home)


@contextmanager
def in_plain_words() -> Iterator[None]:
    """End the program with a sentence, not a traceback, where the club says no or cannot open."""
    try:
        yield
    except Refusal as refusal:
        complain(refusal.detail)
    except UnreadableHistory as newer:
        complain(type(newer).__doc__ or "")
    except psycopg.errors.DiskFull as full:
        complain(f"There is no room left on the disk of the database: {str(full).strip()}")
    except psycopg.DataError as unreadable:
        said = str(unreadable).partition("\n")[0]
        complain(f"The database holds what cannot be read ({said}): `club audit verify` says more.")
    except (LedgerUnavailable, psycopg.OperationalError) as lost:
        complain(f"The database cannot be reached: {str(lost).strip()}")
    except (Fault, Refused) as missing:
        complain(str(missing))
    except OSError as unusable:
        complain(": ".join(filter(None, [unusable.filename, f"{unusable.strerror}."])))
    else:
        return
    raise typer.Exit(1)


async def named(club: Club, username: str) -> int:
    """The number of the user of this name; raises NotFound."""
    await club.read_side.reached(await club.ledger.head())
    found = await club.reads.find(Lookup.USER_NAMED, username)
    if not found:
        raise NotFound(what="user", id=username)
    return found[0]


async def ask(club: Club, command: Command, *, visible: bool = True) -> Outcome:
    """Have the club do something, as whoever sits at the machine."""
    context = Context(THE_CLUB, correlation_id="command-line", visible=visible)
    return await club.bus.execute(command, context)


async def note(club: Club, words: str | None = None) -> None:
    """Write down that whoever sits at the machine asks for this; by itself, what was typed."""
    asked = words or " ".join(["club", *sys.argv[1:]])
    await ask(club, NoteReading(asked), visible=False)


def on_signal(end: Callable[[], object]) -> None:
    """What Ctrl-C and SIGTERM do from here on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)


def end_this_on_signal() -> None:
    """Ctrl-C and SIGTERM cancel the task that calls this, until there is more to close."""
    this = asyncio.current_task()
    assert this is not None  # noqa: S101 - a coroutine runs in a task
    on_signal(this.cancel)


def tell(sentence: str) -> None:
    """Tell the person at the machine what is being done, so that nobody waits in the dark."""
    print(sentence, file=sys.stderr, flush=True)


def complain(sentence: str) -> None:
    """Tell the person at the machine what is wrong."""
    print(sentence, file=sys.stderr)
