"""The index, the health of the service, and its measures."""

from __future__ import annotations

from importlib.metadata import metadata
from typing import Any, Literal

import orjson
from fastapi import HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from interfaces.rest.documented import group
from interfaces.rest.problems import JSON, explained

routes = group("", "Service")
_ABOUT = metadata("training-api-service")
NAME, VERSION = "Training API Service", _ABOUT["Version"]


class Index(BaseModel):
    """What this is, and where to go from here."""

    name: str
    version: str
    links: dict[str, str]


class Ledger(BaseModel):
    """Whether the ledger takes events, and how many it has."""

    writable: bool
    head: int | None = Field(description="the position of the last event")


class Projector(BaseModel):
    """How far a read model is."""

    position: int | None
    lag: int | None = Field(description="events that it does not show yet")


class Component(BaseModel):
    """How a part is doing."""

    status: Literal["running", "behind", "read-only", "unavailable"]
    detail: str = ""
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


class KeySet(BaseModel):
    """Public keys, the one that signs first."""

    keys: list[dict[str, str]]


KEYS_KEPT = 60
"""Seconds for which others may keep the public keys."""


@routes.get("/", responses={200: {"model": Index}})
async def index(request: Request) -> Response:
    """Return base information of the service."""
    links = {
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health/",
        "metrics": "/metrics",
        "jwks": "/.well-known/jwks.json",
        "login": "/jwt-auth/login/",
        "users": "/users/",
        "memberships": "/memberships/",
        "clients": "/clients/",
        "exercises": "/exercises/",
        "trainings": "/trainings/",
        "trainings-exercises": "/trainings-exercises/",
        "training-plans": "/training-plans/",
        "payments": "/payments/",
        "reports": "/reports/",
    }
    if request.app.state.asyncapi is not None:
        links["asyncapi"] = "/asyncapi.json"
    return _json({"name": NAME, "version": VERSION, "links": links})


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
    return _json(body, 200 if found.able else 503)


@routes.get("/.well-known/jwks.json", responses={200: {"model": KeySet}})
async def jwks(request: Request) -> Response:
    """Return the public keys that the club's tokens are checked with (RFC 7517)."""
    keys = _json(request.app.state.service.keys.jwks())
    keys.headers["Cache-Control"] = f"max-age={KEYS_KEPT}"
    return keys


@routes.get("/asyncapi.json", include_in_schema=False)
async def asyncapi(request: Request) -> Response:
    """What the club takes from RabbitMQ and publishes to it, as an AsyncAPI document."""
    document = request.app.state.asyncapi
    if document is None:
        raise HTTPException(404, "No AsyncAPI document is served here.")
    return _json(document())


@routes.get("/problems/{code}", include_in_schema=False)
async def problem_type(code: str) -> Response:
    """What a type of problem means; the type in a problem document leads here."""
    found = explained(code)
    if found is None:
        raise HTTPException(404, "There is no such problem.")
    return _json(found)


@routes.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Measures, for Prometheus."""
    service = request.app.state.service
    await service.health()
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type=JSON)
