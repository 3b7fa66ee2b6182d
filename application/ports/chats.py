"""How a text comes to a person."""

from __future__ import annotations

from typing import Protocol


class NotSent(Exception):
    """It has not come, for certain."""

    def __init__(self, reason: str, pause: float = 0) -> None:
        """`pause` is how many seconds they ask to be left alone."""
        super().__init__(reason)
        self.pause = pause


class MaybeSent(Exception):
    """Nobody knows whether it has come."""


class Chats(Protocol):
    """Chats of the club's bot with people."""

    async def send(self, chat_id: int, text: str) -> None:
        """Send it, once; raises NotSent or MaybeSent."""
        ...
