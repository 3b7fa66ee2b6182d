"""The REST API over a real socket, for tests of what only a server shows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from infra.bootstrap import Club
from interfaces.rest.main import as_served, create_app


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(club: Club) -> AsyncIterator[str]:
    """The club's API on a free port, as `club run` serves it; the URL of its root."""
    async with serving(create_app(club)) as root:
        yield root


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """An API on a free port; the URL of its root."""
    # Only a socket that names its protocol is sent from without delay.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()  # From here on, whoever comes too early waits.
    config = as_served(app, last_requests=1)
    server = _Server(config)
    answering = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await answering
