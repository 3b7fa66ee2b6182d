"""Who signed a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Unsigned(Exception):
    """This message is not signed by a payment provider of the club."""


class Stale(Unsigned):
    """This message was signed too long ago, or is ahead of its time."""


class Signatures(Protocol):
    """Knows who signed a message."""

    async def provider(self, headers: Mapping[str, Any], body: bytes) -> str:
        """The name of the payment provider; raises Unsigned or Stale."""
        ...
