"""Every no of the club, and of HTTP itself, as an answer with its problem document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from application.bus import StillInFlight
from application.limits import Allowance, TooManyAttempts
from application.ports.signing_in import NoToken
from domain.refusals import NotFound, Refusal
from interfaces.forms.page import HEADERS, refusal_of
from interfaces.forms.page import MEDIA_TYPE as MEDIA_TYPE_OF_PAGES
from interfaces.problems import (
    MEDIA_TYPE,
    STATUS,
    TYPES,
    code_of,
    document,
    errors_of,
    kebab,
    pointer,
    said_of,
    status_of,
    title_of,
)
from interfaces.rest.public import public

JSON = "application/json"
PAGE = "page"
"""Where a request's state keeps whether a page is wanted, also where the answer is a no."""

CHALLENGE = {"WWW-Authenticate": "Bearer"}
"""On every 401, which has to say how one shows who one is (RFC 6750)."""

RETRY_AFTER = "1"
"""Seconds after which to try again what could not be taken just now."""

LATER = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
"""The statuses that say it."""

HTTP_PROBLEMS: Mapping[str, tuple[int, str]] = {
    "invalid-request": (422, "The request does not have the form that is documented."),
    "broken-json": (422, "The body is not JSON."),
    "unsupported-media-type": (415, "A body is sent as JSON, and says so in its Content-Type."),
    "bad-request": (400, "This is not HTTP, or the request does not say where it ends."),
    "request-timeout": (408, "The request was not sent in time; the connection is closed."),
    "request-header-fields-too-large": (431, "The headers are larger than any that are needed."),
    "request-entity-too-large": (413, "The body is larger than anything that is asked here."),
    "method-not-allowed": (
        405,
        "The path does not take this method; `Allow` names those it takes.",
    ),
    "not-acceptable": (406, "There is nothing here in the form that `Accept` names."),
    "invalid-message": (422, "The message does not have the form that is documented."),
    "unknown-type": (422, "There is no message of this type."),
    "fault": (500, "Something went wrong here; it has been logged."),
}
"""Every other problem, by its code: what the club never gets to see."""

TO_READERS: Mapping[int, str] = {
    401: "Ask for another link: whoever reads reports makes one with "
    "POST /reports/overview/links/, and at the machine `club reports link USERNAME` prints one. "
    "Each is good for a day, and for one reader.",
    403: "The page is for those who read the club's reports. Ask an ADMIN, who gives that role.",
    422: "Go back, and choose other days, or longer periods.",
    503: "Nothing is lost: try again in a moment.",
}
"""What to do about a no that is told on a page."""

OTHERWISE = "Go back and try again; if that does not help, tell whoever keeps the service."

CODE_OF = {
    404: NotFound.code,
    405: "method-not-allowed",
    413: "request-entity-too-large",
}
"""The code of each status that the framework answers by itself."""


