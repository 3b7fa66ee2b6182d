"""Around every request: an id, its body, a place, a measure and a line in the log."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.ports.ledger import Overloaded
from interfaces.rest.asking import REQUEST_ID
from interfaces.rest.bodies import Bodies, Body, CallerGone
from interfaces.rest.places import MOST_UNDER_WAY, PLACE, Place, Places
from interfaces.rest.problems import refused_by_http, unable
from interfaces.rest.public import PUBLIC

REQUEST_ID_HEADER = b"x-request-id"

BODILESS = frozenset({"GET", "HEAD"})
"""Methods that come without a body, unless a header says that there is one."""

BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})

ALWAYS_ANSWERED = frozenset({"/health/", "/health", "/metrics"})
"""Paths at which one sees that the club is overloaded, and that cost it next to nothing."""

HUNG_UP = 499
"""What is noted where nobody waited for an answer."""

logger = structlog.get_logger("http")


class Measures(Protocol):
    """Where requests are counted."""

    requests: Any
    request_seconds: Any


class Sites(CORSMiddleware):
    """Which sites' pages may ask; what a browser asks before that is known by an id, too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer, which nothing further in sees."""
        answer = super().preflight_response(request_headers)
        given = request_headers.get(REQUEST_ID_HEADER.decode(), "")
        answer.headers[REQUEST_ID_HEADER.decode()] = request_id_of(given.encode("latin-1"))
        return answer


class Around:
    """The outermost layer of the app."""

    def __init__(
        self,
        app: ASGIApp,
        measures: Measures,
        most_under_way: int = MOST_UNDER_WAY,
        public_url: str = "",
    ) -> None:
        self._app = app
        self._public_url = public_url
        self._measures = measures
        self._places = Places(most_under_way)
        self._bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        method = scope["method"]
        request_id = request_id_of(headers.get(REQUEST_ID_HEADER))
        place = Place(self._places)
        answer = _Answer(send, request_id, place, empty=method == "HEAD")
        scope = _readable(scope)
        scope.setdefault("state", {}).update(
            {REQUEST_ID: request_id, PLACE: place, PUBLIC: self._public_url}
        )
        started = time.perf_counter()
        try:
            if method in BODILESS and BODY_HEADERS.isdisjoint(headers):
                await self._work(scope, receive, answer, place)
            else:
                await self._receive(scope, receive, answer, place, headers)
        except Exception:
            logger.exception("fault", request_id=request_id)
            raise
        finally:
            place.leave()
            self._note(scope, method, answer.status, time.perf_counter() - started, request_id)

    async def _receive(
        self,
        scope: Scope,
        receive: Receive,
        answer: _Answer,
        place: Place,
        headers: Mapping[bytes, bytes],
    ) -> None:
        """Take the body in, which takes no place, then work on the request."""
        body = Body(self._bodies, receive)
        try:
            await body.arrive(headers)
        except CallerGone:
            answer.status = HUNG_UP
        except HTTPException as no:
            await refused_by_http(Request(scope), no)(scope, receive, answer)
        except Overloaded as no:
            await unable(Request(scope), no)(scope, receive, answer)
        else:
            await self._work(scope, body, answer, place)
        finally:
            body.let_go()

    async def _work(self, scope: Scope, receive: Receive, answer: _Answer, place: Place) -> None:
        try:
            place.take(always=scope["path"] in ALWAYS_ANSWERED)
        except Overloaded as no:
            await unable(Request(scope), no)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _note(
        self, scope: Scope, method: str, status: int, seconds: float, request_id: str
    ) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
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
    """Sends the answer, with the request's id, and remembers its status.

    Once it is known, the request's place is free: whoever reads slowly is not being worked on.
    """

    def __init__(self, send: Send, request_id: str, place: Place, *, empty: bool) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self._place = place
        self._empty = empty
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._place.leave()
            self.status = message["status"]
            message["headers"].append((REQUEST_ID_HEADER, self._request_id))
        elif self._empty:
            message = {**message, "body": b""}
        await self._send(message)


def _readable(scope: Scope) -> Scope:
    """The request in a form that everybody further in can read."""
    if not scope["query_string"].isascii():
        # Nobody may send this.
        scope["query_string"] = quote(scope["query_string"], safe="%&+=;:/?,@").encode()
    # The same as a GET in all but the body; the server's own scope says that none is sent.
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def request_id_of(given: bytes | None) -> str:
    """The caller's own id for the request, where it is a sensible one."""
    text = (given or b"").decode("latin-1")
    return text if re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", text) else secrets.token_hex(16)
