"""Connections: each is waited for only so long, whatever it leaves undone.

What uvicorn has no limit for: a connection that says nothing, or half of what it wants; headers
without an end; an answer that nobody reads; more connections than the process may have. How long
a body may take is for `bodies`.
"""

from __future__ import annotations

import resource
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from interfaces.problems import MEDIA_TYPE, document
from interfaces.rest.bodies import SLOWEST
from interfaces.rest.problems import HTTP_PROBLEMS

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

LOOK = 1.0
"""Seconds between two looks at a connection."""

PATIENCE = 10.0
"""Seconds for which one is waited for, until it has said what it wants: a browser that connects
ahead of time, or the slowest of networks, takes two or three."""

READING_PATIENCE = 30.0
"""Seconds for which one may leave its answer unread, and a second more for each SLOWEST bytes that
it takes: what is on the way is seen to be taken only now and then."""

LARGEST_HEAD = 65_536
"""Bytes of a request line and headers; ours take two kilobytes, and a token four at most."""

MOST_CONNECTIONS = 10_000
"""At a time; each takes some twenty kilobytes."""

KEPT_FREE = 256
"""Files that the process may open beside its connections: to Postgres and others, keys, logs."""

logger = structlog.get_logger("http")


def let_many_in() -> None:
    """Let this process have as many connections as it may, if the system grants them."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + KEPT_FREE
    granted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    if resource.RLIM_INFINITY != files < granted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, most))


def most_connections() -> int:
    """How many connections there may be in this process at a time."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, files - KEPT_FREE))


class Connection(HttpToolsProtocol):
    """One connection, and the patience there is with it."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.since = self.loop.time()
        """When it began to be waited for: it came, asked for something, or was last worked for."""
        self._reading_patience = READING_PATIENCE
        self._unread = 0
        self._head = 0
        """Bytes of a head that has no end yet."""
        self._looking: asyncio.TimerHandle | None = None

    @property
    def _last(self) -> RequestResponseCycle | None:
        """The request whose headers were the last to come."""
        return self.cycle

    @property
    def _between(self) -> bool:
        """Whether no headers are all there but those of requests before."""
        return self._last is None or self._last.scope is not self.scope

    @property
    def _answered(self) -> bool:
        """Whether nothing is being done for it."""
        return self._last is None or self._last.response_complete

    @property
    def waited_for(self) -> bool:
        """Whether it is its turn: to ask, to send the rest of a body, or to read."""
        return self._last is None or self._last.response_complete or self._last.more_body

    # --- what happens to it ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody came; where there are too many, whoever was waited for longest goes."""
        super().connection_made(transport)
        self._looking = self.loop.call_later(LOOK, self._look)
        if len(self.connections) > most_connections():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """It says something."""
        before = self.scope
        super().data_received(data)
        if self.scope is not before:
            self.since = self.loop.time()
        elif self._between:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self._refuse(431, "request-header-fields-too-large")
            return
        self._head = 0
        if not self._between and self.cycle.more_body:
            # Headers behind a body are nobody's business, and may have no end.
            self.headers = []

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it is always the same
        """It does not speak HTTP."""
        self._refuse(400, "bad-request")

    # --- how long it is waited for ---------------------------------------------------------

    def _look(self) -> None:
        """Every now and then: is it waited for, and for how long already."""
        self._looking = self.loop.call_later(LOOK, self._look)
        self._see_whether_it_reads()
        now = self.loop.time()
        if not self.waited_for:
            self.since = now
        elif now - self.since >= PATIENCE and self._answered:
            if self._between and self.scope is not None:
                self._refuse(408, "request-timeout")
            else:
                self.transport.close()

    def _see_whether_it_reads(self) -> None:
        """Hang up on whoever takes nothing of an answer, which has to be kept until then."""
        unread = self.transport.get_write_buffer_size()
        if unread:
            taken = max(0, self._unread - unread)
            left = self._reading_patience - LOOK + taken / SLOWEST
            self._reading_patience = min(READING_PATIENCE, left)
            if left <= 0:
                logger.info("connection.unread", bytes=unread)
                self.transport.abort()
        else:
            self._reading_patience = READING_PATIENCE
        self._unread = unread

    def _make_room(self) -> None:
        """Hang up on some that are waited for, longest of all; else on this one."""
        waited_for = [
            one
            for one in self.connections
            if isinstance(one, Connection) and one.waited_for and not one.transport.is_closing()
        ]
        some = nsmallest(1 + len(waited_for) // 100, waited_for, key=lambda one: one.since)
        for one in some or [self]:
            one.transport.abort()

    def _refuse(self, status: int, code: str) -> None:
        """Say why, and hang up; after the answer to what it asked before, where there is one."""
        if not self._answered:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self.transport.is_closing():
            return
        logger.info("connection.refused", status=status)
        said = orjson.dumps(document(status, code, HTTP_PROBLEMS[code][1], ""))
        headers = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(said)}\r\n"
        last = b"connection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + headers.encode() + last + said)
        self.transport.close()
