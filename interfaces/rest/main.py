"""The REST channel, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI

from infra.bootstrap import Club
from interfaces.rest import (
    clients,
    documents,
    exercises,
    figures,
    health,
    history,
    index,
    jwt_auth,
    memberships,
    messages,
    page_links,
    payments,
    reports,
    rules,
    training_plans,
    trainings,
    trainings_exercises,
    users,
    walk_ins,
)
from interfaces.rest.assembly import Outside, assembled
from interfaces.rest.connections import Connection, let_many_in

GROUPS = (
    index,
    health,
    documents,
    messages,
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
    settings = club.settings
    return assembled(
        club,
        GROUPS,
        index.NAME,
        ABOUT,
        Outside(settings.public_url, settings.cors_origins),
        asyncapi=asyncapi,
    )


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
