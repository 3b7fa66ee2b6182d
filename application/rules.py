"""Commands about the rules of the club."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, Strict, StringConstraints

from application.access import Permission
from application.command import Command
from application.fields import Body, Flag, TimeOfDay
from application.work import Result, Work, result_of
from domain.clients import Client
from domain.rules import THE_ONE, ClubRules


class RulesBody(Body):
    """What the club has set for itself."""

    paid_days: Annotated[int, Strict(), Field(ge=1, le=3660)] = Field(
        description="days that a payment buys"
    )
    payment_patience_hours: Annotated[int, Strict(), Field(ge=1, le=8784)] = Field(
        description="hours until a PENDING payment expires"
    )
    shared_memberships: Flag = Field(description="several clients may hold one membership")
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description='what "a day" is in reports: `Europe/Berlin`'
    )
    daily_report_at: TimeOfDay = Field(description="when the daily report is made: `08:00`")


class RulesChanges(RulesBody, partial=True):
    """Some of the rules."""


@dataclass(frozen=True, slots=True)
class AdoptRules(Command):
    """Give a new club its first rules."""

    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeRules(Command):
    """Set some of the rules anew."""

    facts: dict[str, Any]


async def adopt_rules(command: AdoptRules, work: Work) -> Result:
    """For the club itself; who has rules already keeps them."""
    work.must_reach_all(Permission.RULES_CHANGE)
    known = await work.find(ClubRules, THE_ONE)
    if known is None:
        known = work.add(ClubRules.adopt(command.facts, work.at))
    return result_of(known)


async def change_rules(command: ChangeRules, work: Work) -> Result:
    """Each is decided on what holds; what was decided before stays."""
    work.must_reach_all(Permission.RULES_CHANGE)
    rules = await work.find(ClubRules, THE_ONE)
    if rules is None:
        rules = work.add(ClubRules.adopt(asdict(work.services.first_rules), work.at))
    work.must_match(rules)
    parts = rules.changed(command.facts).get("shared_memberships") is False
    shared = await _shared_memberships(work) if parts else []
    rules.change(command.facts, shared, work.at)
    return result_of(rules)


async def _shared_memberships(work: Work) -> list[int]:
    """Those that have several holders now, whatever the tables show."""
    numbers = await work.shared_memberships()
    seen = await work.services.read_side.referring("clients on membership", numbers)
    await work.look(*(Client.stream(n) for number in numbers for n in seen[number].numbers))
    shared = []
    for number in numbers:
        clients = [await work.find(Client, n) for n in seen[number].numbers]
        if sum(client is not None and client.membership_id == number for client in clients) > 1:
            shared.append(number)
    return shared
