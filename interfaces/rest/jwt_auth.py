"""Routes of signing in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import orjson
from fastapi import Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.exceptions import HTTPException

from application.fields import Body, Id, Moment, Password
from application.limits import Allowance
from domain.aggregate import time_text
from interfaces.rest.asking import Asking
from interfaces.rest.documented import RATE_LIMITS, ends, group, lists, proves
from interfaces.rest.door import asks, visits
from interfaces.rest.lists import ListQuery, sorting
from interfaces.rest.problems import JSON, rate_limits, says_json

routes = group("/jwt-auth", "Authentication")

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 20
"""Fields of a form; OAuth2 knows a handful."""

NOT_KEPT = {"Cache-Control": "no-store"}
"""On every answer that has a secret in it."""

Typed = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Login(Body):
    """The first step: what somebody knows."""

    username: Typed
    password: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class LoginForm(Login):
    """The form of the OAuth2 password grant; what a client adds to it is of no consequence."""

    model_config = ConfigDict(extra="ignore")

    grant_type: Literal["password"] = "password"


class FirstPassword(Body):
    """What the club gave to somebody, and what they choose."""

    username: Typed
    code: Typed
    password: Password


class FirstPasswordShown(BaseModel):
    """Who may sign in from here on."""

    username: str


class LoginShown(BaseModel):
    """The next step: the link, and the token that the code belongs to."""

    telegram_link: str | None = Field(
        description="opens a chat with the bot, which answers with the code; "
        "null where the code is shown on the machine itself"
    )
    telegram_link_expires_at: Moment
    login_token: str
    login_token_expires_at: Moment


class Verification(Body):
    """The second step: what somebody has."""

    login_token: Token
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]


class VerificationShown(BaseModel):
    """The session that is open now."""

    session_id: Id
    refresh_token: str
    refresh_token_expires_at: Moment


class Refresh(Body):
    """A refresh token, which is good once."""

    refresh_token: Token


class TokensShown(BaseModel):
    """An access token, and the next refresh token."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="seconds")
    refresh_token: str
    refresh_token_expires_at: Moment


class Logout(Body):
    """Which session to end, where it is not the one of the token."""

    session_id: Id


class SessionShown(BaseModel):
    """A session that goes on."""

    id: Id
    opened_at: Moment
    last_used_at: Moment
    ends_at: Moment
    origin: str = Field(description="the network address that used it last")
    agent: str = Field(description="what the program that opened it said it was")


class SessionsQuery(ListQuery):
    """Which sessions."""

    sort: str | None = sorting("list-sessions")


_LOGIN_BODY = {
    "required": True,
    "content": {
        JSON: {"schema": Login.model_json_schema()},
        FORM: {"schema": LoginForm.model_json_schema()},
    },
}


@routes.post("/first-password/", responses=proves(FirstPasswordShown, limited=True))
async def first_password(
    body: FirstPassword, asking: Annotated[Asking, visits("first-password")]
) -> Response:
    """Choose the first password, with the code that the front desk gave; then sign in with it."""
    await asking.service.sign_in.choose_first_password(
        body.username, body.code, body.password, asking.visit
    )
    return _secret({"username": body.username})


@routes.post(
    "/login/",
    responses=proves(LoginShown, limited=True, headers=RATE_LIMITS),
    openapi_extra={"requestBody": _LOGIN_BODY},
)
async def login(request: Request, asking: Annotated[Asking, visits("login")]) -> Response:
    """Login & get Telegram verification link; as JSON, or as the OAuth2 password form."""
    given = await _login(request)
    begun = await asking.service.sign_in.log_in(given.username, given.password, asking.visit)
    shown = {
        "telegram_link": begun.link,
        "telegram_link_expires_at": time_text(begun.link_ends_at),
        "login_token": begun.login_token,
        "login_token_expires_at": time_text(begun.login_ends_at),
    }
    return _secret(shown, begun.allowance)


async def _login(request: Request) -> Login:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return _checked(LoginForm, _fields(await request.body()))
    if not says_json(request):
        raise HTTPException(415, f"A body has the type {JSON} or {FORM}.")
    try:
        found = orjson.loads(await request.body())
    except orjson.JSONDecodeError as broken:
        what = {"error": broken.msg.replace("str is", "This is")}
        raise RequestValidationError(
            [{"type": "json_invalid", "loc": ("body", broken.pos), "msg": broken.msg, "ctx": what}]
        ) from broken
    return _checked(Login, found)


def _fields(form: bytes) -> dict[str, str]:
    try:
        # As UTF-8 throughout: another reading of a password would be another password.
        text = form.decode()
        return dict(parse_qsl(text, True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError as broken:
        raise RequestValidationError(
            [{"type": "form_invalid", "loc": ("body",), "msg": "This is not a form in UTF-8"}]
        ) from broken


def _checked(model: type[Login], found: Any) -> Login:
    try:
        return model.model_validate(found)
    except ValidationError as wrong:
        errors = wrong.errors(include_input=False, include_url=False)
        raise RequestValidationError(
            [{**error, "loc": ("body", *error["loc"])} for error in errors]
        ) from wrong


@routes.post(
    "/verification/",
    responses=proves(VerificationShown, limited=True),
)
async def verification(
    body: Verification, asking: Annotated[Asking, visits("verification")]
) -> Response:
    """Verify Telegram code & get refresh token."""
    signed_in = await asking.service.sign_in.verify(body.login_token, body.code, asking.visit)
    shown = {
        "session_id": signed_in.session_id,
        "refresh_token": signed_in.refresh_token,
        "refresh_token_expires_at": time_text(signed_in.ends_at),
    }
    return _secret(shown)


@routes.post("/get-access-token/", responses=proves(TokensShown, limited=True))
async def get_access_token(
    body: Refresh, asking: Annotated[Asking, visits("get-access-token")]
) -> Response:
    """Exchange refresh token for access token, and for the next refresh token."""
    tokens = await asking.service.sign_in.refresh(body.refresh_token, asking.visit)
    shown = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.seconds,
        "refresh_token": tokens.refresh_token,
        "refresh_token_expires_at": time_text(tokens.ends_at),
    }
    return _secret(shown)


@routes.post("/logout/", status_code=204, responses=ends())
async def logout(asking: Annotated[Asking, asks("logout")], body: Logout | None = None) -> Response:
    """End the session of the access token, or another of the caller's own."""
    session_id = None if body is None else body.session_id
    await asking.service.sign_in.log_out(asking.caller, session_id, asking.visit)
    return Response(status_code=204)


@routes.get("/sessions/", responses=lists(SessionShown))
async def list_sessions(
    asking: Annotated[Asking, asks("list-sessions")], query: Annotated[SessionsQuery, Query()]
) -> Response:
    """Retrieve the caller's own sessions that go on."""
    return await asking.page(query, user_id=asking.caller.user_id)


def _secret(shown: Mapping[str, Any], allowance: Allowance = ()) -> Response:
    headers = NOT_KEPT | rate_limits(allowance)
    return Response(orjson.dumps(shown), headers=headers, media_type=JSON)
