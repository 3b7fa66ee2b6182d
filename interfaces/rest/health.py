"""How the service is doing, for whoever watches over it: its health, and its measures."""

from __future__ import annotations

from typing import Literal

import orjson
from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from application.fields import Moment
from interfaces.rest.documented import group
from interfaces.rest.index import NAME, VERSION
from interfaces.rest.problems import JSON

routes = group("", "Service")


class Ledger(BaseModel):
    """Whether the ledger takes events, and how many it has."""

    writable: bool
    head: int | None = Field(description="the position of the last event")


class Projector(BaseModel):
    """How far a group of read models is, and how those who project it are doing."""

    status: Literal["running", "behind", "unavailable"]
    position: int | None
    lag: int | None = Field(description="events that it does not show yet")
    detail: str = Field(default="", description="why it stands still, or who stands aside")
    since: Moment | None = None


class Component(BaseModel):
    """How a part is doing."""

    status: Literal["running", "behind", "read-only", "unavailable"]
    detail: str = ""
    since: Moment | None = None
    parked: int | None = Field(default=None, description="of rabbitmq: messages to look at")
    lag: int | None = Field(
        default=None,
        description="of relay: events still to go out; of consumers: messages still to be taken",
    )


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
    """Return the running status of the service."""
    found = await request.app.state.service.health()
    body = {"name": NAME, "version": VERSION} | found.report
    return Response(orjson.dumps(body), 200 if found.able else 503, media_type=JSON)


@routes.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Measures, for Prometheus."""
    service = request.app.state.service
    await service.health()
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
