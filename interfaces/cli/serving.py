"""How `club run` listens, of a club or of a chain."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import typer
import uvicorn

from infra.settings import Settings
from interfaces.cli.opening import complain

LAST_REQUESTS = 10
"""Seconds in which requests under way at the end are answered."""


class Server(uvicorn.Server):
    """A server that leaves signals to `club run`, which has more to close than it."""

    def stop(self) -> None:
        """Answer what is under way, then end; asked again, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def listen(found: Settings) -> socket.socket:
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


def spare_the_collector() -> None:
    """Look for reference cycles seldom: a full look stops the service for tens of milliseconds.

    What is loaded by now stays for good, and requests leave next to no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
