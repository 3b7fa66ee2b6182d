"""Who may do what: the one table that holds these rules.

`own` lets anybody reach what is their own; the roles named reach everybody's, and an ADMIN
reaches all. A caller whom a rule never lets through is forbidden; a thing that belongs to
somebody else is not found, as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from domain.refusals import Forbidden, NotFound
from domain.values import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks: a user with a role, or the club itself."""

    user_id: int | None
    role: Role
    actor: str
    session_id: int | None = None
    """The session that the caller's token belongs to, where it belongs to one."""

    @classmethod
    def user(cls, user_id: int, role: Role, session_id: int | None = None) -> Caller:
        """A signed-in user."""
        return cls(user_id, role, f"user-{user_id}", session_id)


ANYBODY = Caller(None, Role.OTHER, "anybody")
"""A caller who has not signed in."""

THE_CLUB = Caller(None, Role.ADMIN, "club")
"""The service itself: its timers, its policies, and whoever sits at the machine."""


class Origin(NamedTuple):
    """From where somebody asks."""

    address: str
    """The network address, or the name of a place that has none."""
    agent: str = ""
    """What the program that asks says it is."""


THIS_MACHINE = Origin("this-machine")
"""The service itself, or its command line."""


class Rule(NamedTuple):
    """The roles that reach everybody's, and whether anybody reaches their own."""

    roles: frozenset[Role]
    own: bool


def _rule(*roles: Role, own: bool = False) -> Rule:
    return Rule(frozenset({Role.ADMIN, *roles}), own)


_ADMIN = _rule()
_OWN = _rule(own=True)
_ANYBODY = _rule(*Role)
_TRAINER = _rule(Role.TRAINER, own=True)
_STAFFER = _rule(Role.STAFFER, own=True)
_CASHIER = _rule(Role.STAFFER, Role.SYSTEM, own=True)

RULES: Mapping[str, Rule] = {
    "users.list": _ADMIN,
    "users.for-report": _rule(Role.ANALYST),
    "users.read": _OWN,
    "users.change": _OWN,
    "users.delete": _OWN,
    "users.set-role": _ADMIN,
    "users.unbind-telegram": _OWN,
    "sessions.read": _ANYBODY,
    "sessions.end": _OWN,
    "memberships.list": _ADMIN,
    "memberships.read": _ADMIN,
    "memberships.keep": _ADMIN,
    "clients.list": _ADMIN,
    "clients.read": _rule(Role.TRAINER, Role.STAFFER, own=True),
    "clients.keep": _STAFFER,
    "clients.decide": _rule(Role.STAFFER),
    "exercises.read": _ANYBODY,
    "exercises.keep": _rule(Role.TRAINER),
    "exercises.delete": _ADMIN,
    "trainings.list": _ADMIN,
    "trainings.read": _TRAINER,
    "trainings.keep": _TRAINER,
    "training-plans.list": _ADMIN,
    "training-plans.read": _TRAINER,
    "training-plans.keep": _TRAINER,
    "payments.list": _ADMIN,
    "payments.read": _CASHIER,
    "payments.keep": _CASHIER,
    "payments.settle": _rule(Role.STAFFER, Role.SYSTEM),
    "providers.keep": _ADMIN,
    "reports.draw-up": _rule(Role.ANALYST, Role.SYSTEM),
    "reports.read": _rule(Role.ANALYST),
}
"""`keep` is to create, change and delete; `decide` is to set what nobody grants themselves."""


def reaches_all(caller: Caller, action: str) -> bool:
    """Whether the caller may do this to everybody's, not only to their own.

    Raises Forbidden where the caller's role may never do it at all.
    """
    rule = RULES[action]
    if caller.role in rule.roles:
        return True
    if rule.own:
        return False
    raise Forbidden


def allow(caller: Caller, action: str, *, owner: int | None, missing: NotFound) -> None:
    """Refuse with `missing` what the caller does not reach; `owner` is the user it belongs to."""
    if not reaches_all(caller, action) and (owner is None or owner != caller.user_id):
        raise missing
