"""From a bearer token to whoever asks."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from application.access import Caller
from application.ports.signing_in import RevokedLink, RevokedToken
from domain import page_links, sessions, users
from domain.aggregate import Event
from domain.values import Role
from infra.ledger.conditions import fact_in
from infra.ledger.mapper import UnreadableEvent, to_event
from infra.secrets.clocks import APART
from infra.secrets.tokens import SignedTokens
from projections.engine.batching import Batcher
from projections.engine.reads import Rows

FRESH = 2.0
"""Seconds for which a caller is believed: so soon a new role or the end of a session counts."""

REMEMBERED = 10_000

logger = structlog.get_logger(__name__)

Bearer = tuple[int, int]
"""The user and the session that a token names; session 0 for none."""


# Of users who are not deleted, and of sessions (0 for none) that have not ended: the event that
# gave the user a role, and the one that opened the session. Nothing comes after an end.
_STANDING = f"""
SELECT asked.user_id, asked.session_id, role.topic, role.state, opened.state
FROM unnest(%s::bigint[], %s::bigint[]) AS asked (user_id, session_id)
CROSS JOIN LATERAL (
    SELECT topic, state FROM ledger_events WHERE originator_id = 'user-' || asked.user_id
        AND topic IN ('{users.Registered.TOPIC}', '{users.RoleChanged.TOPIC}')
    ORDER BY originator_version DESC LIMIT 1) AS role
CROSS JOIN LATERAL (
    SELECT topic FROM ledger_events WHERE originator_id = 'user-' || asked.user_id
    ORDER BY originator_version DESC LIMIT 1) AS last_of_user
LEFT JOIN LATERAL (
    SELECT topic FROM ledger_events WHERE originator_id = 'session-' || asked.session_id
    ORDER BY originator_version DESC LIMIT 1) AS last_of_session ON TRUE
LEFT JOIN ledger_events AS opened ON opened.originator_id = 'session-' || asked.session_id
    AND opened.originator_version = 1
WHERE last_of_user.topic <> '{users.Deleted.TOPIC}'
  AND coalesce(last_of_session.topic <> '{sessions.Ended.TOPIC}', TRUE)
"""  # noqa: S608 - made of constants


# Who may read what with a link: it was made for them, and was not revoked.
_LINK = f"""
SELECT state FROM ledger_events AS made
WHERE originator_id = 'page-link-' || %s::bigint AND originator_version = 1
  AND NOT EXISTS (
    SELECT FROM ledger_events AS later
    WHERE later.originator_id = made.originator_id AND topic = '{page_links.Revoked.TOPIC}')
"""  # noqa: S608 - made of constants


class _Known(NamedTuple):
    caller: Caller | None
    until: float


class Callers:
    """Knows who a token stands for, and what they may do now.

    That is asked of the log, not of tables, which may be behind or stand still: a role that was
    taken away, a deletion or the end of a session holds at once in the process where it happened,
    and everywhere within the time for which a caller is believed.
    """

    def __init__(
        self,
        tokens: SignedTokens,
        rows: Rows,
        token_seconds: float,
        era: Callable[[], int] = lambda: 0,
    ) -> None:
        """`rows` asks the ledger; `token_seconds` is the longest life of an access token.

        `era` is the ledger's: with another one nothing is believed that was known before.
        """
        self._tokens = tokens
        self._rows = rows
        self._token_seconds = token_seconds + APART.total_seconds()
        self._era = era
        self._known_in = era()
        self._known: OrderedDict[Bearer, _Known] = OrderedDict()
        self._ended: OrderedDict[int, float] = OrderedDict()
        """Sessions that ended here, and until when that matters, the earliest first."""
        self._changes = 0
        """How often somebody was forgotten: what was asked before may be from before."""
        self._callers: Batcher[Bearer, Caller | None] = Batcher(self._fetch)

    async def of(self, token: str) -> Caller:
        """The caller; raises InvalidToken where the token or its user is not valid any more."""
        claims = self._tokens.check(token)
        self._forget_another_era()
        if claims.session_id in self._ended:
            raise RevokedToken
        caller = await self._standing(claims.user_id, claims.session_id)
        if caller is None:
            raise RevokedToken
        return caller

    async def reader(self, token: str, page: str) -> Caller:
        """Whoever reads this page with a link; raises InvalidToken where the link is not good.

        The log is asked at each opening: a link that was revoked opens nothing, in any process.
        """
        claims = self._tokens.read_page_token(token, page)
        found = [state for (state,) in await self._rows(_LINK, [claims.link_id])]
        asked = {"user_id": claims.user_id, "page": claims.page}
        if not found or any(fact_in(found[0], name) != fact for name, fact in asked.items()):
            raise RevokedLink
        self._forget_another_era()
        caller = await self._standing(claims.user_id, 0)
        if caller is None:
            raise RevokedLink
        return caller

    def _forget_another_era(self) -> None:
        """Believe nothing of a ledger that is not this one any more."""
        if self._known_in != self._era():
            self._known_in = self._era()
            self._known.clear()
            self._ended.clear()

    async def _standing(self, user_id: int, session_id: int) -> Caller | None:
        """The user as a caller, as of a moment ago at most; None where they may ask nothing."""
        bearer = user_id, session_id
        known = self._known.get(bearer)
        now = time.monotonic()
        if known is None or known.until < now:
            changes = self._changes
            known = _Known(await self._callers.get(bearer), now + FRESH)
            if changes == self._changes:
                self._remember(bearer, known)
        return known.caller

    async def witness(self, events: Sequence[Event]) -> None:
        """Believe nobody any longer to whom this happened."""
        for event in events:
            match event:
                case sessions.TokenReused():
                    logger.warning("session.token-reused", session=event.number)
                case sessions.Ended():
                    self._remember_end(event.number)
                case users.RoleChanged() | users.Deleted():
                    self._forget(event.number)
                case _:
                    pass

    def _remember(self, bearer: Bearer, known: _Known) -> None:
        self._known[bearer] = known
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _remember_end(self, session_id: int) -> None:
        now = time.monotonic()
        while self._ended and next(iter(self._ended.values())) < now:
            self._ended.popitem(last=False)
        self._ended[session_id] = now + self._token_seconds

    def _forget(self, user_id: int) -> None:
        self._changes += 1
        for bearer in [known for known in self._known if known[0] == user_id]:
            del self._known[bearer]

    async def _fetch(self, bearers: Sequence[Bearer]) -> dict[Bearer, Caller | None]:
        found: dict[Bearer, Caller | None] = dict.fromkeys(bearers)
        asked = [list(numbers) for numbers in zip(*bearers, strict=True)]
        for user_id, session_id, topic, state, opened in await self._rows(_STANDING, asked):
            owner = user_id if opened is None else fact_in(opened, "user_id")
            try:
                event = to_event(users.User.stream(user_id), 1, topic, state)
            except UnreadableEvent as unreadable:
                logger.warning("caller.unreadable", user=user_id, reason=str(unreadable))
                continue
            assert isinstance(event, users.Registered | users.RoleChanged)  # noqa: S101 - asked for
            if owner == user_id:
                caller = Caller.user(user_id, Role(event.role), session_id or None)
                found[user_id, session_id] = caller
        return found
