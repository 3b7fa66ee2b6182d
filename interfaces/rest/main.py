"""The REST channel, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from infra.bootstrap import Club
from interfaces.rest import (
    clients,
    documents,
    exercises,
    health,
    index,
    jwt_auth,
    memberships,
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
from interfaces.rest.middleware import Around

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
    reports,
    rules,
)
"""Every group of routes, in the order of the documentation."""


def create_app(club: Club, asyncapi: Callable[[], Mapping[str, Any]] | None = None) -> FastAPI:
    """The app that serves this club; `asyncapi` makes the document of its RabbitMQ channel."""
    app: FastAPI = FastAPIOffline(
        title=index.NAME,
        version=index.VERSION,
        description="Everything a fitness club runs on.",
    )
    app.state.service = club
    app.state.asyncapi = asyncapi
    for group in GROUPS:
        # In one flat list: a router within a router costs every request a look into each.
        app.router.routes.extend(group.routes.routes)
    problems.install(app)
    app.add_middleware(Around, measures=club.metrics)
    document = complete(app.openapi(), app.routes)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


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
