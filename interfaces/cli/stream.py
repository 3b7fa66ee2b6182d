"""`club stream`: a worker of a chain of clubs; and how all of them are doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import typer
import uvloop

from domain.aggregate import time_text
from infra.chain.beginning import groups_of
from infra.chain.installed import look_for_kafka
from infra.chain.store import open_chain
from infra.chain.watching import ChainState, look
from infra.settings import Settings
from interfaces.cli.chain_opening import chain_settings
from interfaces.cli.opening import complain, on_signal

app = typer.Typer(name="stream", help="Run a worker of a chain of clubs.")

LAST_WORDS = 5.0
"""Seconds that a worker that died has for what is still to be closed."""


@app.callback(invoke_without_command=True)
def stream(context: typer.Context) -> None:
    """Take the events of a chain's clubs from Kafka; of several workers, each has its share."""
    if context.invoked_subcommand is not None:
        return
    with chain_settings() as found:
        look_for_kafka(found)
        uvloop.run(_until_told(found))


async def _until_told(found: Settings) -> None:
    # Who is in no chain has none of it installed.
    from interfaces.stream.main import Watchdog, WorkerDied, run_worker  # noqa: PLC0415

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
    with chain_settings() as found:
        state = uvloop.run(_looked(found))
    print(state.status)
    for worker in state.workers:
        since = f"{worker.status} since {time_text(worker.since)}"
        print(f"  {worker.process:<24}{since}{_also(worker.detail)}")
    for club in state.clubs:
        print(f"  {club['name']:<24}{club['group_name']}: {_told(club)}")
    for kept in state.kept_out:
        of = f" of {kept['club']}" if kept["club"] else ""
        last = f"last at {kept['partition']}:{kept['offset']}, {kept['last_at']}"
        print(f"  kept out{of}: {kept['times']}, as {kept['reason']} ({last})")
    if state.status != "running":
        raise typer.Exit(1)


async def _looked(found: Settings) -> ChainState:
    async with open_chain(found.chain_database_url or "", groups_of(found)) as store:
        return await look(store)


def _told(club: Mapping[str, Any]) -> str:
    said = [club["state"], f"at position {club['position']}"]
    if club["lag"]:
        said.append(f"{club['lag']} behind for {club['age'] or 0.0:.0f} s")
    if club["stands_at"] is not None:
        said.append(f"before position {club['stands_at']} ({club['topic']})")
    return ", ".join(said) + _also(club["reason"])


def _also(detail: str | None) -> str:
    return f": {detail}" if detail else ""
