"""Around every request: an id, a limit to its size, a measure and a line in the log."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any, Protocol
from urllib.parse import quote

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.ports.ledger import Overloaded
from interfaces.rest.problems import unable

LARGEST_BODY = 1_000_000
"""Bytes; the largest documented body is a few kilobytes."""

MOST_UNDER_WAY = 1000
"""Requests that are worked on at a time; the next are refused rather than kept waiting."""

REQUEST_ID_HEADER = b"x-request-id"
logger = structlog.get_logger("http")


class BodyTooLarge(HTTPException):
    """The body is larger than anything that is asked here."""

    def __init__(self) -> None:
        super().__init__(413, f"A body has at most {LARGEST_BODY} bytes.")


class Measures(Protocol):
    """Where requests are counted."""

    requests: Any
    request_seconds: Any


class Around:
    """The outermost layer of the app."""

    def __init__(
        self, app: ASGIApp, measures: Measures, most_under_way: int = MOST_UNDER_WAY
    ) -> None:
        self._app = app
        self._measures = measures
        self._most_under_way = most_under_way
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not scope["query_string"].isascii():
            # Nobody may send this, and not everybody further in can read it.
            scope["query_string"] = quote(scope["query_string"], safe="%&+=;:/?,@").encode()
        request_id = _request_id(dict(scope["headers"]).get(REQUEST_ID_HEADER))
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        started = time.perf_counter()
        self._under_way += 1
        try:
            await self._handle(scope, _Limited(receive), answer)
        except Exception:
            logger.exception("fault", request_id=request_id)
            raise
        finally:
            self._under_way -= 1
            self._note(scope, answer.status, time.perf_counter() - started, request_id)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._under_way > self._most_under_way:
            await unable(Request(scope), Overloaded())(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        method = scope["method"]
        self._measures.requests.labels(method, route, status).inc()
        self._measures.request_seconds.labels(method, route).observe(seconds)
        logger.info(
            "request",
            method=method,
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 2),
            request_id=request_id,
        )


class _Answer:
    """Sends the answer, with the request's id, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"].append((REQUEST_ID_HEADER, self._request_id))
        await self._send(message)


class _Limited:
    """Receives a body up to the limit."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = LARGEST_BODY

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLarge
        return message


def _request_id(given: bytes | None) -> str:
    """The caller's own id for the request, where it is a sensible one."""
    text = (given or b"").decode("latin-1")
    return text if re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", text) else secrets.token_hex(16)
