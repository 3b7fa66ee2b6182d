"""An app of groups of routes, with all that is around them: of a club, or of a chain of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.routing import BaseRoute

from interfaces.rest import documents, headers, index, problems
from interfaces.rest.documented import complete
from interfaces.rest.middleware import Around, Measures, Sites
from interfaces.rest.public import by_the_slash


class Measured(Protocol):
    """What is served, and where requests to it are counted."""

    @property
    def metrics(self) -> Measures: ...


class Outside(NamedTuple):
    """How it is reached from outside, and from whose pages."""

    public_url: str = ""
    cors_origins: str = ""


class Told(NamedTuple):
    """What an app says of itself."""

    groups: tuple[ModuleType, ...]
    title: str
    about: str
    public_url: str


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
    told = Told(tuple(groups), title, about, public_url)
    app = _with_routes(told)
    app.state.service = service
    app.state.asyncapi = asyncapi
    app.state.to_readers = to_readers
    app.mount(documents.ASSETS, StaticFiles(directory=documents.PAGES), name="assets")
    app.router.redirect_slashes = False
    app.router.default = by_the_slash(app.router)
    problems.install(app)
    app.add_middleware(Around, measures=service.metrics, public_url=public_url)
    if outside.cors_origins:
        app.add_middleware(
            Sites,
            allow_origins=outside.cors_origins.split(","),
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=headers.READ,
            expose_headers=headers.ANSWERED,
        )
    document = _document(told, commands=commands)
    app.openapi = lambda: document  # type: ignore[method-assign]
    app.state.allowed = _allowed(app.routes)
    return app


def _with_routes(told: Told) -> FastAPI:
    """An app that has all routes, and nothing behind them yet."""
    app = FastAPI(
        title=told.title,
        version=index.VERSION,
        description=told.about,
        openapi_url=None,  # The document and its pages are routes like others.
        servers=[{"url": told.public_url}] if told.public_url else None,
    )
    for group in told.groups:
        # In one flat list: a router within a router costs every request a look into each.
        app.router.routes.extend(group.routes.routes)
    return app


@cache
def _document(told: Told, *, commands: bool) -> dict[str, Any]:
    """The OpenAPI document, made once in a process, before it serves: it takes a second."""
    app = _with_routes(told)
    return complete(app.openapi(), app.routes, commands=commands)


def _allowed(routes: Sequence[BaseRoute]) -> Mapping[str, Sequence[str]]:
    """Which methods each path takes."""
    methods: dict[str, set[str]] = defaultdict(set)
    for route in routes:
        if isinstance(route, APIRoute):
            methods[route.path] |= route.methods or set()
            if "GET" in methods[route.path]:
                methods[route.path].add("HEAD")  # which is answered as a GET without its body
    return {path: sorted(taken) for path, taken in methods.items()}
