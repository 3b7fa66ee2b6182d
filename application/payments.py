"""Commands about payments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ConfigDict, Field

from application.absent import unknown
from application.access import Permission
from application.clients import owner_of
from application.command import Command
from application.fields import Body, Id, Line200, Moment
from application.work import Result, Work, result_of
from domain.aggregate import text_time
from domain.clients import Client
from domain.memberships import Membership
from domain.money import AT_THE_CLUB, Source
from domain.payments import Payment
from domain.refusals import Conflict, Forbidden, Invalid
from domain.values import PaymentStatus

LATEST_CLOCK = timedelta(minutes=5)
"""How far another machine's clock may run ahead of ours."""


class NotYet(Invalid):
    """A payment cannot have taken a step in the future."""


class OtherMembership(Conflict):
    """A payment is for the membership that its client holds."""


class PaymentBody(Body):
    """A payment's documented columns."""

    client_id: Id
    membership_id: Id
    payment_status: PaymentStatus | None = Field(
        default=None,
        description="PENDING at the start; a complete update that does not name it leaves it",
    )
    timestamp: Moment | None = Field(
        default=None, description="when the payment reached its status; now, unless it is told"
    )


@dataclass(frozen=True, slots=True)
class RequestPayment(Command):
    """Ask a client to pay for a membership."""

    body: PaymentBody


@dataclass(frozen=True, slots=True)
class ChangePayment(Command):
    """A complete update: who pays for what, and how far it has come."""

    payment_id: int
    body: PaymentBody


class PaymentReport(Body):
    """The news of a payment: the step that it took; what else a provider says is left alone."""

    model_config = ConfigDict(extra="ignore")

    payment_id: Id
    payment_status: PaymentStatus
    reference: Line200 | None = Field(
        default=None,
        description="the provider's own for this money; another one is another collection",
    )


@dataclass(frozen=True, slots=True)
class ReportPayment(Command):
    """Take up the news of a payment, as a provider tells it; `occurred_at` is when it happened."""

    body: PaymentReport
    occurred_at: str


@dataclass(frozen=True, slots=True)
class DeletePayment(Command):
    """Throw away a payment in which no money has moved."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class ExpirePayment(Command):
    """Make a payment that nobody settled in time EXPIRED."""

    payment_id: int


async def request_payment(command: RequestPayment, work: Work) -> Result:
    """PENDING; whoever may settle can record at once how far it has come."""
    body = command.body
    client = await work.refer(Client, body.client_id, "client_id")
    if not work.reaches_all(Permission.PAYMENTS_KEEP) and client.user_id != work.caller.user_id:
        raise unknown(Client, body.client_id, "client_id")
    membership = await _membership_of(client, body.membership_id, work)
    occurred_at = _occurred_at(body.timestamp, work)
    payment = work.add(
        Payment.request(
            await work.new_number(Payment),
            client.number,
            membership.number,
            occurred_at,
            work.at,
            amount=membership.price,
        )
    )
    _step(payment, body.payment_status, occurred_at, work)
    return result_of(payment)


async def _membership_of(client: Client, membership_id: int, work: Work) -> Membership:
    """The membership, which has to be the one that the client holds."""
    membership = await work.refer(Membership, membership_id, "membership_id")
    if membership_id != client.membership_id:
        raise OtherMembership(field="membership_id")
    return membership


async def change_payment(command: ChangePayment, work: Work) -> Result:
    """Its owner may only call it off; the rest is for those who settle."""
    body = command.body
    payment = await _payment_in_reach(command.payment_id, work)
    work.must_match(payment)
    facts: dict[str, Any] = {"client_id": body.client_id, "membership_id": body.membership_id}
    told = body.timestamp
    if told == payment.facts["timestamp"] and not work.reaches_all(Permission.PAYMENTS_SETTLE):
        told = None  # An owner may send back what it read.
    again = _is_collected_again(payment, body.payment_status, told, work)
    if told is not None and not again and body.payment_status in {None, payment.status}:
        facts["timestamp"] = told
    changes = payment.changed(facts)
    if changes and not work.reaches_all(Permission.PAYMENTS_SETTLE):
        raise Forbidden(field=next(iter(changes)))
    if changes.keys() & {"client_id", "membership_id"}:
        client = await work.refer(Client, body.client_id, "client_id")
        membership = await _membership_of(client, body.membership_id, work)
        if "membership_id" in changes:
            changes["amount"] = membership.price
    occurred_at = _occurred_at(told, work)
    payment.change_details(changes, work.at)
    if again:
        payment.step(PaymentStatus.PAID, occurred_at, work.at, AT_THE_CLUB)
    else:
        _step(payment, body.payment_status, occurred_at, work)
    return result_of(payment)


def _is_collected_again(
    payment: Payment, status: PaymentStatus | None, told: str | None, work: Work
) -> bool:
    """Whether somebody settles by hand what a provider has collected, and does not repeat it."""
    paid = status is PaymentStatus.PAID is payment.status
    return (
        paid
        and work.reaches_all(Permission.PAYMENTS_SETTLE)
        and not AT_THE_CLUB.is_of(payment.collected_by)
        and told != payment.facts["timestamp"]
    )


async def report_payment(command: ReportPayment, work: Work) -> Result:
    """For those who settle, in whatever order the news come."""
    work.must_reach_all(Permission.PAYMENTS_SETTLE)
    payment = await work.refer(Payment, command.body.payment_id, "payment_id")
    occurred_at = _occurred_at(command.occurred_at, work)
    source = Source(work.caller.actor, command.body.reference)
    payment.report(command.body.payment_status, occurred_at, work.at, source)
    return result_of(payment)


async def delete_payment(command: DeletePayment, work: Work) -> Result:
    """Accounts stay."""
    payment = await _payment_in_reach(command.payment_id, work)
    work.must_match(payment)
    payment.delete(work.at)
    return Result(None)


async def expire_payment(command: ExpirePayment, work: Work) -> Result:
    """Refused while there is time left to settle it."""
    payment = await work.get(Payment, command.payment_id)
    patience = (await work.rules()).payment_patience_hours
    payment.expire(timedelta(hours=patience), work.at)
    return Result(None)


def _step(
    payment: Payment, status: PaymentStatus | None, occurred_at: datetime, work: Work
) -> None:
    if status is None or status is payment.status:
        return
    if status is not PaymentStatus.CANCELLED and not work.reaches_all(Permission.PAYMENTS_SETTLE):
        raise Forbidden(field="payment_status")
    payment.step(status, occurred_at, work.at, AT_THE_CLUB)


def _occurred_at(told: str | None, work: Work) -> datetime:
    """When the step was taken: only those who settle may say so."""
    if told is None:
        return work.at
    if not work.reaches_all(Permission.PAYMENTS_SETTLE):
        raise Forbidden(field="timestamp")
    occurred_at = text_time(told)
    if occurred_at > work.at + LATEST_CLOCK:
        raise NotYet(field="timestamp")
    return occurred_at


async def _payment_in_reach(payment_id: int, work: Work) -> Payment:
    payment = await work.get(Payment, payment_id)
    owner = (
        None
        if work.reaches_all(Permission.PAYMENTS_KEEP)
        else await owner_of(payment.client_id, work)
    )
    work.allow(Permission.PAYMENTS_KEEP, payment, owner=owner)
    return payment
