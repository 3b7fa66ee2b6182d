"""How the service is doing, for whoever watches over it: its health, and its measures."""

from __future__ import annotations

import asyncio
from typing import Literal

import orjson
from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from application.access import Permission, reaches_all
from application.fields import Moment
from application.ports.ledger import LedgerUnavailable
from application.ports.signing_in import InvalidToken
from domain.refusals import Forbidden
from interfaces.rest.documented import group
from interfaces.rest.door import bearer
from interfaces.rest.index import NAME, VERSION
from interfaces.rest.problems import JSON

routes = group("", "Service")


class Ledger(BaseModel):
    """Whether the ledger takes events, and how many it has."""

    writable: bool
    head: int | None = Field(description="the position of the last event")


Status = Literal["running", "degraded", "behind", "standing", "silent", "read-only", "unavailable"]


class Component(BaseModel):
    """How a part is doing, in all of its processes."""

    status: Status = Field(
        description="`degraded`: one of its processes works, another does not; `behind`: it works,"
        " and is late; `standing`: it runs, and cannot go on; `silent`: it was killed, or is"
        " frozen"
    )
    since: Moment | None = Field(default=None, description="since when that is so")
    working: int | None = Field(default=None, description="of one that is degraded: processes")
    detail: str = Field(default="", description="why it does not run; for ADMINs only")
    parked: int | None = Field(default=None, description="of rabbitmq: messages to look at")
    lag: int | None = Field(
        default=None,
        description="of relay: events still to go out; of consumers: messages still to be taken",
    )
    age: float | None = Field(
        default=None, description="seconds for which the oldest of these events has waited"
    )


class Projector(Component):
    """How a group of read models is doing, and how far it is."""

    position: int | None
    lag: int | None = Field(description="events that it does not show yet")


class HealthShown(BaseModel):
    """The running status of the service."""

    status: Literal["running", "degraded", "unavailable"]
    name: str
    version: str
    ledger: Ledger
    projectors: dict[str, Projector]
    components: dict[str, Component]


@routes.get(
    "/health/",
    responses={
        200: {"model": HealthShown},
        503: {"model": HealthShown, "description": "the ledger cannot be written"},
    },
)
async def health(request: Request) -> Response:
    """Return the running status of the service: an ADMIN is also told why something does not."""
    service = request.app.state.service
    found, in_full = await asyncio.gather(service.health(), is_admin(request))
    body = {"name": NAME, "version": VERSION} | (found.report if in_full else found.public)
    return Response(orjson.dumps(body), 200 if found.able else 503, media_type=JSON)


async def is_admin(request: Request) -> bool:
    """Whoever cannot be told from others just now is not an ADMIN."""
    if "authorization" not in request.headers:
        return False
    try:
        caller = await request.app.state.service.callers.of(bearer(request))
        return reaches_all(caller, Permission.HEALTH_DETAILS)
    except (InvalidToken, Forbidden, LedgerUnavailable):
        return False


@routes.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Measures, for Prometheus."""
    service = request.app.state.service
    await service.health()
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
