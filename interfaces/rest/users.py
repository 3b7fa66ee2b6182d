"""Routes of users."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.fields import Day, Id, Moment
from application.first_passwords import FirstCodeBody
from application.users import NewUser, UserBody, UserChanges, UserReplacement
from domain.days import end_of, start_of
from domain.values import Role
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import ListQuery, PageQuery, PathNumber, sorting, words

routes = group("/users", "Users")


class UserShown(UserBody):
    """A user; its password's hash never leaves the service."""

    id: int
    created_at: Moment
    last_login: Moment | None
    deleted_at: Moment | None


class FirstSignInShown(BaseModel):
    """What somebody needs to choose their first password."""

    user_id: Id
    username: str
    code: str | None = Field(
        description="good once; shown once: null where a request is repeated under its key"
    )
    expires_at: Moment
    path: str = Field(description="where the code and the password go, as a POST")


class UsersQuery(ListQuery):
    """Which users."""

    username: str | None = words(50)
    email: str | None = words(100)
    role: Role | None = None
    sort: str | None = sorting("list-users")


class ForReportQuery(PageQuery):
    """The days on which they registered, both included."""

    from_date: Day | None = None
    to_date: Day | None = None


@routes.get("/", responses=lists(UserShown))
async def list_users(
    asking: Annotated[Asking, asks("list-users")], query: Annotated[UsersQuery, Query()]
) -> Response:
    """Retrieve the list of users."""
    return await asking.page(query)


@routes.get("/for-report/", responses=lists(UserShown))
async def list_users_for_report(
    asking: Annotated[Asking, asks("list-users-for-report")],
    query: Annotated[ForReportQuery, Query()],
) -> Response:
    """Retrieve the users who registered on some days, for a report."""
    zone = (await asking.service.bus.rules()).timezone
    days = {}
    if query.from_date is not None:
        days["from_date"] = start_of(query.from_date, zone)
    if query.to_date is not None:
        days["to_date"] = end_of(query.to_date, zone)
    return await asking.page(query, **days)


@routes.get("/{user_id}/", responses=shows(UserShown))
async def read_user(user_id: PathNumber, asking: Annotated[Asking, asks("read-user")]) -> Response:
    """Retrieve the user by ID."""
    return await asking.one(user_id)


@routes.post("/", status_code=201, responses=creates(UserShown, limited=True))
async def register_user(
    body: NewUser, asking: Annotated[Asking, asks("register-user")]
) -> Response:
    """Create the user: anybody may, with the role USER."""
    return await asking.create(body, location="/users/{id}/")


@routes.put("/{user_id}/", responses=changes(UserShown))
async def replace_user(
    user_id: PathNumber, body: UserReplacement, asking: Annotated[Asking, asks("replace-user")]
) -> Response:
    """Complete update of the user record."""
    return await asking.change(body, user_id)


@routes.patch("/{user_id}/", responses=changes(UserShown))
async def change_user(
    user_id: PathNumber, body: UserChanges, asking: Annotated[Asking, asks("change-user")]
) -> Response:
    """Partial update of the user record."""
    return await asking.change(body, user_id)


@routes.delete("/{user_id}/", status_code=204, responses=deletes())
async def delete_user(
    user_id: PathNumber, asking: Annotated[Asking, asks("delete-user")]
) -> Response:
    """Delete the user, softly."""
    return await asking.delete(user_id)


@routes.post(
    "/{user_id}/first-password-codes/", status_code=201, responses=creates(FirstSignInShown)
)
async def issue_first_code(
    user_id: PathNumber,
    body: FirstCodeBody,
    asking: Annotated[Asking, asks("issue-first-code")],
) -> Response:
    """Give a user who has never chosen a password another code to choose one with."""
    return await asking.create(body, user_id, location="/users/{user_id}/")


@routes.delete("/{user_id}/telegram/", status_code=204, responses=deletes())
async def unbind_telegram(
    user_id: PathNumber, asking: Annotated[Asking, asks("unbind-telegram")]
) -> Response:
    """Let the next sign-in bind a Telegram account anew; all sessions of the user end."""
    return await asking.delete(user_id)
