"""The ports that commands are handled with, together."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from application.ports.ledger import Ledger
from application.ports.read_side import ReadSide
from application.ports.signing_in import PageTokens, PasswordHasher


class Clock(Protocol):
    """The time, in UTC."""

    def now(self) -> datetime:
        """This moment."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What the club has set for itself: `domain.rules`, as a decision uses it."""

    shared_memberships: bool = False
    """Whether several clients may hold one membership."""
    paid_days: int = 30
    """The days that a payment buys."""
    payment_patience_hours: int = 24
    """The hours after which a PENDING payment expires."""
    timezone: str = "UTC"
    """What "a day" means in reports."""
    daily_report_at: str = "08:00"
    """When the daily report is made."""


class Zone(NamedTuple):
    """The time zone of the club's days."""

    name: str
    since: str | None
    """From when on it is the club's; None where the club has set none yet."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how often somebody may sign in, and be signed in."""

    session_days: int = 30
    """The days after which somebody has to sign in again."""
    access_token_minutes: int = 15
    """The minutes that an access token is good for."""
    attempts_per_account: int = 10
    """How often somebody may try to sign in as one user, within the window."""
    attempts_per_address: int = 60
    """How often anybody may try to sign in from one network address, within the window."""
    registrations_per_address: int = 60
    """How often anybody may try to register from one network address, within the window."""
    attempts_window_seconds: int = 300
    """The window."""


Seal = Callable[[bytes], bytes]
"""A digest that only this club can make, so that nobody can try what short secrets it is of."""


def passing_seal() -> Seal:
    """A seal that is gone with this process."""
    key = secrets.token_bytes(32)
    return lambda text: hmac.digest(key, text, "sha256")


@dataclass(frozen=True, slots=True)
class Services:
    """The ports, together."""

    ledger: Ledger
    read_side: ReadSide
    passwords: PasswordHasher
    clock: Clock
    page_tokens: PageTokens
    first_rules: Rules = field(default_factory=Rules)
    """What holds as long as the ledger has no rules of the club."""
    bounds: Bounds = field(default_factory=Bounds)
    seal: Seal = field(default_factory=passing_seal)
