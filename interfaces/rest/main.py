"""The REST channel, put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.routing import BaseRoute

from infra.bootstrap import Club
from interfaces.rest import (
    clients,
    documents,
    exercises,
    figures,
    headers,
    health,
    history,
    index,
    jwt_auth,
    memberships,
    page_links,
    payments,
    problems,
    reports,
    rules,
    training_plans,
    trainings,
    trainings_exercises,
    users,
    walk_ins,
)
from interfaces.rest.connections import Connection, let_many_in
from interfaces.rest.documented import complete
from interfaces.rest.middleware import Around, Sites
from interfaces.rest.public import by_the_slash

GROUPS = (
    index,
    health,
    documents,
    jwt_auth,
    users,
    memberships,
    walk_ins,
    clients,
    exercises,
    trainings,
    trainings_exercises,
    training_plans,
    payments,
    figures,
    page_links,
    reports,
    rules,
    history,
)
"""Every group of routes, in the order of the documentation."""

ABOUT = """Everything a fitness club runs on.

**A token.** Sign in in three steps: `POST /jwt-auth/login/` with username and password; the code
that the bot answers with in Telegram, or that `club run` shows on its console, to
`POST /jwt-auth/verification/`; the refresh token from there to `POST /jwt-auth/get-access-token/`.
The access token goes into *Authorize* above, or into `Authorization: Bearer …`. At the machine,
`club tokens issue` gives one at once.

**Headers.** Whoever has a `Ledger-Position` from an answer sends it with a GET, and is shown what
holds at that position or later; 503 where that takes longer than two seconds. `X-Request-Id` is
answered on everything.
"""


def create_app(club: Club, asyncapi: Callable[[], Mapping[str, Any]] | None = None) -> FastAPI:
    """The app that serves this club; `asyncapi` makes the document of its RabbitMQ channel."""
    public_url = club.settings.public_url.rstrip("/")
    app = _with_routes(public_url)
    app.state.service = club
    app.state.asyncapi = asyncapi
    app.mount(documents.ASSETS, StaticFiles(directory=documents.PAGES), name="assets")
    app.router.redirect_slashes = False
    app.router.default = by_the_slash(app.router)
    problems.install(app)
    app.add_middleware(Around, measures=club.metrics, public_url=public_url)
    if origins := club.settings.cors_origins:
        app.add_middleware(
            Sites,
            allow_origins=origins.split(","),
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=headers.READ,
            expose_headers=headers.ANSWERED,
        )
    document = _document(public_url)
    app.openapi = lambda: document  # type: ignore[method-assign]
    app.state.allowed = _allowed(app.routes)
    return app


def _with_routes(public_url: str) -> FastAPI:
    """An app that has all routes, and nothing behind them yet."""
    app = FastAPI(
        title=index.NAME,
        version=index.VERSION,
        description=ABOUT,
        openapi_url=None,  # The document and its pages are routes like others.
        servers=[{"url": public_url}] if public_url else None,
    )
    for group in GROUPS:
        # In one flat list: a router within a router costs every request a look into each.
        app.router.routes.extend(group.routes.routes)
    return app


@cache
def _document(public_url: str) -> dict[str, Any]:
    """The OpenAPI document, made once in a process, before it serves: it takes a second."""
    app = _with_routes(public_url)
    return complete(app.openapi(), app.routes)


def _allowed(routes: Sequence[BaseRoute]) -> Mapping[str, Sequence[str]]:
    """Which methods each path takes."""
    methods: dict[str, set[str]] = defaultdict(set)
    for route in routes:
        if isinstance(route, APIRoute):
            methods[route.path] |= route.methods or set()
            if "GET" in methods[route.path]:
                methods[route.path].add("HEAD")  # which is answered as a GET without its body
    return {path: sorted(taken) for path, taken in methods.items()}


def as_served(app: FastAPI, last_requests: int, trusted_proxies: str = "") -> uvicorn.Config:
    """How uvicorn serves it; from here on, this process may have many connections.

    `last_requests` is for how many seconds requests under way at the end are answered, and
    `trusted_proxies` whose word for where a request comes from is taken.
    """
    let_many_in()
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=last_requests,
    )
