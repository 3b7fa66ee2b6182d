"""How often somebody may try, by account and by network address."""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from application.access import Origin
from application.ports.ledger import LedgerUnavailable, Overloaded
from application.ports.services import Bounds
from application.ports.signing_in import Counting, StoreUnavailable
from domain.refusals import Busy, Refusal
from domain.text import folded

NETWORK_BITS = 64
"""What one subscriber has of IPv6: nobody gets a new limit with each address of it."""


UNABLE = (Busy, LedgerUnavailable, Overloaded, StoreUnavailable)
"""What says of the club, and nothing of whoever tries, that an attempt came to nothing."""

REGISTRATION = "registration"
"""What has an allowance of its own."""

PLACES = 10
"""From how many addresses an account's limit may be used up before nobody may try any more."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, and what is left of it."""

    name: str
    quota: int
    window: int
    """Seconds."""
    left: int
    reset: int
    """Seconds until counting begins anew."""


Allowance = tuple[Limit, ...]


class _Counted(NamedTuple):
    """One limit that an attempt counts against."""

    name: str
    key: str
    quota: int

    @property
    def entry(self) -> str:
        """Under which the store counts."""
        return f"attempts:{self.name}:{self.key}"


class TooManyAttempts(Refusal):
    """Too many attempts. Please try again in {seconds} seconds."""

    def __init__(self, allowance: Allowance, exceeded: Limit) -> None:
        super().__init__(seconds=exceeded.reset)
        self.allowance = allowance
        self.seconds = exceeded.reset


class TooManyAtOnce(Refusal):
    """Too many of your requests are under way here. Please wait for some of their answers."""


class Limits:
    """Counts attempts, whatever becomes of them."""

    def __init__(self, store: Counting, bounds: Bounds) -> None:
        self._store = store
        self._bounds = bounds

    @asynccontextmanager
    async def trying(
        self, what: str, account: str | None, origin: Origin
    ) -> AsyncIterator[Allowance]:
        """Count one attempt, unless the club is not able to look at it within the block.

        The block ends where it is known whether a secret is right: what is not counted must not
        tell that, nor be a try.
        """
        allowance = await self.attempt(what, account, origin)
        try:
            yield allowance
        except UNABLE:
            with suppress(StoreUnavailable):
                await self._uncount(what, account, origin)
            raise

    async def attempt(self, what: str, account: str | None, origin: Origin) -> Allowance:
        """Count one more attempt; raises TooManyAttempts where it is one too many.

        An account has a limit for each address, so that nobody keeps somebody else out from one
        place, and a larger one for all addresses together. Whoever is over one limit does not
        count against the next.
        """
        by_address, *by_account = self._counted(what, account, origin)
        address = await self._count(by_address)
        self._refuse((address,))
        if not by_account:
            return (address,)
        here = await self._count(by_account[0])
        self._refuse((here, address))
        everywhere = await self._count(by_account[1])
        self._refuse((everywhere, here, address))
        return here, address

    def _counted(self, what: str, account: str | None, origin: Origin) -> list[_Counted]:
        """What an attempt counts against, in this order."""
        place, bounds = network(origin.address), self._bounds
        registering = what == REGISTRATION
        quota = bounds.registrations_per_address if registering else bounds.attempts_per_address
        counted = [_Counted("address", f"{what}:{place}", quota)]
        if account is not None:
            name = hashlib.sha256(folded(account).encode()).hexdigest()
            quota = bounds.attempts_per_account
            counted += [
                _Counted("account", f"{what}:{name}:{place}", quota),
                _Counted("everywhere", f"{what}:{name}", quota * PLACES),
            ]
        return counted

    async def _count(self, counted: _Counted) -> Limit:
        window = self._bounds.attempts_window_seconds
        count = await self._store.count(counted.entry, window)
        reset = max(1, math.ceil(count.seconds_left))
        return Limit(counted.name, counted.quota, window, counted.quota - count.number, reset)

    async def _uncount(self, what: str, account: str | None, origin: Origin) -> None:
        for counted in self._counted(what, account, origin):
            await self._store.uncount(counted.entry, self._bounds.attempts_window_seconds)

    @staticmethod
    def _refuse(allowance: Allowance) -> None:
        for limit in allowance:
            if limit.left < 0:
                raise TooManyAttempts(allowance, limit)


def network(address: str) -> str:
    """The network that an address stands for: itself, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, NETWORK_BITS), strict=False))
    return str(parsed)
