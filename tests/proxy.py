"""An address of our own in front of a server: it forwards, leads elsewhere, cuts and swallows.

It runs in a thread, so that tests of processes and tests in an event loop use it alike.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Target = int | Path
"""A port of this machine, or a socket."""


class Proxy:
    """One address, and the connections that were made to it."""

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self.port = 0
        self.accepted = 0
        """How many connections were made."""
        self._target = target
        self._loop = loop
        self._lines: set[_Line] = set()
        self._swallows = False

    def redirect(self, target: Target) -> None:
        """Lead new connections elsewhere; those that there are stay where they are."""
        self._target = target

    def cut(self) -> None:
        """End the connections that there are."""
        self._for_each(_Line.cut)

    def swallow(self) -> None:
        """Let nothing pass any more on the connections that there are, which stay open."""
        self._for_each(_Line.swallow)

    def swallow_all(self) -> None:
        """As a machine that has vanished: nothing passes, on new connections neither."""
        self._swallows = True
        self.swallow()

    def forward(self) -> None:
        """Let new connections pass again."""
        self._swallows = False

    def _for_each(self, act: Callable[[_Line], None]) -> None:
        """Do it to every connection, in the proxy's thread, and wait until it is done."""

        async def do() -> None:
            for line in list(self._lines):
                act(line)

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)

    async def accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection until it ends."""
        self.accepted += 1
        try:
            answers, requests = await _connect(self._target)
        except OSError:
            writer.close()
            return
        line = _Line(writer, requests, swallows=self._swallows)
        self._lines.add(line)
        try:
            await asyncio.gather(line.carry(reader, requests), line.carry(answers, writer))
        finally:
            self._lines.discard(line)


class _Line:
    """One connection through the proxy."""

    def __init__(self, writer: StreamWriter, requests: StreamWriter, *, swallows: bool) -> None:
        self._ends = writer, requests
        self._swallows = swallows

    def swallow(self) -> None:
        self._swallows = True

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one direction; where it ends, the connection ends, unless it is swallowed."""
        with suppress(OSError):
            while data := await reader.read(65536):
                if not self._swallows:
                    writer.write(data)
                    await writer.drain()
        if not self._swallows:
            for end in self._ends:
                end.close()


async def _connect(target: Target) -> tuple[StreamReader, StreamWriter]:
    if isinstance(target, Path):
        return await asyncio.open_unix_connection(target)
    return await asyncio.open_connection("127.0.0.1", target)


@contextmanager
def proxy(target: Target) -> Iterator[Proxy]:
    """An address in front of `target`, on a free port, for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    made = Proxy(target, loop)
    server = loop.run_until_complete(asyncio.start_server(made.accept, "127.0.0.1", 0))
    made.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    try:
        yield made
    finally:
        made.cut()
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Take no more connections, and leave nothing that is under way."""
    server.close()
    this = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not this]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
