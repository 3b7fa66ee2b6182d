"""Every no, as an RFC 9457 problem document: the one place that knows HTTP's numbers for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from application.ports import InvalidToken, LedgerUnavailable, OutcomeUnknown, Overloaded
from domain.refusals import (
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Refusal,
)
from projections.lists import UnreadableCursor

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"
"""Seconds after which to try again what could not be taken just now."""

STATUS: Mapping[type[Exception], int] = {
    NotFound: 404,
    Conflict: 409,
    Forbidden: 403,
    PreconditionFailed: 412,
    Invalid: 422,
    Busy: 503,
    InvalidToken: 401,
    OutcomeUnknown: 503,
    LedgerUnavailable: 503,
    Overloaded: 503,
    UnreadableCursor: 422,
}
"""The status of each kind of no; the first that fits counts."""


class ProblemError(BaseModel):
    """One thing that is wrong with the request."""

    detail: str
    pointer: str = Field(description="where, as a JSON pointer: `#/field`")


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    media_type: ClassVar[str] = MEDIA_TYPE
    type: str = Field(description="a stable path, one for each kind of problem")
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
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": request.url.path,
    }
    if errors:
        body["errors"] = errors
    more = {"Retry-After": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
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
    for kind in (InvalidToken, LedgerUnavailable, Overloaded, UnreadableCursor):
        app.add_exception_handler(kind, _unable)


def status_of(kind: type[Exception]) -> int:
    """The status of a kind of no."""
    return next(status for base, status in STATUS.items() if issubclass(kind, base))


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)  # noqa: S101 - registered for refusals
    pointer = f"#/{refusal.field}"
    errors = [{"detail": refusal.detail, "pointer": pointer}] if refusal.field else None
    status = status_of(type(refusal))
    return problem(request, status, refusal.code, refusal.detail, errors=errors)


async def _invalid(request: Request, invalid: Exception) -> Response:
    assert isinstance(invalid, RequestValidationError)  # noqa: S101 - registered for it
    errors = [{"detail": e["msg"], "pointer": _pointer(e["loc"])} for e in invalid.errors()]
    if any(e["type"] == "json_invalid" for e in invalid.errors()):
        return problem(request, 422, "broken-json", "The body is not JSON.", errors=errors)
    return problem(request, 422, "invalid-request", _summary(errors), errors=errors)


def _pointer(location: tuple[int | str, ...]) -> str:
    where, *path = location
    parts = path if where == "body" else location
    return "#/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _summary(errors: list[dict[str, str]]) -> str:
    first, *others = errors
    more = f" (and {len(others)} more)" if others else ""
    return f"{first['pointer'].removeprefix('#/')}: {first['detail']}{more}"


async def _http(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)  # noqa: S101 - registered for it
    code = _kebab(HTTPStatus(raised.status_code).phrase)
    return problem(request, raised.status_code, code, raised.detail, headers=raised.headers)


async def _unable(request: Request, raised: Exception) -> Response:
    status = status_of(type(raised))
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    code = _kebab(type(raised).__name__)
    return problem(request, status, code, type(raised).__doc__ or code, headers=headers)


async def _fault(request: Request, _: Exception) -> Response:
    """A fault of ours; the log has the rest."""
    return problem(request, 500, "fault", "Something went wrong here; it has been logged.")


def _kebab(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower())
