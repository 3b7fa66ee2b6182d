"""Documents for other programs: the public keys, the routes, and what a problem means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastapi_offline
import orjson
from fastapi import HTTPException, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from interfaces.problems import TYPES
from interfaces.rest.documented import group
from interfaces.rest.meanings import meaning_of, page_of, prefers_html
from interfaces.rest.problems import JSON
from interfaces.rest.public import public

routes = group("", "Service")

NOTHING_RUNS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""On a page that only is to be read."""


ASSETS = "/static-offline-docs"
PAGES = Path(fastapi_offline.__file__).parent / "static"
"""What the pages of the documentation are made of, so that they need no other host."""


class KeySet(BaseModel):
    """Public keys, the one that signs first."""

    keys: list[dict[str, str]]


KEYS_KEPT = 60
"""Seconds for which others may keep the public keys."""


_KEPT = {"Cache-Control": {"description": "`max-age`", "schema": {"type": "string"}}}


@routes.get("/.well-known/jwks.json", responses={200: {"model": KeySet, "headers": _KEPT}})
async def jwks(request: Request) -> Response:
    """Return the public keys that tokens are checked with (RFC 7517)."""
    keys = _json(request.app.state.service.keys.jwks())
    keys.headers["Cache-Control"] = f"max-age={KEYS_KEPT}"
    return keys


@routes.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """What can be asked over HTTP, as an OpenAPI document."""
    return _json(request.app.openapi())


# The pages name what they need as it is seen from them, whatever path a proxy strips.


@routes.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The OpenAPI document as a page, on which everything can be tried."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title=request.app.title,
        swagger_js_url=f".{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f".{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f".{ASSETS}/favicon.png",
    )


@routes.get("/redoc", include_in_schema=False)
async def redoc(request: Request) -> Response:
    """The OpenAPI document as a page to read."""
    return get_redoc_html(
        openapi_url="openapi.json",
        title=request.app.title,
        redoc_js_url=f".{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f".{ASSETS}/favicon.png",
        with_google_fonts=False,
    )


@routes.get("/problems/{code}", include_in_schema=False)
async def problem_type(code: str, request: Request) -> Response:
    """What a type of problem means; the type in a problem document leads here."""
    meaning = meaning_of(code)
    if meaning is None:
        raise HTTPException(404, "There is no such problem.")
    if prefers_html(request.headers.get("accept", "")):
        answer: Response = HTMLResponse(page_of(meaning), headers=NOTHING_RUNS)
    else:
        answer = _json(
            {
                "type": public(request.scope, TYPES + code),
                "title": meaning.title,
                "status": meaning.status,
                "detail": meaning.detail,
                "advice": meaning.advice,
            }
        )
    answer.headers["Vary"] = "Accept"
    return answer


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type=JSON)
