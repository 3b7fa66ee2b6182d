"""Routes of users."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.fields import Day, Id, Moment, SentBack
from application.first_passwords import FirstCodeBody
from application.users import NewUser, UserBody, UserChanges, UserReplacement
from domain.days import end_of, start_of
from domain.values import Role
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.jwt_auth import SessionShown
from interfaces.rest.lists import (
    ListQuery,
    PageQuery,
    PathNumber,
    Truth,
    not_before,
    sorting,
    words,
)
from interfaces.rest.training_plans import PlansOfUserQuery, TrainingPlanShown

routes = group("/users", "Users")


class UserShown(UserBody):
    """A user; its password's hash never leaves the service."""

    id: int
    created_at: Moment
    last_login: Moment | None
    deleted_at: Moment | None


class MyselfShown(UserShown):
    """A user, and which client that is."""

    client_id: int | None = Field(description="null for a user who is no client")


class UserSentBack(UserReplacement):
    """A complete update of a user, as a GET answered it."""

    id: SentBack[Id] = None
    created_at: SentBack[Moment] = None
    last_login: SentBack[Moment] = None
    deleted_at: SentBack[Moment] = None


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
    deleted: Truth = Field(default=False, description="those who were deleted, instead of others")
    sort: str | None = sorting("list-users")


class SessionsOfUserQuery(ListQuery):
    """Which sessions of a user."""

    sort: str | None = sorting("list-sessions-of-user")


class ForReportQuery(PageQuery):
    """The days on which they registered, both included."""

    from_date: Day | None = None
    to_date: Annotated[Day | None, not_before("from_date")] = None


@routes.get("/", responses=lists(UserShown))
async def list_users(
    asking: Annotated[Asking, asks("list-users")], query: Annotated[UsersQuery, Query()]
) -> Response:
    """Retrieve the list of users; a STAFFER is shown those who are clients."""
    return await asking.page(query)


@routes.get("/for-report/", responses=lists(UserShown))
async def list_users_for_report(
    asking: Annotated[Asking, asks("list-users-for-report")],
    query: Annotated[ForReportQuery, Query()],
) -> Response:
    """Retrieve the users who registered on some days, for a report."""
    zone = (await asking.service.bus.rules()).timezone
    days: dict[str, Any] = {}
    if query.from_date is not None:
        days["from_date"] = start_of(query.from_date, zone)
    if query.to_date is not None:
        days["to_date"] = end_of(query.to_date, zone)
    return await asking.page(query, **days)


@routes.get("/me/", responses=shows(MyselfShown))
async def read_me(asking: Annotated[Asking, asks("read-me")]) -> Response:
    """Retrieve whoever asks, with the client that they are: where a member starts."""
    return await asking.one(asking.caller.user_id or 0)


@routes.get("/{user_id}/", responses=shows(UserShown))
async def read_user(user_id: PathNumber, asking: Annotated[Asking, asks("read-user")]) -> Response:
    """Retrieve the user by ID."""
    return await asking.one(user_id)


@routes.get("/{user_id}/sessions/", tags=["Authentication"], responses=lists(SessionShown))
async def list_sessions_of_user(
    user_id: PathNumber,
    asking: Annotated[Asking, asks("list-sessions-of-user")],
    query: Annotated[SessionsOfUserQuery, Query()],
) -> Response:
    """Retrieve the sessions of the user that go on."""
    return await asking.page(query, user_id)


@routes.get(
    "/{user_id}/training-plans/", tags=["Training plans"], responses=lists(TrainingPlanShown)
)
async def list_plans_of_user(
    user_id: PathNumber,
    asking: Annotated[Asking, asks("list-plans-of-user")],
    query: Annotated[PlansOfUserQuery, Query()],
) -> Response:
    """Retrieve the training plans of the user."""
    return await asking.page(query, user_id)


@routes.post("/", status_code=201, responses=creates(UserShown, limited=True))
async def register_user(
    body: NewUser, asking: Annotated[Asking, asks("register-user")]
) -> Response:
    """Create the user: anybody may, with the role USER."""
    return await asking.create(body, location="/users/{id}/")


@routes.put("/{user_id}/", responses=changes(UserShown))
async def replace_user(
    user_id: PathNumber, body: UserSentBack, asking: Annotated[Asking, asks("replace-user")]
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
    "/{user_id}/first-password-codes/",
    status_code=201,
    responses=creates(FirstSignInShown, secret=True),
)
async def issue_first_code(
    user_id: PathNumber,
    asking: Annotated[Asking, asks("issue-first-code")],
    body: FirstCodeBody | None = None,
) -> Response:
    """Give a user who has never chosen a password another code to choose one with."""
    return await asking.create(body or FirstCodeBody(), user_id, location="/users/{user_id}/")


@routes.delete("/{user_id}/telegram/", status_code=204, responses=deletes())
async def unbind_telegram(
    user_id: PathNumber, asking: Annotated[Asking, asks("unbind-telegram")]
) -> Response:
    """Let the next sign-in bind a Telegram account anew; all sessions of the user end."""
    return await asking.delete(user_id)
