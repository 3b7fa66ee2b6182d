"""Commands about users."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import Field

from application.access import Permission
from application.command import Command
from application.fields import Body, Email, Password, Username
from application.sessions import must_be_signed_in
from application.work import Result, Work, result_of
from domain.refusals import Conflict, Forbidden
from domain.reservations import EmailTaken, UsernameTaken, Value
from domain.users import User
from domain.values import Role


class LastAdmin(Conflict):
    """This is the last ADMIN: without one, nobody could keep the club."""


class UserBody(Body):
    """A user's documented columns, with a password in place of its hash."""

    username: Username
    email: Email
    role: Role = Field(default=Role.USER, description="only an ADMIN sets or changes it")


class NewUser(UserBody):
    """Who registers."""

    password: Password


class UserReplacement(UserBody):
    """A complete update; role and password stay as they are where they are not named."""

    password: Password = Field(default="", description="left as it is where it is not named")


class UserChanges(NewUser, partial=True):
    """Some columns of a user."""


@dataclass(frozen=True, slots=True)
class RegisterUser(Command):
    """Become a user; anybody may, with the role USER."""

    body: NewUser


@dataclass(frozen=True, slots=True)
class ChangeUser(Command):
    """Change a user; fields that are not named stay as they are."""

    user_id: int
    body: Body


@dataclass(frozen=True, slots=True)
class RehashPassword(Command):
    """Keep another hash of the password that a user has just shown."""

    user_id: int
    before: str = field(repr=False)
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeleteUser(Command):
    """Delete a user softly."""

    user_id: int


async def register_user(command: RegisterUser, work: Work) -> Result:
    """Anybody may register; that the name and the address are free is looked up at once.

    Only then is the password hashed, which takes a while.
    """
    body = command.body
    if body.role is not Role.USER and not work.reaches_all(Permission.USERS_SET_ROLE):
        raise Forbidden(field="role")
    user = await enrol(body.username, body.email, work, password=body.password, role=body.role)
    return result_of(user)


async def enrol(
    username: str,
    email: str,
    work: Work,
    *,
    number: int | None = None,
    password: str | None = None,
    role: Role = Role.USER,
) -> User:
    """A new user; without a password, they choose one with a code."""
    name, address = username_of(username), email_of(email)
    await work.must_be_free(name, UsernameTaken)
    await work.must_be_free(address, EmailTaken)
    user = User.register(
        number or await work.new_number(User),
        username=username,
        email=email,
        password_hash="" if password is None else await work.hash(password),
        role=role,
        at=work.at,
    )
    work.add(user)
    await work.claim(name, user, UsernameTaken)
    await work.claim(address, user, EmailTaken)
    return user


async def change_user(command: ChangeUser, work: Work) -> Result:
    """A new name or address is reserved before the old one is given back."""
    user = await work.get(User, command.user_id)
    work.allow(Permission.USERS_CHANGE, user, owner=command.user_id)
    work.must_match(user)
    named = command.body.named()
    if (
        "role" in named
        and named["role"] != user.role
        and not work.reaches_all(Permission.USERS_SET_ROLE)
    ):
        raise Forbidden(field="role")
    await _move_username(user, named.get("username", user.username), work)
    await _move_email(user, named.get("email", user.email), work)
    if "password" in named:
        await must_be_signed_in(work)
        user.change_password(await work.hash(named["password"]), work.at)
    if "role" in named:
        role = Role(named["role"])
        if role is not Role.ADMIN:
            await _refuse_last_admin(user, work, "role")
        user.change_role(role, work.origin.address, work.at)
    return result_of(user)


async def rehash_password(command: RehashPassword, work: Work) -> Result:
    """Nothing to do where the password was changed since it was shown."""
    user = await work.find(User, command.user_id)
    if user is not None and user.password_hash == command.before:
        user.rehash_password(command.password_hash, work.at)
    return Result(None)


async def _refuse_last_admin(user: User, work: Work, field: str | None = None) -> None:
    """The decision rests on another ADMIN who is one still, so of two at once one stays."""
    if user.role is not Role.ADMIN:
        return
    for number in await work.services.read_side.admins():
        other = await work.find(User, number)
        if other is not None and other is not user and other.role is Role.ADMIN:
            return
    raise LastAdmin(field=field)


async def _move_username(user: User, username: str, work: Work) -> None:
    old, new = username_of(user.username), username_of(username)
    if old != new:
        await work.exchange(old, new, user, UsernameTaken)
    user.rename(username, work.at)


async def _move_email(user: User, email: str, work: Work) -> None:
    old, new = email_of(user.email), email_of(email)
    if old != new:
        await work.exchange(old, new, user, EmailTaken)
    user.change_email(email, work.at)


async def delete_user(command: DeleteUser, work: Work) -> Result:
    """The name and the address stay taken; the user's client becomes INACTIVE (a policy)."""
    user = await work.get(User, command.user_id)
    work.allow(Permission.USERS_DELETE, user, owner=command.user_id)
    await must_be_signed_in(work)
    work.must_match(user)
    await _refuse_last_admin(user, work)
    user.delete(work.at)
    return Result(None)


def username_of(username: str) -> Value:
    """A username, which one user has, for good."""
    return Value("username", username)


def email_of(email: str) -> Value:
    """An address, which one user has, for good."""
    return Value("email", email)
