"""Who is let in, to ask what: each route names what it asks for in the catalogue.

A route's signature says it: `asking: Annotated[Asking, asks("register-client")]`. The door is the
first thing that a request comes to: nothing of its path, its query or its body is read before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_origin

from fastapi import Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from application.access import ANYBODY, Permission, reaches_all
from application.catalogue import COMMANDS, ROWS, permission_for
from application.page_links import PARAMETER
from application.ports.signing_in import InvalidToken, NoLink, NoToken
from interfaces.rest.asking import Asking, Service
from interfaces.rest.lists import AsOf
from interfaces.rest.meanings import wants_page
from interfaces.rest.places import PLACE
from interfaces.rest.problems import PAGE

COOKIE = "club-page"
"""What keeps the token of a link, so that it is in no address."""

ASKING = "asking"
"""Where a request's state keeps what is asked, once its caller was let in."""


@dataclass(frozen=True, slots=True)
class Asks:
    """Lets in whoever may ask for this, of everybody's or at least of their own; 401 or 403 else.

    Where anybody may read, a token makes no difference. Where anybody may do it, it says who does:
    there it must be valid, or somebody who was signed in once would be taken for a stranger.
    """

    name: str
    permission: Permission | None

    async def __call__(self, request: Request) -> Asking:
        """The request, of a caller who was let in."""
        return _asking(request)

    async def open(self, request: Request) -> Asking:
        """Let the caller in; raises InvalidToken or Forbidden."""
        service: Service = request.app.state.service
        caller = ANYBODY
        signed = self.name in COMMANDS and "authorization" in request.headers
        if self.permission is not None or signed:
            token = bearer(request)
            # Counted before they are looked up, which may take a moment.
            _count(request, service.tokens.bearer(token))
            caller = await service.callers.of(token)
        else:
            _count(request, None)
        everybody = self.permission is None or reaches_all(caller, self.permission)
        return Asking(request, service, self.name, caller, everybody=everybody)


@dataclass(frozen=True, slots=True)
class Opens(Asks):
    """Lets in also whoever has a link to this page: in the query, or in a cookie from then on."""

    page: str = ""

    async def open(self, request: Request) -> Asking:
        """Let the reader in; a browser is told on a page where that is not to be."""
        request.scope["state"][PAGE] = wants_page(request)
        if "authorization" in request.headers:
            return await Asks.open(self, request)
        _count(request, None)
        token = request.query_params.get(PARAMETER) or request.cookies.get(COOKIE)
        if token is None:
            raise NoLink
        service: Service = request.app.state.service
        caller = await service.callers.reader(token, self.page)
        if self.permission is not None:
            reaches_all(caller, self.permission)
        return Asking(request, service, self.name, caller, everybody=True)


@dataclass(frozen=True, slots=True)
class AsksForRow(Asks):
    """The same, where it is one thing that is asked for: it may be asked for as it was."""

    async def __call__(self, request: Request, as_of: AsOf = None) -> Asking:
        """The request, of a caller who was let in, and the moment that it is about."""
        asking = _asking(request)
        asking.as_of = as_of
        return asking


@dataclass(frozen=True, slots=True)
class Visits:
    """Lets everybody in, whatever they hold: they are about to show who they are."""

    name: str
    permission: Permission | None = None

    async def __call__(self, request: Request) -> Asking:
        """The request, of somebody who is not known yet."""
        return _asking(request)

    async def open(self, request: Request) -> Asking:
        """Let them in."""
        _count(request, None)
        return Asking(request, request.app.state.service, self.name, ANYBODY, everybody=False)


class Route(APIRoute):
    """A route behind its door: 405, 401, 403, and only then what is wrong with the request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers, once the caller is let in and the query is one that is documented."""
        answer = super().get_route_handler()
        door = door_of(self.dependant)
        known = dict(_names_in_query(self.dependant))

        async def handle(request: Request) -> Response:
            if self.param_convertors:
                _refuse_method_of_another(request)
            if door is not None:
                request.scope["state"][ASKING] = await door.open(request)
            if request.scope["query_string"]:
                _refuse_query(request, known)
            return await answer(request)

        return handle


def asks(name: str) -> Any:
    """Let in whoever may ask for this."""
    kind = AsksForRow if name in ROWS else Asks
    return Depends(kind(name, permission_for(name)))


def opens(name: str, page: str) -> Any:
    """Let in whoever may ask for this, or has a link to this page."""
    return Depends(Opens(name, permission_for(name), page))


def visits(name: str) -> Any:
    """Let everybody in for this step of signing in."""
    if permission_for(name) is not None:
        raise ValueError(f"not everybody may {name}")
    return Depends(Visits(name))


def asked_by(dependant: Dependant) -> str | None:
    """What a route asks for, from what it depends on; None for what is in no catalogue."""
    door = door_of(dependant)
    return None if door is None else door.name


def door_of(dependant: Dependant) -> Asks | Visits | None:
    """The door of a route; none, where it is open."""
    return next(_doors(dependant), None)


def _doors(dependant: Dependant) -> Iterator[Asks | Visits]:
    for needed in dependant.dependencies:
        if isinstance(needed.call, Asks | Visits):
            yield needed.call
        yield from _doors(needed)


def _asking(request: Request) -> Asking:
    asking: Asking = request.scope["state"][ASKING]
    return asking


def _count(request: Request, user_id: int | None) -> None:
    """Count the request among its caller's."""
    address = "unknown" if request.client is None else request.client.host
    request.scope["state"][PLACE].belongs_to(user_id, address)


def _refuse_method_of_another(request: Request) -> None:
    """Refuse to take `for-report` for the number of a user."""
    methods = request.app.state.allowed.get(request.scope["path"])
    if methods is not None and request.method not in methods:
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)


def _refuse_query(request: Request, known: Mapping[str, bool]) -> None:
    """Refuse what is not documented: `?trainingid=1` would be ignored where it matters.

    And what comes twice, of which one would be; `known` says of which each counts.
    """
    names = Counter(name for name, _ in request.query_params.multi_items())
    there = f"there are {', '.join(known)}" if known else "there are none here"
    wrong = {
        name: f"There is no such one: {there}" if name not in known else "This is to come once"
        for name, times in names.items()
        if name not in known or (times > 1 and not known[name])
    }
    if wrong:
        raise RequestValidationError(
            [{"type": "query", "loc": ("query", name), "msg": said} for name, said in wrong.items()]
        )


def _names_in_query(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Everything that a route reads of a query, and whether it may come several times."""
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for name, member in model.model_fields.items():
                yield name, get_origin(member.annotation) is list
        else:
            yield field.alias, False
    for needed in dependant.dependencies:
        yield from _names_in_query(needed)


def bearer(request: Request) -> str:
    """The token that comes with a request; raises NoToken where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken
    if not token:
        raise InvalidToken
    return token.strip()
