"""An app of groups of routes, with all that is around them: of a club, or of a chain of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from interfaces.rest import documents, headers, index, problems
from interfaces.rest.documented import complete
from interfaces.rest.middleware import Around, Measures
from interfaces.rest.public import by_the_slash


class Measured(Protocol):
    """What is served, and where requests to it are counted."""

    @property
    def metrics(self) -> Measures: ...


class Outside(NamedTuple):
    """How it is reached from outside, and from whose pages."""

    public_url: str = ""
    cors_origins: str = ""


def assembled(  # noqa: PLR0913 - what two apps differ in
    service: Measured,
    groups: Sequence[ModuleType],
    title: str,
    about: str,
    outside: Outside,
    *,
    asyncapi: Callable[[], Mapping[str, Any]] | None = None,
    commands: bool = True,
    to_readers: Mapping[int, str] = problems.TO_READERS,
) -> FastAPI:
    """The app: each group has `routes`; `to_readers` says what to do about a no on a page."""
    public_url = outside.public_url.rstrip("/")
    app = FastAPI(
        title=title,
        version=index.VERSION,
        description=about,
        openapi_url=None,  # The document and its pages are routes like others.
        servers=[{"url": public_url}] if public_url else None,
    )
    app.state.service = service
    app.state.asyncapi = asyncapi
    app.state.to_readers = to_readers
    for group in groups:
        # In one flat list: a router within a router costs every request a look into each.
        app.router.routes.extend(group.routes.routes)
    app.mount(documents.ASSETS, StaticFiles(directory=documents.PAGES), name="assets")
    app.router.redirect_slashes = False
    app.router.default = by_the_slash(app.router)
    problems.install(app)
    app.add_middleware(Around, measures=service.metrics, public_url=public_url)
    if outside.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=outside.cors_origins.split(","),
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=headers.READ,
            expose_headers=headers.ANSWERED,
        )
    document = complete(app.openapi(), app.routes, commands=commands)
    app.openapi = lambda: document  # type: ignore[method-assign]
    app.state.allowed = _allowed(app.routes)
    return app


def _allowed(routes: Sequence[BaseRoute]) -> Mapping[str, Sequence[str]]:
    """Which methods each path takes."""
    methods: dict[str, set[str]] = defaultdict(set)
    for route in routes:
        if isinstance(route, APIRoute):
            methods[route.path] |= route.methods or set()
    return {path: sorted(taken) for path, taken in methods.items()}
