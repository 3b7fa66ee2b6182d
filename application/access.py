"""Who may do what: the one table that holds these rules.

`own` lets anybody reach what is their own; the roles named reach everybody's, and an ADMIN
reaches all. A caller whom a rule never lets through is forbidden; a thing that belongs to
somebody else is not found, as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
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


class Permission(StrEnum):
    """What somebody may be let do: `keep` is to create, change and delete.

    `decide` and `settle` are to set what nobody grants themselves.
    """

    USERS_LIST = "users.list"
    USERS_OF_CLIENTS = "users.of-clients"
    USERS_FOR_REPORT = "users.for-report"
    USERS_READ = "users.read"
    USERS_CHANGE = "users.change"
    USERS_DELETE = "users.delete"
    USERS_SET_ROLE = "users.set-role"
    USERS_UNBIND_TELEGRAM = "users.unbind-telegram"
    USERS_FIRST_CODE = "users.first-code"
    SESSIONS_READ = "sessions.read"
    SESSIONS_OF_USERS = "sessions.of-users"
    SESSIONS_END = "sessions.end"
    MEMBERSHIPS_LIST = "memberships.list"
    MEMBERSHIPS_READ = "memberships.read"
    MEMBERSHIPS_KEEP = "memberships.keep"
    CLIENTS_LIST = "clients.list"
    CLIENTS_SEARCH = "clients.search"
    CLIENTS_READ = "clients.read"
    CLIENTS_KEEP = "clients.keep"
    CLIENTS_DECIDE = "clients.decide"
    CLIENTS_GRANT = "clients.grant"
    CLIENTS_WALK_IN = "clients.walk-in"
    EXERCISES_READ = "exercises.read"
    EXERCISES_KEEP = "exercises.keep"
    EXERCISES_DELETE = "exercises.delete"
    TRAININGS_LIST = "trainings.list"
    TRAININGS_READ = "trainings.read"
    TRAININGS_KEEP = "trainings.keep"
    TRAINING_PLANS_LIST = "training-plans.list"
    TRAINING_PLANS_READ = "training-plans.read"
    TRAINING_PLANS_KEEP = "training-plans.keep"
    PAYMENTS_LIST = "payments.list"
    PAYMENTS_READ = "payments.read"
    PAYMENTS_KEEP = "payments.keep"
    PAYMENTS_SETTLE = "payments.settle"
    PAYMENTS_SECOND_COLLECTIONS = "payments.second-collections"
    PROVIDERS_KEEP = "providers.keep"
    REPORTS_DRAW_UP = "reports.draw-up"
    REPORTS_READ = "reports.read"
    PAGE_LINKS_REVOKE = "page-links.revoke"
    RULES_READ = "rules.read"
    RULES_CHANGE = "rules.change"
    HISTORY_READ = "history.read"
    HISTORY_OF_OWN = "history.of-own"
    HEALTH_DETAILS = "health.details"


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

RULES: Mapping[Permission, Rule] = {
    Permission.USERS_LIST: _rule(Role.STAFFER),
    Permission.USERS_OF_CLIENTS: _rule(Role.STAFFER, own=True),
    Permission.USERS_FOR_REPORT: _rule(Role.ANALYST),
    Permission.USERS_READ: _OWN,
    Permission.USERS_CHANGE: _OWN,
    Permission.USERS_DELETE: _OWN,
    Permission.USERS_SET_ROLE: _ADMIN,
    Permission.USERS_UNBIND_TELEGRAM: _OWN,
    Permission.USERS_FIRST_CODE: _rule(Role.STAFFER),
    Permission.SESSIONS_READ: _ANYBODY,
    Permission.SESSIONS_OF_USERS: _OWN,
    Permission.SESSIONS_END: _OWN,
    Permission.MEMBERSHIPS_LIST: _rule(Role.STAFFER),
    Permission.MEMBERSHIPS_READ: _rule(Role.STAFFER),
    Permission.MEMBERSHIPS_KEEP: _ADMIN,
    Permission.CLIENTS_LIST: _rule(Role.STAFFER),
    Permission.CLIENTS_SEARCH: _rule(Role.TRAINER, Role.STAFFER),
    Permission.CLIENTS_READ: _rule(Role.TRAINER, Role.STAFFER, own=True),
    Permission.CLIENTS_KEEP: _STAFFER,
    Permission.CLIENTS_DECIDE: _rule(Role.STAFFER),
    Permission.CLIENTS_GRANT: _rule(Role.STAFFER),
    Permission.CLIENTS_WALK_IN: _rule(Role.STAFFER),
    Permission.EXERCISES_READ: _ANYBODY,
    Permission.EXERCISES_KEEP: _rule(Role.TRAINER),
    Permission.EXERCISES_DELETE: _ADMIN,
    Permission.TRAININGS_LIST: _ADMIN,
    Permission.TRAININGS_READ: _TRAINER,
    Permission.TRAININGS_KEEP: _TRAINER,
    Permission.TRAINING_PLANS_LIST: _ADMIN,
    Permission.TRAINING_PLANS_READ: _TRAINER,
    Permission.TRAINING_PLANS_KEEP: _TRAINER,
    Permission.PAYMENTS_LIST: _rule(Role.STAFFER, Role.SYSTEM),
    Permission.PAYMENTS_READ: _CASHIER,
    Permission.PAYMENTS_KEEP: _CASHIER,
    Permission.PAYMENTS_SETTLE: _rule(Role.STAFFER, Role.SYSTEM),
    Permission.PAYMENTS_SECOND_COLLECTIONS: _rule(Role.STAFFER),
    Permission.PROVIDERS_KEEP: _ADMIN,
    Permission.REPORTS_DRAW_UP: _rule(Role.ANALYST, Role.SYSTEM),
    Permission.REPORTS_READ: _rule(Role.ANALYST),
    Permission.PAGE_LINKS_REVOKE: _OWN,
    Permission.RULES_READ: _ADMIN,
    Permission.RULES_CHANGE: _ADMIN,
    Permission.HISTORY_READ: _ADMIN,
    Permission.HISTORY_OF_OWN: _OWN,
    Permission.HEALTH_DETAILS: _ADMIN,
}


def reaches_all(caller: Caller, permission: Permission) -> bool:
    """Whether the caller may do this to everybody's, not only to their own.

    Raises Forbidden where the caller's role may never do it at all.
    """
    rule = RULES[permission]
    if caller.role in rule.roles:
        return True
    if rule.own:
        return False
    raise Forbidden


def still_reaches(caller: Caller, names: Iterable[str]) -> bool:
    """Whether the caller's role lets it do to everybody's what these permissions name."""
    roles: dict[str, frozenset[Role]] = {p.value: rule.roles for p, rule in RULES.items()}
    return all(caller.role in roles.get(name, ()) for name in names)


def allow(caller: Caller, permission: Permission, *, owner: int | None, missing: NotFound) -> None:
    """Refuse with `missing` what the caller does not reach; `owner` is the user it belongs to."""
    if not reaches_all(caller, permission) and (owner is None or owner != caller.user_id):
        raise missing


class Level(NamedTuple):
    """An access level, and who that is, as the documented table of routes has them."""

    name: str
    who: str


def level_of(permission: Permission | None) -> Level:
    """Who may do this, in words; None is what anybody may."""
    if permission is None:
        return Level("Unauthenticated", "anybody")
    rule = RULES[permission]
    if rule.roles == set(Role):
        return Level("Authenticated", "whoever is signed in")
    others = [role.value for role in Role if role in rule.roles - {Role.ADMIN}]
    if not others and not rule.own:
        return Level("Restricted", Role.ADMIN.value)
    return Level("Authenticated", ", ".join([*(["own"] if rule.own else []), *others]))
