"""Who is let in, to ask what: each route names what it asks for in the catalogue.

A route's signature says it: `asking: Annotated[Asking, asks("register-client")]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from application.access import ANYBODY, Permission, reaches_all
from application.catalogue import permission_for
from application.ports.signing_in import InvalidToken
from interfaces.rest.asking import Asking, Service
from interfaces.rest.places import PLACE


@dataclass(frozen=True, slots=True)
class Asks:
    """Lets in whoever may ask for this, of everybody's or at least of their own; 401 or 403 else.

    Where anybody may, a token is not needed; where there is one, it must be valid all the same.
    """

    name: str
    permission: Permission | None

    async def __call__(self, request: Request) -> Asking:
        """The request, of a caller who is let in."""
        service: Service = request.app.state.service
        caller = ANYBODY
        if self.permission is not None or "authorization" in request.headers:
            token = bearer(request)
            # Counted before they are looked up, which may take a moment.
            _count(request, service.tokens.bearer(token))
            caller = await service.callers.of(token)
        else:
            _count(request, None)
        _refuse_unknown(request)
        everybody = self.permission is None or reaches_all(caller, self.permission)
        return Asking(request, service, self.name, caller, everybody=everybody)


@dataclass(frozen=True, slots=True)
class Visits:
    """Lets everybody in, whatever they hold: they are about to show who they are."""

    name: str

    async def __call__(self, request: Request) -> Asking:
        """The request, of somebody who is not known yet."""
        _count(request, None)
        _refuse_unknown(request)
        return Asking(request, request.app.state.service, self.name, ANYBODY, everybody=False)


def asks(name: str) -> Any:
    """Let in whoever may ask for this."""
    return Depends(Asks(name, permission_for(name)))


def visits(name: str) -> Any:
    """Let everybody in for this step of signing in."""
    if permission_for(name) is not None:
        raise ValueError(f"not everybody may {name}")
    return Depends(Visits(name))


def asked_by(dependant: Dependant) -> str | None:
    """What a route asks for, from what it depends on; None for what is in no catalogue."""
    return next(_asked_by(dependant), None)


def _asked_by(dependant: Dependant) -> Iterator[str]:
    for needed in dependant.dependencies:
        if isinstance(needed.call, Asks | Visits):
            yield needed.call.name
        yield from _asked_by(needed)


def _count(request: Request, user_id: int | None) -> None:
    """Count the request among its caller's."""
    address = "unknown" if request.client is None else request.client.host
    request.scope["state"][PLACE].belongs_to(user_id, address)


def _refuse_unknown(request: Request) -> None:
    """Refuse what is not documented: `?trainingid=1` would be ignored where it matters."""
    if not request.scope["query_string"]:
        return
    path = request.app.openapi()["paths"].get(request.scope["route"].path)
    if path is None:
        return
    operation = path[request.method.lower()]
    known = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {"type": "extra_forbidden", "loc": ("query", name), "msg": "There is no such one"}
                for name in unknown
            ]
        )


def bearer(request: Request) -> str:
    """The token that comes with a request; raises InvalidToken where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken
    return token.strip()
