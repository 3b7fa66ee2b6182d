"""Routes of users."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Query, Response

from application.access import Permission
from application.fields import Day, Moment
from application.ports.queries import View
from application.sessions import UnbindTelegram
from application.users import (
    ChangeUser,
    DeleteUser,
    NewUser,
    RegisterUser,
    UserBody,
    UserChanges,
    UserReplacement,
)
from domain.users import User
from domain.values import Role
from interfaces.rest.asking import Asking, anybody, may
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.lists import ListQuery, PageQuery, PathNumber, sorting, words
from projections.users import LISTING

routes = group("/users", "Users")


class UserShown(UserBody):
    """A user; its password's hash never leaves the service."""

    id: int
    created_at: Moment
    last_login: Moment | None
    deleted_at: Moment | None


class UsersQuery(ListQuery):
    """Which users."""

    username: str | None = words(50)
    email: str | None = words(100)
    role: Role | None = None
    sort: str | None = sorting(LISTING)


class ForReportQuery(PageQuery):
    """The days on which they registered, both included."""

    from_date: Day | None = None
    to_date: Day | None = None


@routes.get("/", responses=lists(UserShown))
async def list_users(
    asking: Annotated[Asking, may(Permission.USERS_LIST)], query: Annotated[UsersQuery, Query()]
) -> Response:
    """Retrieve the list of users."""
    return await asking.page(View.USERS, query)


@routes.get("/for-report/", responses=lists(UserShown))
async def list_users_for_report(
    asking: Annotated[Asking, may(Permission.USERS_FOR_REPORT)],
    query: Annotated[ForReportQuery, Query()],
) -> Response:
    """Retrieve the users who registered on some days, for a report."""
    zone = ZoneInfo(asking.service.timezone)
    filters = {}
    if query.from_date is not None:
        filters["from_date"] = _start_of(date.fromisoformat(query.from_date), zone)
    if query.to_date is not None:
        day_after = date.fromisoformat(query.to_date) + timedelta(days=1)
        filters["to_date"] = _start_of(day_after, zone)
    return await asking.page(View.USERS_FOR_REPORT, query, filters)


def _start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


@routes.get("/{user_id}/", responses=shows(UserShown))
async def read_user(
    user_id: PathNumber, asking: Annotated[Asking, may(Permission.USERS_READ)]
) -> Response:
    """Retrieve the user by ID."""
    return await asking.one(User, View.USERS, user_id)


@routes.post("/", status_code=201, responses=creates(UserShown))
async def register_user(body: NewUser, asking: Annotated[Asking, anybody()]) -> Response:
    """Create the user: anybody may, with the role USER."""
    return await asking.create(RegisterUser(body), "/users/{id}/")


@routes.put("/{user_id}/", responses=changes(UserShown))
async def replace_user(
    user_id: PathNumber,
    body: UserReplacement,
    asking: Annotated[Asking, may(Permission.USERS_CHANGE)],
) -> Response:
    """Complete update of the user record."""
    return await asking.change(ChangeUser(user_id, body))


@routes.patch("/{user_id}/", responses=changes(UserShown))
async def change_user(
    user_id: PathNumber, body: UserChanges, asking: Annotated[Asking, may(Permission.USERS_CHANGE)]
) -> Response:
    """Partial update of the user record."""
    return await asking.change(ChangeUser(user_id, body))


@routes.delete("/{user_id}/", status_code=204, responses=deletes())
async def delete_user(
    user_id: PathNumber, asking: Annotated[Asking, may(Permission.USERS_DELETE)]
) -> Response:
    """Delete the user, softly."""
    return await asking.delete(DeleteUser(user_id))


@routes.delete("/{user_id}/telegram/", status_code=204, responses=deletes())
async def unbind_telegram(
    user_id: PathNumber, asking: Annotated[Asking, may(Permission.USERS_UNBIND_TELEGRAM)]
) -> Response:
    """Let the next sign-in bind a Telegram account anew; all sessions of the user end."""
    return await asking.delete(UnbindTelegram(user_id))
