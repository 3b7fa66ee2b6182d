"""`club queue`: messages that nobody could handle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, TypeVar

import typer
import uvloop

from infra.faults import Fault
from infra.rabbitmq import UNREACHABLE
from infra.secrets.keys import Keys
from infra.secrets.signatures import ProviderSecrets
from infra.secrets.tokens import SignedTokens
from interfaces.amqp.main import Parked, Parking, Which, open_parking
from interfaces.cli.opening import in_plain_words, look_for_keys, settings, settings_beside

app = typer.Typer(help="Messages that nobody could handle.", no_args_is_help=True)
T = TypeVar("T")

GOOD_FOR = 600
"""Seconds for which the token of a command that is sent again is good."""

MessageId = Annotated[str, typer.Argument(metavar="ID", help="as `club queue parked` shows it")]
MessageIds = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="as `club queue parked` shows them")
]
Reason = Annotated[str | None, typer.Option(help="all that are parked for this reason")]


class NoRabbitMQ(Fault):
    """There is no RabbitMQ here: CLUB_AMQP_URL connects one."""


class Unreachable(Fault):
    """RabbitMQ does not answer as it should: {why}."""


@contextmanager
def reaching_rabbitmq() -> Iterator[None]:
    """Say in a sentence that RabbitMQ is not there."""
    try:
        yield
    except UNREACHABLE as lost:
        raise Unreachable(why=str(lost) or type(lost).__name__) from lost


@app.callback()
def queue() -> None:
    """Messages that nobody could handle."""


@app.command("parked")
def parked(
    limit: Annotated[int, typer.Option(min=1, help="the most to show")] = 100,
) -> None:
    """List them, the oldest first: id, since when, from which queue, why."""

    async def listed(parking: Parking) -> list[Parked]:
        found: list[Parked] = []
        async for message, _ in parking.messages():
            found.append(message)
            if len(found) == limit:
                break
        return found

    for message in _with_parking(listed):
        where = f"{message.id}  {message.parked_at}  {message.queue}"
        print(f"{where}  {message.reason}: {message.detail}")


@app.command("show")
def show(message_id: MessageId) -> None:
    """Print one: why it is parked, its headers and its body."""

    async def found(parking: Parking) -> Parked:
        return await parking.find(message_id)

    message = _with_parking(found)
    print(f"id: {message.id}\nqueue: {message.queue}\nparked at: {message.parked_at}")
    print(f"reason: {message.reason}\ndetail: {message.detail}")
    for name, value in message.headers.items():
        # A token may still be good.
        said = value if name != "authorization" else "(not shown)"
        print(f"header {name}: {said}")
    print(f"\n{message.body.decode(errors='backslashreplace')}")


@app.command("replay")
def replay(message_ids: MessageIds = None, reason: Reason = None) -> None:
    """Send some again to where they came from, to be decided anew."""
    which = _which(message_ids, reason)
    found = settings()
    with in_plain_words():
        look_for_keys(found)
        secrets = ProviderSecrets(found.home)
        tokens = SignedTokens(Keys(found.home), found.issuer)
    renewed = partial(tokens.renewed, seconds=GOOD_FOR)

    async def replayed(parking: Parking) -> None:
        async for message in parking.replay(which, secrets.pass_for, renewed):
            print(f"Sent {message.id} to {message.queue} again.")

    _with_parking(replayed)


@app.command("drop")
def drop(message_ids: MessageIds = None, reason: Reason = None) -> None:
    """Throw some away."""
    which = _which(message_ids, reason)

    async def dropped(parking: Parking) -> None:
        async for message in parking.drop(which):
            print(f"Dropped {message.id} ({message.reason}).")

    _with_parking(dropped)


def _which(message_ids: list[str] | None, reason: str | None) -> Which:
    if not message_ids and reason is None:
        raise typer.BadParameter("name some by ID, or all of a --reason")
    return Which(frozenset(message_ids or ()), reason)


def _with_parking(work: Callable[[Parking], Awaitable[T]]) -> T:
    found = settings_beside()

    async def opened(url: str) -> T:
        with reaching_rabbitmq():
            async with open_parking(url) as parking:
                return await work(parking)

    with in_plain_words():
        if found.amqp_url is None:
            raise NoRabbitMQ
        return uvloop.run(opened(found.amqp_url))
