"""How the chain is doing, for whoever watches over it."""

from __future__ import annotations

import asyncio
from typing import Literal

import orjson
from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from interfaces.rest.chain.clubs import STATE, State
from interfaces.rest.chain.index import NAME
from interfaces.rest.chain.service import chain_of
from interfaces.rest.documented import group
from interfaces.rest.health import Component, is_admin
from interfaces.rest.index import VERSION
from interfaces.rest.problems import JSON

routes = group("", "Service")


class Counted(BaseModel):
    """How many clubs there are in each state, each counted in every group of tables."""

    running: int = 0
    behind: int = 0
    unseen: int = 0
    standing: int = 0
    absent: int = 0


class Late(BaseModel):
    """A club that is late, or stands still, and why."""

    name: str
    group_name: str
    state: State = Field(description=STATE)
    position: int
    lag: int | None
    age: float | None
    stands_at: int | None
    topic: str | None
    detail: str | None


class ChainHealthShown(BaseModel):
    """The running status of the chain."""

    status: Literal["running", "degraded", "unavailable"]
    name: str
    version: str
    components: dict[str, Component]
    clubs: Counted
    late: list[Late] = Field(default=[], description="for ADMINs only")


@routes.get(
    "/health/",
    responses={
        200: {"model": ChainHealthShown},
        503: {"model": ChainHealthShown, "description": "nothing can be read"},
    },
)
async def health(request: Request) -> Response:
    """Return the running status of the chain: an ADMIN is also told which club is late, and why."""
    found, in_full = await asyncio.gather(chain_of(request).health(), is_admin(request))
    body = {"name": NAME, "version": VERSION} | (found.full if in_full else found.public)
    return Response(orjson.dumps(body), 200 if found.able else 503, media_type=JSON)


@routes.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Measures, for Prometheus."""
    chain = chain_of(request)
    await chain.health()
    return Response(generate_latest(chain.metrics.registry), media_type=CONTENT_TYPE_LATEST)
