"""A person who may sign in to the club's service."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import NamedTuple, Self

from domain import upcasts
from domain.aggregate import Aggregate, CreatedEvent, Event, text_time, time_text
from domain.privacy import OfCaller, OfUser, Plain, Secret
from domain.refusals import Conflict, Unauthenticated
from domain.values import Role


class UserDeleted(Conflict):
    """This user was deleted."""


class NoTelegram(Conflict):
    """No Telegram account is bound to this user."""


class ForeignTelegram(Conflict):
    """Another Telegram account is bound to this user."""


class HasPassword(Conflict):
    """This user has chosen a password."""


class FirstCodeVoid(Unauthenticated):
    """This code is wrong, has expired or was used. The front desk gives out another one."""


class User(Aggregate):
    """A person who may sign in, with one role."""

    TOPIC = "user"

    def __init__(self) -> None:
        super().__init__()
        self.password_hash = ""
        """None where the user has not chosen a password yet: then nobody signs in."""
        self.first_code: FirstCode | None = None
        """The code with which the user may choose one."""
        self.telegram_id: int | None = None
        self.times_unbound = 0

    @classmethod
    def register(
        cls,
        number: int,
        *,
        username: str,
        email: str,
        password_hash: str,
        role: Role,
        at: datetime,
    ) -> Self:
        """A new user; that the name and the address are free is for reservations to say."""
        return cls.begin(
            number,
            Registered,
            at=at,
            username=username,
            email=email,
            password_hash=password_hash,
            role=role.value,
        )

    @property
    def username(self) -> str:
        """The name to sign in with."""
        return str(self.facts["username"])

    @property
    def email(self) -> str:
        """The address."""
        return str(self.facts["email"])

    @property
    def role(self) -> Role:
        """What the user may do."""
        return Role(str(self.facts["role"]))

    def rename(self, username: str, at: datetime) -> None:
        """Go by another username."""
        self._refuse_if_deleted()
        if username != self.username:
            self.happen(Renamed, at=at, username=username)

    def change_email(self, email: str, at: datetime) -> None:
        """Be reached at another address."""
        self._refuse_if_deleted()
        if email != self.email:
            self.happen(EmailChanged, at=at, email=email)

    def change_password(self, password_hash: str, at: datetime) -> None:
        """Sign in with another password."""
        self._refuse_if_deleted()
        self.happen(PasswordChanged, at=at, password_hash=password_hash)

    def issue_first_code(self, seal: str, until: datetime, at: datetime) -> None:
        """Let whoever has the code of this seal choose the first password; no code before it."""
        self._refuse_if_deleted()
        if self.password_hash:
            raise HasPassword
        self.happen(FirstCodeIssued, at=at, seal=seal, expires_at=time_text(until))

    def is_first_code(self, seal: str, at: datetime) -> bool:
        """Whether a password may be chosen with the code of this seal."""
        code = self.first_code
        return (
            code is not None
            and not self.deleted
            and hmac.compare_digest(code.seal.encode(), seal.encode())
            and at < text_time(code.expires_at)
        )

    def choose_first_password(self, seal: str, password_hash: str, at: datetime) -> None:
        """Sign in with a password from here on; the code is good once."""
        if not self.is_first_code(seal, at):
            raise FirstCodeVoid
        self.happen(PasswordChanged, at=at, password_hash=password_hash)

    def rehash_password(self, password_hash: str, at: datetime) -> None:
        """Go on signing in with the password of before, of which this is another hash."""
        self._refuse_if_deleted()
        self.happen(PasswordRehashed, at=at, password_hash=password_hash)

    def change_role(self, role: Role, origin: str, at: datetime) -> None:
        """Do something else in the club; `origin` is where the ADMIN sits."""
        self._refuse_if_deleted()
        if role is not self.role:
            self.happen(RoleChanged, at=at, role=role.value, origin=origin)

    def sign_in(self, session_id: int, telegram_id: int | None, origin: str, at: datetime) -> None:
        """Sign in with a code that went to this Telegram account; the first one is bound.

        None stands for a code that was shown on the machine itself.
        """
        self._refuse_if_deleted()
        if telegram_id is not None and self.telegram_id is None:
            self.happen(TelegramBound, at=at, telegram_id=telegram_id, origin=origin)
        elif telegram_id is not None and telegram_id != self.telegram_id:
            raise ForeignTelegram
        self.happen(SignedIn, at=at, session_id=session_id, origin=origin)

    def unbind_telegram(self, origin: str, at: datetime) -> None:
        """Let the next sign-in bind a Telegram account anew."""
        self._refuse_if_deleted()
        if self.telegram_id is None:
            raise NoTelegram
        self.happen(TelegramUnbound, at=at, origin=origin)

    def delete(self, at: datetime) -> None:
        """Leave; what is the user's stays, its client becomes INACTIVE (a policy)."""
        self._refuse_if_deleted()
        self.happen(Deleted, at=at)

    def _refuse_if_deleted(self) -> None:
        if self.deleted:
            raise UserDeleted


