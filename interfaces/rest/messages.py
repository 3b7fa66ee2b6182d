"""The document of the messages that a club takes and publishes."""

from __future__ import annotations

import orjson
from fastapi import HTTPException, Request, Response

from interfaces.rest.documented import group
from interfaces.rest.problems import JSON

routes = group("", "Service")


@routes.get("/asyncapi.json", include_in_schema=False)
async def asyncapi(request: Request) -> Response:
    """What the club takes from RabbitMQ and publishes to it, as an AsyncAPI document."""
    document = request.app.state.asyncapi
    if document is None:
        raise HTTPException(404, "No AsyncAPI document is served here.")
    return Response(orjson.dumps(document()), media_type=JSON)
