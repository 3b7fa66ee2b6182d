"""What signing in needs: who asks, passwords, codes, tokens, and what is short-lived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from application.access import Caller


class InvalidToken(Exception):
    """This token is not valid, or not of the kind that is asked for here."""


class NoToken(InvalidToken):
    """Nothing says who asks: this takes an access token."""


class ExpiredToken(InvalidToken):
    """This token has expired."""


class RevokedToken(InvalidToken):
    """The session of this token has ended, or its user is gone."""


class NoLink(NoToken):
    """This page is opened with a link of one's own."""


class InvalidLink(InvalidToken):
    """This link is not valid here: a part of it is missing, or it is of another page."""


class ExpiredLink(ExpiredToken):
    """This link has expired."""


class RevokedLink(RevokedToken):
    """This link was revoked, or whoever had it is gone."""


class StoreUnavailable(Exception):
    """The store of what is short-lived cannot be reached; signing in has to wait."""


class ChannelUnavailable(Exception):
    """Codes cannot be sent just now; signing in has to wait."""


class NoCodeChannel(ChannelUnavailable):
    """Signing in is not set up here: the service has no Telegram bot to send codes with."""


class Callers(Protocol):
    """Knows who asks."""

    async def of(self, token: str) -> Caller:
        """Whoever an access token stands for; raises InvalidToken."""
        ...

    async def reader(self, token: str, page: str) -> Caller:
        """Whoever the token of a link lets read this page; raises InvalidToken."""
        ...


class PasswordHasher(Protocol):
    """Argon2id."""

    async def hash(self, password: str, *, at_the_door: bool = False) -> str:
        """The hash to keep; takes tens of milliseconds on purpose.

        `at_the_door` is for who signs in: they do not wait for those who register. Raises
        Overloaded where too many wait for it.
        """
        ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of this hash; as slow where there is no hash.

        Raises Overloaded where too many wait for it.
        """
        ...


class Count(NamedTuple):
    """How often something happened within a window of time."""

    number: int
    seconds_left: float
    """Until the window ends and counting begins anew."""


class Counting(Protocol):
    """Counts what happens within a window of time."""

    async def count(self, key: str, seconds: float) -> Count:
        """Count one more; the window begins with the first."""
        ...

    async def uncount(self, key: str, seconds: float) -> None:
        """Count one less, within the window."""
        ...


class ShortLivedStore(Counting, Protocol):
    """Keeps what is short-lived; every entry ends by itself.

    Every method raises StoreUnavailable where the store cannot be reached.
    """

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long."""
        ...

    async def get(self, *keys: str) -> Sequence[bytes | None]:
        """What is kept under each of these keys."""
        ...

    async def take(self, key: str) -> bytes | None:
        """What is kept, which is then gone: of all who take at once, one gets it."""
        ...

    async def drop(self, *keys: str) -> None:
        """Keep these no longer."""
        ...


@dataclass(frozen=True, slots=True)
class CodeChannel:
    """How a code reaches the person who signs in; with neither of these, nobody signs in."""

    link: Callable[[str], Awaitable[str]] | None = None
    """The link that brings a payload to the bot, which answers with a code.

    Raises ChannelUnavailable.
    """
    show: Callable[[str, str], None] | None = None
    """Shows a username and its code on the machine itself, where there is no bot."""


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """What a valid refresh token says."""

    user_id: int
    session_id: int
    generation: int


class PageClaims(NamedTuple):
    """What the token of a link says."""

    user_id: int
    page: str
    link_id: int
    ends_at: int
    """In seconds since 1970."""


class PageTokens(Protocol):
    """Signs the tokens of links that open a page."""

    def page_token(self, claims: PageClaims) -> str:
        """A token that opens one page for one reader."""
        ...


class Tokens(Protocol):
    """Signs the tokens of the club; each kind is good for one thing only."""

    def access_token(self, user_id: int, session_id: int | None, seconds: int) -> str:
        """A token for the club's own API."""
        ...

    def refresh_token(self, claims: RefreshClaims, ends_at: int) -> str:
        """A token that is good for one exchange; `ends_at` in seconds since 1970."""
        ...

    def read_refresh_token(self, token: str) -> RefreshClaims:
        """What it says; raises InvalidToken for any but a valid refresh token of ours."""
        ...