class FirstCode(NamedTuple):
    """A code with which a first password may be chosen, as far as the log knows it."""

    seal: str
    expires_at: str


class Registered(CreatedEvent):
    """Somebody became a user."""

    TOPIC = "user.registered"
    username: OfUser[str]
    email: OfUser[str]
    password_hash: Secret[str]
    role: Plain[str]

    def apply(self, aggregate: User) -> None:
        """All documented columns have a value from here on."""
        aggregate.password_hash = self.password_hash
        aggregate.facts = {
            "username": self.username,
            "email": self.email,
            "role": self.role,
            "created_at": time_text(self.timestamp),
            "last_login": None,
            "deleted_at": None,
        }


class Renamed(Event):
    """The user goes by another username."""

    TOPIC = "user.renamed"
    username: OfUser[str]

    def apply(self, aggregate: User) -> None:
        """The new name holds."""
        aggregate.amend(username=self.username)


class EmailChanged(Event):
    """The user is reached at another address."""

    TOPIC = "user.email-changed"
    email: OfUser[str]

    def apply(self, aggregate: User) -> None:
        """The new address holds."""
        aggregate.amend(email=self.email)


class PasswordChanged(Event):
    """The user signs in with another password, or with the first one."""

    TOPIC = "user.password-changed"
    password_hash: Secret[str]

    def apply(self, aggregate: User) -> None:
        """The new password holds, and no code is needed any more."""
        aggregate.password_hash = self.password_hash
        aggregate.first_code = None


class FirstCodeIssued(Event):
    """The user was given a code with which to choose the first password.

    The log has a seal of it, which only the club can compare.
    """

    TOPIC = "user.first-code-issued"
    seal: Secret[str]
    expires_at: Plain[str]

    def apply(self, aggregate: User) -> None:
        """This one holds, and none before it."""
        aggregate.first_code = FirstCode(self.seal, self.expires_at)


class PasswordRehashed(Event):
    """The password is the same, and was hashed anew, in the form of today."""

    TOPIC = "user.password-rehashed"
    password_hash: Secret[str]

    def apply(self, aggregate: User) -> None:
        """The new hash holds."""
        aggregate.password_hash = self.password_hash


class RoleChanged(Event):
    """An ADMIN gave the user another role; since version 2 it says from where."""

    TOPIC = "user.role-changed"
    class_version = 2
    upcast_v1_v2 = staticmethod(upcasts.origin_unknown)
    role: Plain[str]
    origin: OfCaller[str]

    def apply(self, aggregate: User) -> None:
        """The new role holds; whoever has seen a code does not come into it by that."""
        aggregate.amend(role=self.role)
        aggregate.first_code = None


class SignedIn(Event):
    """The user proved who they are, with the password and a code."""

    TOPIC = "user.signed-in"
    session_id: Plain[int]
    origin: OfCaller[str]

    def apply(self, aggregate: User) -> None:
        """This is the last time so far."""
        aggregate.amend(last_login=time_text(self.timestamp))


class TelegramBound(Event):
    """Codes go to this Telegram account, and to no other."""

    TOPIC = "user.telegram-bound"
    telegram_id: OfUser[int]
    origin: OfCaller[str]

    def apply(self, aggregate: User) -> None:
        """It holds until it is unbound."""
        aggregate.telegram_id = self.telegram_id


class TelegramUnbound(Event):
    """The next sign-in may be with any Telegram account, and binds it."""

    TOPIC = "user.telegram-unbound"
    origin: OfCaller[str]

    def apply(self, aggregate: User) -> None:
        """None holds."""
        aggregate.telegram_id = None
        aggregate.times_unbound += 1


class Deleted(Event):
    """The user is gone; its name and address stay taken."""

    TOPIC = "user.deleted"

    def apply(self, aggregate: User) -> None:
        """A soft delete: the row stays, with the time."""
        aggregate.deleted = True
        aggregate.amend(deleted_at=time_text(self.timestamp))
