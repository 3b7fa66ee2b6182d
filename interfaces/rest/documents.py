"""Documents for other programs: the public keys, the messages, and what a problem means."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from pydantic import BaseModel

from interfaces.rest.documented import group
from interfaces.rest.problems import JSON, explained

routes = group("", "Service")


class KeySet(BaseModel):
    """Public keys, the one that signs first."""

    keys: list[dict[str, str]]


KEYS_KEPT = 60
"""Seconds for which others may keep the public keys."""


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


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type=JSON)
