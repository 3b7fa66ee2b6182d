"""The bodies of requests: each is taken in whole, and in time, before anything is done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from application.ports.ledger import Overloaded

LARGEST_BODY = 1_000_000
"""Bytes; the largest documented body is a few kilobytes."""

LONGEST_LENGTH = len(str(LARGEST_BODY))
"""Digits of the length of a body that may be one."""

BODY_SECONDS = 10.0
"""Within which a body is there, and a second more for each SLOWEST bytes of it that are."""

SLOWEST = 4_000
"""Bytes a second, as over the slowest of mobile networks: so the largest body may take minutes,
and one that drips in takes seconds."""

SMALL_BODY = 16_384
"""Bytes that anybody's body may have at any time: more than any documented one has."""

MOST_HELD = 64_000_000
"""Bytes beyond that which all bodies together may have at a time."""


class BodyTooLarge(HTTPException):
    """The body is larger than anything that is asked here."""

    def __init__(self, *, awaited: bool = False) -> None:
        """`awaited`: whether the caller waits for a word before sending it."""
        # Without that word the rest never comes, and what comes next would be taken for it.
        headers = {"Connection": "close"} if awaited else None
        super().__init__(413, f"A body has at most {LARGEST_BODY} bytes.", headers)


class BodyTooSlow(HTTPException):
    """The body did not come in time."""

    def __init__(self) -> None:
        said = f"A body is sent within {BODY_SECONDS:.0f} s, and a second for each {SLOWEST} bytes."
        super().__init__(408, said, {"Connection": "close"})


class CallerGone(Exception):
    """The caller hung up before the body was there."""


class Bodies:
    """What the bodies in this process take up."""

    def __init__(self, most_held: int = MOST_HELD) -> None:
        self.most_held = most_held
        self.held = 0
        """Bytes, not counting those that anybody may have."""


class Body:
    """The body of one request; the app receives it from here, in one piece."""

    __slots__ = ("_bodies", "_held", "_receive", "_whole")

    def __init__(self, bodies: Bodies, receive: Receive) -> None:
        self._bodies = bodies
        self._receive = receive
        self._held = 0
        self._whole: bytes | None = None

    async def arrive(self, headers: Mapping[bytes, bytes]) -> None:
        """Wait until all of it is there.

        Raises BodyTooLarge, BodyTooSlow, CallerGone, and Overloaded where others hold too much.
        """
        announced = headers.get(b"content-length", b"").lstrip(b"0")
        if len(announced) > LONGEST_LENGTH or int(announced or b"0") > LARGEST_BODY:
            raise BodyTooLarge(awaited=b"expect" in headers)
        try:
            async with asyncio.timeout(BODY_SECONDS) as deadline:
                self._whole = await self._all(deadline)
        except TimeoutError:
            raise BodyTooSlow from None

    async def _all(self, deadline: asyncio.Timeout) -> bytes:
        began = asyncio.get_running_loop().time()
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise CallerGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._hold(size)
            if not message.get("more_body", False):
                return b"".join(parts)
            deadline.reschedule(began + BODY_SECONDS + size / SLOWEST)

    def _hold(self, size: int) -> None:
        if size > LARGEST_BODY:
            raise BodyTooLarge
        more = max(0, size - SMALL_BODY) - self._held
        if more and self._bodies.held + more > self._bodies.most_held:
            raise Overloaded
        self._bodies.held += more
        self._held += more

    async def __call__(self) -> Message:
        """The body, and after it whatever else happens to the connection."""
        if self._whole is None:
            return await self._receive()
        whole, self._whole = self._whole, None
        return {"type": "http.request", "body": whole, "more_body": False}

    def let_go(self) -> None:
        """It is not needed any more."""
        self._bodies.held -= self._held
        self._held = 0
