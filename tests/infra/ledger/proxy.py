"""A wire between a writer and Postgres that a test can cut at a COMMIT."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from psycopg.conninfo import conninfo_to_dict, make_conninfo

COMMIT = b"COMMIT\0"
"""How both the command and its answer end in the wire protocol."""


@dataclass
class Cut:
    """One COMMIT that does not simply pass."""

    answer_lost: bool
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """The COMMIT has come; or, where its answer is lost, Postgres has committed."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Where it is held back: let it go on to Postgres."""


class Proxy:
    """Passes everything on, but for the next COMMIT where the test says so."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._cut: Cut | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.url = ""

    def hold_commit(self) -> Cut:
        """Keep the next COMMIT from Postgres until it is released."""
        self._cut = Cut(answer_lost=False)
        return self._cut

    def lose_answer_to_commit(self) -> Cut:
        """Let Postgres commit, and end the connection in place of its answer."""
        self._cut = Cut(answer_lost=True)
        return self._cut

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        answers, commands = await _connect(self._database)
        lost: list[Cut] = []
        back = asyncio.create_task(_pass_answers(answers, writer, lost))
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._pass_commands(reader, commands, lost.append)
        finally:
            commands.close()
            writer.close()
            await back
            with suppress(ConnectionError):
                await asyncio.gather(commands.wait_closed(), writer.wait_closed())

    async def _pass_commands(
        self, reader: StreamReader, commands: StreamWriter, lose: Callable[[Cut], None]
    ) -> None:
        commands.write(await _message(reader, kind=b""))
        while True:
            message = await _message(reader, kind=await reader.readexactly(1))
            cut = self._cut
            if cut is not None and message[:1] in {b"P", b"Q"} and COMMIT in message:
                self._cut = None
                if cut.answer_lost:
                    lose(cut)
                else:
                    cut.arrived.set()
                    await cut.release.wait()
            commands.write(message)
            await commands.drain()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Proxy]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = make_conninfo(
            self._database, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)


async def _connect(database: str) -> tuple[StreamReader, StreamWriter]:
    where = conninfo_to_dict(database)
    host, port = str(where.get("host", "localhost")), where.get("port", 5432)
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


async def _message(reader: StreamReader, kind: bytes) -> bytes:
    size = await reader.readexactly(4)
    return kind + size + await reader.readexactly(int.from_bytes(size) - 4)


async def _pass_answers(answers: StreamReader, writer: StreamWriter, lost: list[Cut]) -> None:
    unheard = b""
    with suppress(ConnectionError):
        while data := await answers.read(65536):
            if not lost:
                writer.write(data)
                continue
            unheard += data
            if COMMIT in unheard:
                lost[0].arrived.set()
                break
    writer.close()
