"""Where others find what is here: below the public URL of the club, or on the host they asked.

What a request says of its host is never repeated: it may say anything.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from fastapi import Response
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Receive, Scope, Send

PUBLIC = "public"
"""Where a request's state keeps what comes before every path; empty without a public URL."""


def public(scope: Scope, path: str) -> str:
    """The place of a path, as whoever asks can follow it."""
    base: str = scope["state"][PUBLIC]
    return base + path


def by_the_slash(router: Router) -> ASGIApp:
    """What answers on paths that are nowhere: one that is there but for its last slash leads on.

    A method that it does not take is refused at once.
    """
    nowhere = router.default

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        asked = {**scope, "path": other}
        matches = [(*route.matches(asked), route) for route in router.routes]
        if any(match is Match.FULL for match, _, _ in matches):
            query = scope["query_string"].decode("latin-1")
            location = public(scope, quote(other)) + (f"?{query}" if query else "")
            found = Response(status_code=HTTPStatus.TEMPORARY_REDIRECT)
            found.headers["Location"] = location
            await found(scope, receive, send)
            return
        for match, found_there, route in matches:
            if match is Match.PARTIAL:
                scope.update(asked, **found_there)
                await route.handle(scope, receive, send)
                return
        await nowhere(scope, receive, send)

    return answer
