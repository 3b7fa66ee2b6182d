"""`club run`: the whole service in one process."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
import uvloop

from infra.bootstrap import Club, open_club
from infra.parts import API, Plain
from infra.settings import Settings
from interfaces.amqp.asyncapi.document import document
from interfaces.amqp.main import run_consumers, run_relay
from interfaces.cli.chain_run import run_chain
from interfaces.cli.opening import (
    complain,
    end_this_on_signal,
    in_plain_words,
    on_signal,
    settings,
    tell,
)
from interfaces.cli.serving import LAST_REQUESTS, Server, listen, spare_the_collector


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs in this process beside the API."""

    bot: bool
    projector: bool
    amqp: bool
    timers: bool


OF_A_CLUB = ("bot", "projector", "amqp", "timers")
"""Options that are about parts of a club."""


def run(
    context: typer.Context,
    bot: Annotated[
        bool, typer.Option(help="run the Telegram bot too, where there is a token for it")
    ] = True,
    projector: Annotated[
        bool, typer.Option(help="build the read tables too, and seal the ledger")
    ] = True,
    amqp: Annotated[
        bool, typer.Option(help="run consumers and relay too, where there is a RabbitMQ")
    ] = True,
    timers: Annotated[bool, typer.Option(help="do what time does too")] = True,
    chain: Annotated[
        bool, typer.Option("--chain", help="serve what is read of a chain of clubs, and no club")
    ] = False,
) -> None:
    """Run the whole service in one process: the API, and all of its parts but those left out."""
    found = settings()
    if chain:
        _refuse_what_is_of_a_club(context)
        run_chain()
        return
    parts = Parts(bot, projector, amqp, timers)
    with in_plain_words(), suppress(asyncio.CancelledError):
        uvloop.run(_run(found, parts))


def _refuse_what_is_of_a_club(context: typer.Context) -> None:
    """A chain has no such parts, whether they are asked for or left out."""
    for name in OF_A_CLUB:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            complain(f"--chain serves no club: --{name} and --no-{name} mean nothing with it.")
            raise typer.Exit(2)


async def _run(found: Settings, parts: Parts) -> None:
    # It takes as long as all the rest, and no other command needs it.
    from interfaces.rest.main import as_served, create_app  # noqa: PLC0415

    listening = listen(found)
    end_this_on_signal()
    spare_the_collector()
    async with open_club(
        found,
        projecting=parts.projector,
        building=parts.projector,
        housekeeping=parts.timers,
        sealing=parts.projector,
        founding=tell,
        reporting=True,
    ) as club:
        # It takes seconds, in which whoever keeps up the club is not to be kept waiting.
        app = await asyncio.to_thread(create_app, club, document)
        config = as_served(app, LAST_REQUESTS, found.trusted_proxies)
        server = Server(config)
        on_signal(server.stop)
        await _say_which_rules_differ(club)
        _banner(found, listening.getsockname()[1], parts)
        async with club.parts.reporting(Plain(API)), asyncio.TaskGroup() as tasks:
            closing = asyncio.Event()
            answering = tasks.create_task(_answer(club)) if club.bot and parts.bot else None
            if found.amqp_url is not None and parts.amqp:
                tasks.create_task(run_consumers(club, closing))
                tasks.create_task(run_relay(club, closing))
            await server.serve(sockets=[listening])
            closing.set()
            if answering is not None:
                answering.cancel()


async def _say_which_rules_differ(club: Club) -> None:
    """What the environment says of rules is their first value only; whoever set it is told."""
    rules = await club.bus.rules()
    for name, held in asdict(rules).items():
        asked = getattr(club.settings.first_rules, name)
        if name in club.settings.model_fields_set and asked != held:
            complain(
                f"CLUB_{name.upper()} is {asked} here, but the club's rule is {held}: it was the "
                f"first value only, and `club rules` changes it."
            )


async def _answer(club: Club) -> None:
    from interfaces.telegram.main import run_bot  # noqa: PLC0415 - it takes seconds

    await run_bot(club)


def _banner(found: Settings, port: int, parts: Parts) -> None:
    """Which parts are embedded, and which variable connects the real one."""
    url = f"http://{found.http_host}:{port}"
    postgres = (
        f"embedded, in {found.home / 'postgres'} (CLUB_DATABASE_URL connects another)"
        if found.database_url is None
        else "CLUB_DATABASE_URL"
    )
    redis = (
        "in this process (CLUB_REDIS_URL connects a Redis)"
        if found.redis_url is None
        else "CLUB_REDIS_URL"
    )
    rabbitmq = "none (CLUB_AMQP_URL connects one)" if found.amqp_url is None else "CLUB_AMQP_URL"
    print(
        f"\n  The club is open: {url}  (documentation: {url}/docs)\n\n"
        f"  Postgres    {postgres}\n"
        f"  Redis       {redis}\n"
        f"  RabbitMQ    {rabbitmq}\n"
        f"  Codes       {_codes(found, bot=parts.bot)}\n"
        f"  Projector   {_where(here=parts.projector)}\n"
        f"  Timers      {_where(here=parts.timers)}\n"
        f"  Keys        {found.home / 'keys'}\n\n"
        f"  First admin: .venv/bin/club users create-admin --username NAME --email ADDRESS\n"
        f"  A token:     .venv/bin/club tokens issue NAME\n"
        f"  Ctrl-C closes the club.\n",
        file=sys.stderr,
        flush=True,
    )


def _where(*, here: bool) -> str:
    return "in this process" if here else "in a process of its own"


def _codes(found: Settings, *, bot: bool) -> str:
    """How those who sign in get their codes."""
    if found.telegram_token is not None:
        if bot:
            return "over Telegram"
        if found.redis_url is None:
            return "none, so nobody can sign in (CLUB_REDIS_URL is where `club bot` meets this)"
        return "over Telegram, by `club bot` beside this"
    if found.shows_codes_on_console:
        return "on this console (CLUB_TELEGRAM_TOKEN sends them over Telegram)"
    return "none, so nobody can sign in (CLUB_TELEGRAM_TOKEN sends them over Telegram)"
