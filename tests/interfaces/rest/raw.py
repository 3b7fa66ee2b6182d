"""Connections of which a test says every byte, for what no well-behaved client does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

LONG = 60.0
"""Seconds after which what should come counts as not coming."""


class Answer(NamedTuple):
    """What came back; all of it empty where the connection was closed without a word."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        return dict(json.loads(self.body))


NONE = Answer(0, {}, b"")


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The next answer, or NONE where there is none before the end."""
        async with asyncio.timeout(LONG):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return NONE
            first, *lines = head.decode().strip().split("\r\n")
            pairs = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Whether nothing more comes; waits until that is known."""
        async with asyncio.timeout(LONG):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True

    def close(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def connected(url: str, many: int = 1) -> AsyncIterator[Sequence[Raw]]:
    """So many connections to the service there."""
    at = urlsplit(url)
    opened: list[Raw] = []
    try:
        while len(opened) < many:
            opened.append(Raw(*await asyncio.open_connection(at.hostname, at.port)))
        yield opened
    finally:
        for one in opened:
            one.close()


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A whole request, unless `headers` announce more of a body."""
    named = {"Host": "club", **headers}
    if body:
        named.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
