"""What the OpenAPI document says beyond the code: answers, headers and failures of each route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute

from application.access import level_of
from application.catalogue import COMMANDS
from interfaces.forms import page
from interfaces.problems import MEDIA_TYPE
from interfaces.rest import examples
from interfaces.rest.door import Asks, Route, Visits, door_of
from interfaces.rest.problems import Problem

Responses = dict[int | str, dict[str, Any]]

_ETAG = {"description": "the version, quoted", "schema": {"type": "string"}}
_DIGEST = {"description": "another one where the page is another", "schema": {"type": "string"}}
_POSITION = {"description": "where in the ledger the change is", "schema": {"type": "integer"}}
_LINK = {"description": "the next page (RFC 8288)", "schema": {"type": "string"}}
_TOTAL = {"description": "all rows, where asked for", "schema": {"type": "integer"}}
_FILE = {"description": "of CSV: the name of a file", "schema": {"type": "string"}}
_COOKIE = {"description": "for this page alone", "schema": {"type": "string"}}
_NO_STORE = {"description": "`no-store`", "schema": {"type": "string"}}
_CHALLENGE = {"description": "how one shows who one is", "schema": {"type": "string"}}
_RETRY = {"description": "seconds", "schema": {"type": "integer"}}
_IN_FLIGHT = {
    "description": "seconds, where a request with the same key is being worked on",
    "schema": {"type": "integer"},
}
_KNOWN_AS = {"description": "the one that was sent, or one of ours", "schema": {"type": "string"}}
_LOCATION = {"description": "the path of the new thing", "schema": {"type": "string"}}

RATE_LIMITS = {
    "RateLimit-Policy": {
        "description": '`"account";q=10;w=300`: so many attempts in so many seconds',
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": '`"account";r=9;t=300`: so many are left, for so many seconds',
        "schema": {"type": "string"},
    },
}

_FAILURES = {
    401: "without a valid access token",
    403: "not for the caller's role",
    404: "not there, or somebody else's",
    406: "not in the form that `Accept` names",
    408: "the body did not come in time",
    409: "what holds now does not allow it",
    412: "it has changed since the version named",
    413: "the body is too large",
    415: "the body is not sent as JSON",
    422: "the request does not make sense",
    429: "too many of the caller's requests at once",
    503: "cannot be taken just now",
    504: "it is not known whether this happened",
}
_HEADERS = {
    401: {"WWW-Authenticate": _CHALLENGE},
    409: {"Retry-After": _IN_FLIGHT},
    429: {"Retry-After": _RETRY},
    503: {"Retry-After": _RETRY},
}


def group(prefix: str, tag: str) -> APIRouter:
    """A group of routes under one path, and one heading of the document."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=Route,
        generate_unique_id_function=_operation_id,
    )


def _operation_id(route: APIRoute) -> str:
    """`read_client`: the name of the route's function."""
    return route.name


