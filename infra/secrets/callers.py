"""From a bearer token to whoever asks."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from application.access import Caller
from application.ports.signing_in import InvalidToken
from domain import sessions, users
from domain.aggregate import Event
from domain.values import Role
from infra.secrets.tokens import SignedTokens
from infra.short_lived import Marks
from projections.engine.batching import Batcher
from projections.engine.reads import Rows
from projections.sessions import CALLERS

FRESH = 2.0
"""Seconds for which a caller is believed: so soon a new role or the end of a session counts."""

REMEMBERED = 10_000

logger = structlog.get_logger(__name__)

Bearer = tuple[int, int]
"""The user and the session that a token names; session 0 for none."""


class _Known(NamedTuple):
    caller: Caller | None
    until: float


class Callers:
    """Knows who a token stands for, and what they may do now.

    The truth about a session is in the log, and read from its table. Its end is also marked in
    the store of what is short-lived, for a table that is behind; without the store, the table
    alone decides. This process remembers by itself which sessions it has ended.
    """

    def __init__(self, tokens: SignedTokens, rows: Rows, marks: Marks, mark_seconds: float) -> None:
        """A session is marked for `mark_seconds`, the longest life of an access token."""
        self._tokens = tokens
        self._rows = rows
        self._marks = marks
        self._mark_seconds = mark_seconds
        self._known: OrderedDict[Bearer, _Known] = OrderedDict()
        self._ended: OrderedDict[int, float] = OrderedDict()
        """Sessions that ended here, and until when that matters, the earliest first."""
        self._callers: Batcher[Bearer, Caller | None] = Batcher(self._fetch)

    async def of(self, token: str) -> Caller:
        """The caller; raises InvalidToken where the token or its user is not valid any more."""
        claims = self._tokens.check(token)
        if claims.session_id in self._ended:
            raise InvalidToken
        bearer = claims.user_id, claims.session_id
        known = self._known.get(bearer)
        now = time.monotonic()
        if known is None or known.until < now:
            known = _Known(await self._callers.get(bearer), now + FRESH)
            self._known[bearer] = known
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if known.caller is None:
            raise InvalidToken
        return known.caller

    async def witness(self, events: Sequence[Event]) -> None:
        """Believe nobody any longer to whom this happened, and mark sessions that ended."""
        for event in events:
            match event:
                case sessions.TokenReused():
                    logger.warning("session.token-reused", session=event.number)
                case sessions.Ended():
                    self._remember_end(event.number)
                    await self._marks.put(_mark(event.number), b"", self._mark_seconds)
                case users.RoleChanged() | users.Deleted():
                    self._forget(event.number)
                case _:
                    pass

    def _remember_end(self, session_id: int) -> None:
        now = time.monotonic()
        while self._ended and next(iter(self._ended.values())) < now:
            self._ended.popitem(last=False)
        self._ended[session_id] = now + self._mark_seconds

    def _forget(self, user_id: int) -> None:
        for bearer in [known for known in self._known if known[0] == user_id]:
            del self._known[bearer]

    async def _fetch(self, bearers: Sequence[Bearer]) -> dict[Bearer, Caller | None]:
        found: dict[Bearer, Caller | None] = dict.fromkeys(bearers)
        asked = [list(numbers) for numbers in zip(*bearers, strict=True)]
        for user_id, session_id, role in await self._rows(CALLERS, asked):
            caller = Caller.user(user_id, Role(role), session_id or None)
            found[user_id, session_id] = caller
        await self._take_out_marked(found)
        return found

    async def _take_out_marked(self, found: dict[Bearer, Caller | None]) -> None:
        with_session = [bearer for bearer in found if bearer[1]]
        if not with_session:
            return
        marks = await self._marks.get(*(_mark(session_id) for _, session_id in with_session))
        for bearer, mark in zip(with_session, marks, strict=True):
            if mark is not None:
                found[bearer] = None


def _mark(session_id: int) -> str:
    return f"ended:{session_id}"
