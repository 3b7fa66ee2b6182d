"""The index: what this is, and where to go from here."""

from __future__ import annotations

from importlib.metadata import metadata

import orjson
from fastapi import Request, Response
from pydantic import BaseModel

from interfaces.rest.documented import group
from interfaces.rest.problems import JSON
from interfaces.rest.public import public

routes = group("", "Service")
_ABOUT = metadata("training-api-service")
NAME, VERSION = "Training API Service", _ABOUT["Version"]


class Index(BaseModel):
    """What this is, and where to go from here."""

    name: str
    version: str
    links: dict[str, str]


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
    there = {name: public(request.scope, path) for name, path in links.items()}
    return Response(
        orjson.dumps({"name": NAME, "version": VERSION, "links": there}), media_type=JSON
    )
