"""What happens around every request."""

from __future__ import annotations

import asyncio

import httpx
from starlette.types import Receive, Scope, Send

from infra.metrics import Metrics
from interfaces.rest.middleware import Around


async def test_more_requests_than_can_be_worked_on_are_refused_at_once() -> None:
    let_go = asyncio.Event()
    begun = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await let_go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(app=Around(slow, Metrics(), most_under_way=1))
    async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
        first = asyncio.create_task(http.get("/clients/"))
        await begun.wait()
        refused = await http.get("/clients/")
        let_go.set()
        assert (await first).status_code == 204
        assert (await http.get("/clients/")).status_code == 204
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/overloaded"
