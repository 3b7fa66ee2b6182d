"""How often somebody may try, by account and by network address."""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass

from application.access import Origin
from application.ports.services import Bounds
from application.ports.signing_in import ShortLivedStore
from domain.refusals import Refusal
from domain.text import folded

NETWORK_BITS = 64
"""What one subscriber has of IPv6: nobody gets a new limit with each address of it."""


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

    def __init__(self, store: ShortLivedStore, bounds: Bounds) -> None:
        self._store = store
        self._bounds = bounds

    async def attempt(self, what: str, account: str | None, origin: Origin) -> Allowance:
        """Count one more attempt; raises TooManyAttempts where it is one too many.

        An account has a limit for each address, so that nobody keeps somebody else out from one
        place, and a larger one for all addresses together. Whoever is over one limit does not
        count against the next.
        """
        address = await self._count(
            "address", f"{what}:{network(origin.address)}", self._bounds.attempts_per_address
        )
        self._refuse((address,))
        if account is None:
            return (address,)
        name = hashlib.sha256(folded(account).encode()).hexdigest()
        quota = self._bounds.attempts_per_account
        here = await self._count("account", f"{what}:{name}:{network(origin.address)}", quota)
        self._refuse((here, address))
        everywhere = await self._count("everywhere", f"{what}:{name}", quota * PLACES)
        self._refuse((everywhere, here, address))
        return here, address

    async def _count(self, name: str, key: str, quota: int) -> Limit:
        window = self._bounds.attempts_window_seconds
        counted = await self._store.count(f"attempts:{name}:{key}", window)
        reset = max(1, math.ceil(counted.seconds_left))
        return Limit(name, quota, window, quota - counted.number, reset)

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
