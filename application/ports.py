"""What the application needs from outside, in its own words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from application.access import Caller
from domain.aggregate import Event


class Recording(NamedTuple):
    """An event about to be recorded, with who did it and why."""

    event: Event
    command: str
    """The name of the command that led to it."""
    causation_id: str
    """The id of that command, or of the event that a policy answered with the command."""


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """What makes a command the same command again, over any channel."""

    source: str
    key: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a command that named a key."""

    key: ReceiptKey
    fingerprint: bytes
    outcome: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NothingSince:
    """A decision that rests on the read tables as of `position`.

    It holds only while no event of these topics with `field == value` came after it.
    """

    position: int
    topics: tuple[str, ...]
    field: str
    value: int


@dataclass(slots=True)
class Submission:
    """All that one command leaves in the ledger, in one transaction or not at all."""

    command_id: str
    actor: str
    correlation_id: str
    recordings: Sequence[Recording]
    expected: Mapping[str, int]
    """The version of every stream that the decision rests on; 0 for one that is not there."""
    conditions: Sequence[NothingSince] = ()
    receipt: Receipt | None = None


class StaleDecision(Exception):
    """What a command was decided on has changed; it must be decided anew."""


class AlreadyDone(Exception):
    """A command of this key is in the ledger."""


class LedgerUnavailable(Exception):
    """The database cannot be reached; nothing was recorded."""


class OutcomeUnknown(LedgerUnavailable):
    """The database went away in the middle of the commit: it may have happened, or not."""


class InvalidToken(Exception):
    """This token is not valid, or not of the kind that is asked for here."""


class StoreUnavailable(Exception):
    """The store of what is short-lived cannot be reached; signing in has to wait."""


class ChannelUnavailable(Exception):
    """Codes cannot be sent just now; signing in has to wait."""


class NoCodeChannel(ChannelUnavailable):
    """Signing in is not set up here: the service has no Telegram bot to send codes with."""


class Unsigned(Exception):
    """This message is not signed by a payment provider of the club."""


class Stale(Unsigned):
    """This message was signed too long ago, or is ahead of its time."""


class Overloaded(Exception):
    """More commands are waiting than can be answered in time."""


class Ledger(Protocol):
    """The log of everything that happened."""

    async def append(self, submission: Submission) -> int:
        """Record all of it, durably; returns the position of the last event.

        Raises StaleDecision, AlreadyDone, LedgerUnavailable or Overloaded; then nothing of it is
        recorded.
        """
        ...

    async def streams(self, ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        """The events of each of these aggregates, in order; none for one that is not there."""
        ...

    async def ids(self, kind: str) -> Sequence[str]:
        """The ids of all aggregates of a kind that has few, in order."""
        ...

    async def receipt(self, key: ReceiptKey) -> Receipt | None:
        """What became of the command of this key."""
        ...

    async def next_id(self, kind: str) -> int:
        """A number that no aggregate of this kind has had, from a Postgres sequence."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """Numbers found in the read tables, and the condition under which they are all there are."""

    numbers: tuple[int, ...]
    condition: NothingSince


class ReadSide(Protocol):
    """What the read tables tell a decision: never a fact of an aggregate, who refers to it."""

    async def reached(self, position: int) -> bool:
        """Wait until the read tables show `position`; False after a short limit."""
        ...

    async def referring(self, reference: str, number: int) -> Seen:
        """Who refers to this number, `reference` being one of `projections.references`."""
        ...

    async def overdue_payments(self, before: datetime, limit: int) -> Sequence[int]:
        """PENDING payments whose status is from before that moment, oldest first."""
        ...

    async def lapsed_clients(self, at: datetime, limit: int) -> Sequence[int]:
        """ACTIVE clients whose time had ended by that moment."""
        ...


class Callers(Protocol):
    """Knows who asks."""

    async def of(self, token: str) -> Caller:
        """Whoever an access token stands for; raises InvalidToken."""
        ...


class Signatures(Protocol):
    """Knows who signed a message."""

    async def provider(self, headers: Mapping[str, Any], body: bytes) -> str:
        """The name of the payment provider; raises Unsigned or Stale."""
        ...


class PasswordHasher(Protocol):
    """Argon2id."""

    async def hash(self, password: str) -> str:
        """The hash to keep; takes tens of milliseconds on purpose."""
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


class ShortLivedStore(Protocol):
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

    async def count(self, key: str, seconds: float) -> Count:
        """Count one more; the window begins with the first."""
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


class Clock(Protocol):
    """The time, in UTC."""

    def now(self) -> datetime:
        """This moment."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What the club may set for itself."""

    shared_memberships: bool = False
    """Whether several clients may hold one membership."""
    paid_days: int = 30
    """The days that a payment buys."""
    payment_patience_hours: int = 24
    """The hours after which a PENDING payment expires."""
    timezone: str = "UTC"
    """What "a day" means in reports."""
    session_days: int = 30
    """The days after which somebody has to sign in again."""
    access_token_minutes: int = 15
    """The minutes that an access token is good for."""
    attempts_per_account: int = 10
    """How often somebody may try to sign in as one user, within the window."""
    attempts_per_address: int = 60
    """How often anybody may try to sign in from one network address, within the window."""
    attempts_window_seconds: int = 300
    """The window."""


@dataclass(frozen=True, slots=True)
class Services:
    """The ports, together."""

    ledger: Ledger
    read_side: ReadSide
    passwords: PasswordHasher
    clock: Clock
    rules: Rules = field(default_factory=Rules)
