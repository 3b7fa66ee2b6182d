"""The index of a chain: what this is, and where to go from here."""

from __future__ import annotations

import orjson
from fastapi import Request, Response

from application.page_links import CHAIN_PATH
from interfaces.rest.documented import group
from interfaces.rest.index import VERSION, Index
from interfaces.rest.problems import JSON
from interfaces.rest.public import public

routes = group("", "Service")
NAME = "Training API Service, a chain of clubs"

LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "health": "/health/",
    "metrics": "/metrics",
    "jwks": "/.well-known/jwks.json",
    "clubs": "/chain/clubs/",
    "overview": CHAIN_PATH,
    "clients": "/chain/reports/clients/",
    "cohorts": "/chain/reports/cohorts/",
    "money": "/chain/reports/money/",
    "trainings": "/chain/reports/trainings/",
    "plans": "/chain/reports/plans/",
}


@routes.get("/", responses={200: {"model": Index}})
async def index(request: Request) -> Response:
    """Return base information of the service."""
    there = {name: public(request.scope, path) for name, path in LINKS.items()}
    return Response(
        orjson.dumps({"name": NAME, "version": VERSION, "links": there}), media_type=JSON
    )
