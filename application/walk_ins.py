"""Taking in somebody who walks up to the front desk: user, client, membership and first payment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pydantic import Field

from application import first_passwords
from application.access import Permission
from application.clients import ClientBody, PersonBody, client_of, take_in
from application.command import Command
from application.fields import Email, Flag, Id, Username
from application.memberships import issued_like
from application.payments import PaymentBody, RequestPayment, request_payment
from application.users import enrol, username_of
from application.work import Result, Work
from domain.reservations import EmailTaken, Reservation, UsernameTaken
from domain.usernames import proposals
from domain.users import User
from domain.values import PaymentStatus


class HasRegistered(EmailTaken):
    """User {number} has this email address, and is no client yet: POST /clients/ makes them one."""


class IsClient(EmailTaken):
    """User {number} has this email address, and is a client: GET /clients/?user_id={number}."""


class WalkInBody(PersonBody):
    """Who walks in, what they buy, and whether they have paid."""

    email: Email
    username: Username | None = Field(
        default=None, description="one is made of the name, unless it is told"
    )
    membership_id: Id = Field(
        description="what is sold: where clients share memberships this very one, else a new one "
        "at the same terms"
    )
    paid: Flag = Field(
        default=False, description="whether the first payment was settled at the desk"
    )


@dataclass(frozen=True, slots=True)
class RegisterWalkIn(Command):
    """Make somebody who walks in a user and a client, on a membership, with a first payment."""

    body: WalkInBody


async def register_walk_in(command: RegisterWalkIn, work: Work) -> Result:
    """All of it, or nothing. Until the payment is settled the client is let in provisionally.

    Nobody but the person chooses the password, with a code that is told once.
    """
    work.must_reach_all(Permission.CLIENTS_WALK_IN)
    body = command.body
    number = await work.new_number(User)
    username = body.username or await _proposed(body, number, work)
    try:
        user = await enrol(username, body.email, work, number=number)
    except EmailTaken as taken:
        await _refuse_known(str(taken.case["holder"]), work)
        raise
    code = first_passwords.issue(user, work)
    membership = await issued_like(body.membership_id, work)
    person = body.model_dump(include=set(PersonBody.model_fields))
    facts = ClientBody(**person, user_id=user.number, membership_id=membership.number)
    client = await take_in(facts, work, provisionally=True)
    status = PaymentStatus.PAID if body.paid else PaymentStatus.PENDING
    asked = PaymentBody(
        client_id=client.number, membership_id=membership.number, payment_status=status
    )
    payment = await request_payment(RequestPayment(asked), work)
    shown = {
        "user": user.row(),
        "client": client.row(),
        "membership": membership.row(),
        "payment": payment.body,
    }
    return Result(
        {**shown, "first_sign_in": first_passwords.told(user, None)},
        once={"first_sign_in": first_passwords.told(user, code)},
    )


async def _refuse_known(holder: str, work: Work) -> None:
    """The desk, which has just been told the address, cannot find who is no client by it."""
    number = int(holder.rpartition("-")[2])
    if await work.find(User, number) is None:
        return
    client = await work.find(Reservation, client_of(number))
    is_client = client is not None and client.holder is not None
    raise (IsClient if is_client else HasRegistered)(number=number)


async def _proposed(body: WalkInBody, number: int, work: Work) -> str:
    """The first username made of the name that is free; the decision rests on that."""
    for name in proposals(body.first_name, body.last_name, body.email, number):
        with suppress(UsernameTaken):
            await work.must_be_free(username_of(name), UsernameTaken)
            return name
    raise UsernameTaken(field="username")
