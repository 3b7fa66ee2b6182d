"""`club run`: the whole service in one process."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import typer
import uvicorn
import uvloop

from infra.bootstrap import open_club
from infra.settings import Settings
from interfaces.cli.opening import complain, in_plain_words, settings
from interfaces.rest.main import create_app

LAST_REQUESTS = 10
"""Seconds in which requests under way at the end are answered."""


def run() -> None:
    """Run the whole service: the API, the projector and what time does."""
    found = settings()
    with in_plain_words(), suppress(asyncio.CancelledError):
        uvloop.run(_run(found))


async def _run(found: Settings) -> None:
    listening = _listen(found)
    starting = asyncio.current_task()
    assert starting is not None  # noqa: S101 - a coroutine runs in a task
    _on_signal(starting.cancel)
    _spare_the_collector()
    async with open_club(found, housekeeping=True) as club:
        config = uvicorn.Config(
            create_app(club),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=LAST_REQUESTS,
        )
        server = _Server(config)
        _on_signal(server.stop)
        _banner(found, listening.getsockname()[1])
        await server.serve(sockets=[listening])


def _on_signal(end: Callable[[], object]) -> None:
    """What Ctrl-C and SIGTERM do from here on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)


def _spare_the_collector() -> None:
    """Look for reference cycles seldom: a full look stops the service for tens of milliseconds.

    What is loaded by now stays for good, and requests leave next to no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class _Server(uvicorn.Server):
    """A server that leaves signals to `club run`, which has more to close than it."""

    def stop(self) -> None:
        """Answer what is under way, then end; asked again, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _listen(found: Settings) -> socket.socket:
    """The socket, taken before anything else is done, so that a taken port is said at once."""
    try:
        listening = socket.create_server(
            (found.http_host, found.http_port), reuse_port=False, backlog=2048
        )
    except OSError as taken:
        reason = str(taken.strerror).partition(" (")[0]
        complain(f"Cannot listen on {found.http_host}:{found.http_port}: {reason}.")
        complain("CLUB_HTTP_PORT chooses another port.")
        raise typer.Exit(1) from None
    return listening


def _banner(found: Settings, port: int) -> None:
    """Which parts are embedded, and which variable connects the real one."""
    url = f"http://{found.http_host}:{port}"
    postgres = (
        f"embedded, in {found.home / 'postgres'} (CLUB_DATABASE_URL connects another)"
        if found.database_url is None
        else "CLUB_DATABASE_URL"
    )
    print(
        f"\n  The club is open: {url}  (documentation: {url}/docs)\n\n"
        f"  Postgres    {postgres}\n"
        f"  Projector   in this process\n"
        f"  Timers      in this process\n"
        f"  Keys        {found.home / 'keys'}\n\n"
        f"  First admin: .venv/bin/club users create-admin --username NAME --email ADDRESS\n"
        f"  A token:     .venv/bin/club tokens issue NAME\n"
        f"  Ctrl-C closes the club.\n",
        file=sys.stderr,
        flush=True,
    )