class ProblemError(BaseModel):
    """One thing that is wrong with the request."""

    detail: str
    pointer: str = Field(description="where, as a JSON pointer: `#/field`")


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    media_type: ClassVar[str] = MEDIA_TYPE
    type: str = Field(description="a stable path or URL, one for each kind of problem")
    title: str
    status: int
    detail: str
    instance: str = Field(description="the path of the request")
    errors: list[ProblemError] = Field(default=[], description="what is wrong, field by field")


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem as an answer."""
    more = {"Retry-After": RETRY_AFTER} if status in LATER else {}
    if request.scope["state"].get(PAGE):
        advice = request.app.state.to_readers.get(status, OTHERWISE)
        page = refusal_of(status, title_of(code), detail, advice)
        return Response(page, status, {**more, **(headers or {}), **HEADERS}, MEDIA_TYPE_OF_PAGES)
    instance = public(request.scope, quote(request.scope["path"]))
    body = document(status, code, detail, instance, errors, public(request.scope, TYPES))
    return Response(
        orjson.dumps(body),
        status,
        headers={**more, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Answer every exception that is a no with its problem."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    for kind in STATUS:
        if not issubclass(kind, Refusal):
            app.add_exception_handler(kind, _unable)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)  # noqa: S101 - registered for refusals
    status = status_of(type(refusal))
    headers = dict(CHALLENGE) if status == HTTPStatus.UNAUTHORIZED else {}
    if isinstance(refusal, StillInFlight):
        headers = {"Retry-After": RETRY_AFTER}
    if isinstance(refusal, TooManyAttempts):
        headers = {"Retry-After": str(refusal.seconds), **rate_limits(refusal.allowance)}
    errors = errors_of(refusal)
    return problem(request, status, refusal.code, refusal.detail, errors=errors, headers=headers)


def rate_limits(allowance: Allowance) -> dict[str, str]:
    """The RateLimit and RateLimit-Policy fields; none where nothing is limited."""
    if not allowance:
        return {}
    policies = (f'"{limit.name}";q={limit.quota};w={limit.window}' for limit in allowance)
    limits = (f'"{limit.name}";r={max(0, limit.left)};t={limit.reset}' for limit in allowance)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)}


async def _invalid(request: Request, invalid: Exception) -> Response:
    assert isinstance(invalid, RequestValidationError)  # noqa: S101 - registered for it
    found = invalid.errors()
    if found[0]["type"] == "json_invalid":
        return _broken(request, f"{found[0]['ctx']['error']}, at character {found[0]['loc'][1]}")
    if found[0]["type"] == "model_attributes_type" and not says_json(request):
        return problem(request, 415, "unsupported-media-type", f"A body has the type {JSON}.")
    errors = [{"detail": said_of(e), "pointer": _pointer(e["loc"])} for e in found]
    return problem(request, 422, "invalid-request", _summary(errors), errors=errors)


def _broken(request: Request, why: str) -> Response:
    errors = [{"detail": why, "pointer": "#"}]
    return problem(request, 422, "broken-json", "The body is not JSON.", errors=errors)


def _unread(cause: BaseException | None) -> str:
    """Why a body could not be read at all."""
    match cause:
        case UnicodeDecodeError():
            return f"This is not UTF-8, at byte {cause.start}"
        case RecursionError():
            return "This is nested too deeply"
        case _:
            return "This has a number of too many digits"


def says_json(request: Request) -> bool:
    """Whether the body is sent as JSON, under any of its names."""
    given = request.headers.get("content-type", "")
    return re.match(r"\s*application/([^;]+\+)?json\s*(;|$)", given, re.IGNORECASE) is not None


def _pointer(location: tuple[int | str, ...]) -> str:
    where, *path = location
    return pointer(path if where == "body" else location)


def _summary(errors: list[dict[str, str]]) -> str:
    first, *others = errors
    more = f" (and {len(others)} more)" if others else ""
    return f"{first['pointer'][2:] or 'body'}: {first['detail']}{more}"


async def _http(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)  # noqa: S101 - registered for it
    return refused_by_http(request, raised)


def refused_by_http(request: Request, raised: HTTPException) -> Response:
    """The problem of a no that HTTP itself has a number for."""
    if raised.status_code == HTTPStatus.BAD_REQUEST:
        return _broken(request, _unread(raised.__cause__))
    code = CODE_OF.get(raised.status_code) or kebab(HTTPStatus(raised.status_code).phrase)
    headers = dict(raised.headers or {})
    if raised.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return problem(request, raised.status_code, code, raised.detail, headers=headers)


def _allowed(request: Request) -> Sequence[str]:
    """Every method of the path, where a route knows only its own.

    What is no route of ours is a document, or a page to read one in: it is only got.
    """
    allowed: Mapping[str, Sequence[str]] = request.app.state.allowed
    route = getattr(request.scope.get("route"), "path", "")
    return allowed.get(request.scope["path"]) or allowed.get(route) or ("GET", "HEAD")


async def _unable(request: Request, raised: Exception) -> Response:
    return unable(request, raised)


def unable(request: Request, raised: Exception) -> Response:
    """The problem of an exception that is its own explanation."""
    status = status_of(type(raised))
    code = code_of(type(raised))
    said = type(raised).__doc__ or code
    headers = _challenge(raised, said) if status == HTTPStatus.UNAUTHORIZED else None
    return problem(request, status, code, said, headers=headers)


def _challenge(raised: Exception, said: str) -> Mapping[str, str]:
    """With what is wrong with the token, where there is one."""
    if isinstance(raised, NoToken):
        return CHALLENGE
    error = f'Bearer error="invalid_token", error_description="{said}"'
    return {"WWW-Authenticate": error}


async def _fault(request: Request, _: Exception) -> Response:
    """A fault of ours; the log has the rest."""
    status, said = HTTP_PROBLEMS["fault"]
    known_as = {"X-Request-Id": request.scope["state"]["request_id"]}
    return problem(request, status, "fault", said, headers=known_as)
