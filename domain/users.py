"""A person who may sign in to the club's service."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from domain.aggregate import Aggregate, CreatedEvent, Event, time_text
from domain.refusals import Conflict
from domain.values import Role


class UserDeleted(Conflict):
    """This user was deleted."""


class Registered(CreatedEvent):
    """Somebody became a user."""

    TOPIC = "user.registered"
    username: str
    email: str
    password_hash: str
    role: str

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
    username: str

    def apply(self, aggregate: User) -> None:
        """The new name holds."""
        aggregate.amend(username=self.username)


class EmailChanged(Event):
    """The user is reached at another address."""

    TOPIC = "user.email-changed"
    email: str

    def apply(self, aggregate: User) -> None:
        """The new address holds."""
        aggregate.amend(email=self.email)


class PasswordChanged(Event):
    """The user signs in with another password."""

    TOPIC = "user.password-changed"
    password_hash: str

    def apply(self, aggregate: User) -> None:
        """The new password holds."""
        aggregate.password_hash = self.password_hash


class RoleChanged(Event):
    """An ADMIN gave the user another role."""

    TOPIC = "user.role-changed"
    role: str

    def apply(self, aggregate: User) -> None:
        """The new role holds."""
        aggregate.amend(role=self.role)


class Deleted(Event):
    """The user is gone; its name and address stay taken."""

    TOPIC = "user.deleted"

    def apply(self, aggregate: User) -> None:
        """A soft delete: the row stays, with the time."""
        aggregate.deleted = True
        aggregate.amend(deleted_at=time_text(self.timestamp))


class User(Aggregate):
    """A person who may sign in, with one role."""

    TOPIC = "user"

    def __init__(self) -> None:
        super().__init__()
        self.password_hash = ""

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

    def change_role(self, role: Role, at: datetime) -> None:
        """Do something else in the club."""
        self._refuse_if_deleted()
        if role is not self.role:
            self.happen(RoleChanged, at=at, role=role.value)

    def delete(self, at: datetime) -> None:
        """Leave; what is the user's stays, its client becomes INACTIVE (a policy)."""
        self._refuse_if_deleted()
        self.happen(Deleted, at=at)

    def _refuse_if_deleted(self) -> None:
        if self.deleted:
            raise UserDeleted
