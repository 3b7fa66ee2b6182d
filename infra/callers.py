"""From a bearer token to whoever asks."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from application.access import Caller
from application.ports import InvalidToken
from domain.values import Role
from infra.tokens import AccessTokens
from projections import users
from projections.batching import Batcher
from projections.reads import Rows

FRESH = 2.0
"""Seconds for which a user's role is believed: so soon a new role or a deletion takes effect."""

REMEMBERED = 10_000


class _Known(NamedTuple):
    caller: Caller | None
    until: float


class Callers:
    """Knows who a token stands for, and what they may do now."""

    def __init__(self, tokens: AccessTokens, rows: Rows) -> None:
        self._tokens = tokens
        self._rows = rows
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._users: Batcher[int, Caller | None] = Batcher(self._fetch)

    async def of(self, token: str) -> Caller:
        """The caller; raises InvalidToken where the token or its user is not valid any more."""
        user_id = self._tokens.check(token).user_id
        known = self._known.get(user_id)
        now = time.monotonic()
        if known is None or known.until < now:
            known = _Known(await self._users.get(user_id), now + FRESH)
            self._known[user_id] = known
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if known.caller is None:
            raise InvalidToken
        return known.caller

    async def _fetch(self, ids: Sequence[int]) -> dict[int, Caller | None]:
        wanted = list(ids)
        found: dict[int, Caller | None] = dict.fromkeys(wanted)
        for user_id, role in await self._rows(users.BY_ID, [wanted]):
            found[user_id] = Caller.user(user_id, Role(role))
        return found
