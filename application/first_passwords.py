"""The first password of somebody whom the club made a user: chosen by themselves, with a code.

The code is told once. The log has a seal of it that only this club can make, so neither the log nor
a receipt gives it away.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from application.absent import missing
from application.access import Permission
from application.clients import client_of
from application.command import Command
from application.fields import Body
from application.ports.services import Seal
from application.work import Result, Work
from domain.refusals import Forbidden
from domain.reservations import Reservation
from domain.users import FirstCodeVoid, User
from domain.values import Role

GOOD_FOR = timedelta(days=7)
"""How long a code is good."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: what is written by hand is read as it was meant."""

GROUPS, GROUP = 4, 4
"""`K7QD-3M9P-XT4W-0ZRA`: 80 bits, so that nobody comes upon one."""

MEANT = str.maketrans("OIL", "011", "- ")
"""What people take for another sign, or leave out."""

CHOSEN_AT = "/jwt-auth/first-password/"
"""Where REST takes the code and the password."""


class FirstCodeBody(Body):
    """Nothing needs to be said."""


@dataclass(frozen=True, slots=True)
class IssueFirstCode(Command):
    """Give a user who has never chosen a password another code to choose one with."""

    user_id: int
    body: FirstCodeBody


@dataclass(frozen=True, slots=True)
class ChooseFirstPassword(Command):
    """Choose the first password, with the code of this seal."""

    user_id: int
    seal: str = field(repr=False)
    password_hash: str = field(repr=False)


async def issue_first_code(command: IssueFirstCode, work: Work) -> Result:
    """The codes before it are void. Only an ADMIN gives one to who is no client or not USER.

    Otherwise the front desk could become whoever was promoted before the first sign-in.
    """
    work.must_reach_all(Permission.USERS_FIRST_CODE)
    user = await work.get(User, command.user_id)
    if not work.reaches_all(Permission.USERS_SET_ROLE):
        client = await work.find(Reservation, client_of(user.number))
        if client is None or client.holder is None:
            raise missing(User, user.number)
        if user.role is not Role.USER:
            raise Forbidden
    code = issue(user, work)
    return Result(told(user, None), user.version, once=told(user, code))


async def choose_first_password(command: ChooseFirstPassword, work: Work) -> Result:
    """Whoever has the code is believed to be the user."""
    user = await work.find(User, command.user_id)
    if user is None:
        raise FirstCodeVoid
    user.choose_first_password(command.seal, command.password_hash, work.at)
    return Result(None)


def issue(user: User, work: Work) -> str:
    """A new code for the user."""
    signs = [secrets.choice(ALPHABET) for _ in range(GROUPS * GROUP)]
    code = "-".join("".join(signs[n : n + GROUP]) for n in range(0, len(signs), GROUP))
    seal = seal_of(code, user.number, work.services.seal)
    user.issue_first_code(seal, work.at + GOOD_FOR, work.at)
    return code


def seal_of(code: str, user_id: int, seal: Seal) -> str:
    """What the log has of a code of this user, however it was typed."""
    meant = code.upper().translate(MEANT)
    return seal(f"first code of user {user_id}: {meant}".encode()).hex()


def told(user: User, code: str | None) -> dict[str, Any]:
    """What the person needs to know; a code is told once."""
    return {
        "user_id": user.number,
        "username": user.username,
        "code": code,
        "expires_at": None if user.first_code is None else user.first_code.expires_at,
        "path": CHOSEN_AT,
    }