def fails(*statuses: int) -> Responses:
    """The problems of these statuses."""
    failures: Responses = {
        status: {
            "description": _FAILURES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
    for status in _HEADERS.keys() & failures.keys():
        failures[status]["headers"] = _HEADERS[status]
    return failures


def _reading_fails() -> Responses:
    failures = fails(401, 403, 404, 422, 429, 503)
    failures[503]["description"] += ", or not as far as `Ledger-Position` demands"
    return failures


def shows(model: type[BaseModel]) -> Responses:
    """A GET of one row."""
    ok = {"model": model, "headers": {"ETag": _ETAG}}
    unchanged = {"description": "the caller has this version", "headers": {"ETag": _ETAG}}
    found: Responses = {200: ok, 304: unchanged}
    return found | _reading_fails()


def lists(model: type[BaseModel]) -> Responses:
    """A GET of a list."""
    headers = {"ETag": _DIGEST, "Link": _LINK, "X-Total-Count": _TOTAL}
    ok = {"model": list[model], "headers": headers}  # type: ignore[valid-type]
    unchanged = {"description": "the caller has this page", "headers": headers}
    found: Responses = {200: ok, 304: unchanged}
    return found | _reading_fails()


def figures(model: type[BaseModel]) -> Responses:
    """A GET of figures, in the form that is asked for."""
    headers = {"ETag": _DIGEST, "Content-Disposition": _FILE}
    text = {"schema": {"type": "string"}}
    forms = {"text/csv": text, "image/svg+xml": text}
    unchanged = {"description": "the caller has these", "headers": headers}
    found: Responses = {200: {"model": model, "content": forms, "headers": headers}, 304: unchanged}
    failures = _reading_fails() | fails(406)
    del failures[404]
    return found | failures


def opens_page(model: type[BaseModel]) -> Responses:
    """A GET of figures that may also be a page, which a link opens."""
    headers = {"ETag": _DIGEST, "Cache-Control": _NO_STORE}
    text = {page.MEDIA_TYPE: {"schema": {"type": "string"}}}
    cookie = {"Location": _LOCATION, "Set-Cookie": _COOKIE}
    found: Responses = {
        200: {"model": model, "content": text, "headers": headers},
        303: {"description": "the page without the link, which is in a cookie", "headers": cookie},
        304: {"description": "the caller has these", "headers": {"ETag": _DIGEST}},
    }
    failures = _reading_fails() | fails(406)
    del failures[404]
    failures[401]["description"] = "without a valid access token, or a link that is good"
    for failure in failures.values():
        failure["content"] |= text
    return found | failures


def creates(model: type[BaseModel], *, limited: bool = False, secret: bool = False) -> Responses:
    """A POST, which may be tried only so often where it is `limited`.

    Where its answer has something `secret` in it, nobody on the way may keep that.
    """
    headers = {"ETag": _ETAG, "Ledger-Position": _POSITION, "Location": _LOCATION}
    if secret:
        headers["Cache-Control"] = _NO_STORE
    failures = fails(401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504)
    return {201: {"model": model, "headers": headers}} | (
        _limited(failures) if limited else failures
    )


def changes(model: type[BaseModel]) -> Responses:
    """A PUT or a PATCH."""
    headers = {"ETag": _ETAG, "Ledger-Position": _POSITION}
    return {200: {"model": model, "headers": headers}} | fails(
        401, 403, 404, 408, 409, 412, 413, 415, 422, 429, 503, 504
    )


def deletes() -> Responses:
    """A DELETE."""
    gone: Responses = {204: {"description": "gone", "headers": {"Ledger-Position": _POSITION}}}
    return gone | fails(401, 403, 404, 408, 409, 412, 413, 422, 429, 503, 504)


def ends() -> Responses:
    """A POST after which something is over."""
    over: Responses = {204: {"description": "over"}}
    return over | fails(401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504)


def proves(
    model: type[BaseModel], *, limited: bool = False, headers: Mapping[str, Any] | None = None
) -> Responses:
    """A step of signing in, which may be tried only so often where it is `limited`."""
    failures = fails(401, 408, 413, 415, 422, 503, 504)
    failures[401]["description"] = "what is shown is wrong, was used or has ended"
    kept = {"Cache-Control": _NO_STORE, **(headers or {})}
    return {200: {"model": model, "headers": kept}} | (_limited(failures) if limited else failures)


def _limited(failures: Responses) -> Responses:
    """With what is answered to too many attempts."""
    tried = {
        **fails(429)[429],
        "description": "too many attempts",
        "headers": {"Retry-After": _RETRY, **RATE_LIMITS},
    }
    return failures | {429: tried}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema,
    }


SIGNING_IN = "Authentication"
"""The heading of routes that take no idempotency keys: each secret is good once by itself."""

_BEARER: dict[str, list[str]] = {"bearer": []}
_REQUEST_ID = _header(
    "X-Request-Id", "what this request is known as in the logs, and its events", {"type": "string"}
)
_IF_NONE_MATCH = _header("If-None-Match", "304 where the caller has this", {"type": "string"})


def complete(
    document: dict[str, Any], routes: Sequence[BaseRoute], *, commands: bool = True
) -> dict[str, Any]:
    """Add who may ask for what each route is for, and what is the same for all of a kind.

    `commands` is whether what is not only read is a command, which happens once under a key.
    """
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    schemas = components["schemas"]
    schemas.update(schemas["Problem"].pop("$defs", {}))
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    for path in document["paths"].values():
        for method, operation in path.items():
            parameters = operation.setdefault("parameters", [])
            if commands and SIGNING_IN not in operation.get("tags", ()):
                parameters += _headers(method)
            if "304" in operation["responses"]:
                parameters.append(_IF_NONE_MATCH)
            parameters.append(_REQUEST_ID)
            for answer in operation["responses"].values():
                answer["headers"] = {**answer.get("headers", {}), "X-Request-Id": _KNOWN_AS}
    for route in routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                operation = document["paths"][route.path][method.lower()]
                _say_who_may(operation, door_of(route.dependant))
    examples.show(document)
    return document


def _say_who_may(operation: dict[str, Any], door: Asks | Visits | None) -> None:
    """Who may ask for this; what has no door is for anybody."""
    permission = None if door is None else door.permission
    level = level_of(permission)
    operation["description"] += f"\n\n**{level.name}**: {level.who}."
    if permission is not None:
        operation["security"] = [_BEARER]
    elif door is not None and door.name in COMMANDS:
        # A token may come with it all the same, and says who does it.
        operation["security"] = [_BEARER, {}]
    else:
        operation["security"] = []


def _headers(method: str) -> list[dict[str, Any]]:
    if method == "post":
        key = {"type": "string", "pattern": "^[ -~]{1,255}$"}
        return [_header("Idempotency-Key", "happens once under this key", key)]
    if method in {"put", "patch", "delete"}:
        return [_header("If-Match", "only at this version", {"type": "string"})]
    return []
