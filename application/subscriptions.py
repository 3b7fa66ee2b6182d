"""Commands about subscriptions to reports: who wants them sent, and what became of it.

What is sent when is `application.sending`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field

from application.access import RULES, Permission
from application.command import Command
from application.fields import Body, Flag
from application.work import Result, Work
from domain.refusals import Conflict
from domain.reports import Report
from domain.subscriptions import TRIED_FOR, State, Subscription
from domain.users import User

TOO_LATE = "It was too late to send it: nobody did so in the hours after the report."
UNWRITTEN = "It could not be written: {reason}"
NO_BOT = "The club has no Telegram bot."
NO_CHAT = "No Telegram account is bound to this user: signing in with a code binds one."


class NobodySubscribes(Conflict):
    """A subscription is a user's own, and no user has asked."""


class SubscriptionBody(Body):
    """What somebody wants sent."""

    daily: Flag = Field(description="the figures of the morning, after each daily report")


@dataclass(frozen=True, slots=True)
class Subscribe(Command):
    """Have the figures of the morning sent, or no longer."""

    facts: dict[str, bool]


@dataclass(frozen=True, slots=True)
class BeginDelivery(Command):
    """Say that the figures of a daily report are about to be sent to a user."""

    user_id: int
    report_id: int
    has_bot: bool


@dataclass(frozen=True, slots=True)
class EndDelivery(Command):
    """Say what became of it."""

    user_id: int
    day: str
    state: State
    reason: str = ""
    pause: float = 0


@dataclass(frozen=True, slots=True)
class LoseDelivery(Command):
    """Say of a delivery that was begun that nobody knows what became of it."""

    user_id: int


async def subscribe(command: Subscribe, work: Work) -> Result:
    """For whoever asks, and nobody else."""
    work.must_reach_all(Permission.REPORTS_READ)
    user_id, daily = work.caller.user_id, command.facts["daily"]
    if user_id is None:
        raise NobodySubscribes
    subscription = await work.find(Subscription, user_id)
    work.must_be_at(0 if subscription is None else subscription.version)
    if subscription is None and daily:
        subscription = work.add(Subscription.take_out(user_id, work.at))
    elif subscription is not None and daily:
        subscription.resume(work.at)
    elif subscription is not None:
        subscription.end(work.at)
    user = await work.find(User, user_id)
    bound = user is not None and user.telegram_id is not None
    answer = {"daily": daily, "undeliverable": NO_CHAT if daily and not bound else None}
    return Result(answer, 0 if subscription is None else subscription.version)


async def begin_delivery(command: BeginDelivery, work: Work) -> Result:
    """Answers in which chat; without one it is undeliverable, and why is kept, once.

    For who is gone or may not read reports any more, the subscription ends instead: who may
    again asks for it again.
    """
    work.must_reach_all(Permission.REPORTS_DRAW_UP)
    subscription = await work.get(Subscription, command.user_id)
    user = await work.find(User, command.user_id)
    report = await work.get(Report, command.report_id)
    if user is None or user.role not in RULES[Permission.REPORTS_READ].roles:
        subscription.end(work.at)
        return Result(None)
    day = str(report.facts["report_date_end"])
    late = work.at > report.created_on + TRIED_FOR
    no_chat = NO_CHAT if user.telegram_id is None else None
    no_way = no_chat if command.has_bot else NO_BOT
    if no_way and not late and subscription.is_known(day, State.UNDELIVERABLE, no_way):
        return Result(None)
    subscription.begin_delivery(day, report.created_on, work.at)
    if late:
        subscription.failed(day, TOO_LATE, work.at)
        return Result(None)
    if no_way:
        subscription.failed(day, no_way, work.at, state=State.UNDELIVERABLE)
        return Result(None)
    return Result({"chat_id": user.telegram_id})


async def end_delivery(command: EndDelivery, work: Work) -> Result:
    """For whoever began it."""
    work.must_reach_all(Permission.REPORTS_DRAW_UP)
    subscription = await work.get(Subscription, command.user_id)
    match command.state:
        case State.DELIVERED:
            subscription.delivered(command.day, work.at)
        case State.UNKNOWN:
            subscription.uncertain(command.day, command.reason, work.at)
        case _:
            pause = timedelta(seconds=command.pause)
            subscription.failed(command.day, command.reason, work.at, pause=pause)
    return Result(None)


async def lose_delivery(command: LoseDelivery, work: Work) -> Result:
    """Only where nobody can be at it any more."""
    work.must_reach_all(Permission.REPORTS_DRAW_UP)
    (await work.get(Subscription, command.user_id)).lose(work.at)
    return Result(None)
