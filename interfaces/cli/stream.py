"""`club stream`: a worker of a chain of clubs; and how all of them are doing."""

from __future__ import annotations

import asyncio

import typer
import uvloop

from domain.aggregate import time_text
from infra.chain.beginning import groups_of
from infra.chain.installed import NoChain, look_for_kafka
from infra.chain.store import open_chain
from infra.chain.watching import ChainState, ClubState, look
from infra.settings import Settings
from interfaces.cli.opening import complain, in_plain_words, on_signal, settings

app = typer.Typer(name="stream", help="Run a worker of a chain of clubs.")

LAST_WORDS = 5.0
"""Seconds that a worker that died has for what is still to be closed."""


@app.callback(invoke_without_command=True)
def stream(context: typer.Context) -> None:
    """Take the events of a chain's clubs from Kafka; of several workers, each has its share."""
    if context.invoked_subcommand is not None:
        return
    found = settings()
    with in_plain_words():
        look_for_kafka(_with_chain(found))
        uvloop.run(_until_told(found))


async def _until_told(found: Settings) -> None:
    # Who is in no chain has none of it installed.
    from interfaces.stream.main import run_worker  # noqa: PLC0415
    from interfaces.stream.watchdog import Watchdog  # noqa: PLC0415
    from interfaces.stream.worker import WorkerDied  # noqa: PLC0415

    watchdog = Watchdog()
    watchdog.start()
    closing = asyncio.Event()
    on_signal(closing.set)
    try:
        await run_worker(found, closing, watchdog)
    except WorkerDied as died:
        complain(f"The worker has died: {died}")
        watchdog.end(1)
    finally:
        # Faust's threads may not end by themselves, and all of ours is closed.
        watchdog.end_within(LAST_WORDS, 1)
    watchdog.end(0)


@app.command("status")
def status() -> None:
    """Say how workers and clubs are doing; ends with 1 where one of them does not run."""
    found = settings()
    with in_plain_words():
        state = uvloop.run(_looked(_with_chain(found)))
    print(f"{state.status}, {len(state.clubs)} clubs, {len(state.workers)} workers")
    for worker in state.workers:
        detail = f": {worker.detail}" if worker.detail else ""
        print(f"  {worker.process:<24}{worker.status} since {time_text(worker.since)}{detail}")
    for club in state.clubs:
        print(f"  {club.name:<24}{_told(club)}")
    for kept in state.kept_out:
        of = "" if kept.club is None else f" of {kept.club}"
        place = f"the last at {kept.partition}:{kept.offset}, {time_text(kept.last_at)}"
        print(f"  kept out{of}: {kept.times} messages, as {kept.reason} ({place})")
    if state.status != "running":
        raise typer.Exit(1)


async def _looked(found: Settings) -> ChainState:
    async with open_chain(found.chain_database_url or "", groups_of(found)) as store:
        return await look(store)


def _told(club: ClubState) -> str:
    if club.head is None:
        return f"{club.status}, at position {club.position}: its ledger does not answer"
    said = f"{club.status}, at position {club.position} of {club.head}"
    if club.lag:
        said += f", {club.lag} behind for {club.age or 0.0:.0f} s"
    if club.published is not None and club.published < club.head:
        said += f", {club.head - club.published} not published"
    return said if club.reason is None else f"{said}: {club.reason}"


def _with_chain(found: Settings) -> Settings:
    if found.chain_database_url is None:
        raise NoChain
    return found
