"""Every path takes the methods it has and no others; HEAD is one of them wherever GET is."""

from __future__ import annotations

import pytest

from domain.values import Role
from tests.conftest import Rest
from tests.interfaces.rest.scenes import furnished

OTHERS = ("OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PATCH", "CONNECT", "PROPFIND", "BREW")

READ_ONLY = (
    *("/", "/health/", "/metrics", "/.well-known/jwks.json", "/problems/forbidden"),
    *("/openapi.json", "/docs", "/redoc"),
    "/static-offline-docs/swagger-ui.css",
)
"""What anybody may read, and nobody can do anything else with."""


@pytest.mark.parametrize("path", [*READ_ONLY, "/problems/x", "/asyncapi.json"])
async def test_what_can_only_be_read_takes_no_other_method(rest: Rest, path: str) -> None:
    for method in OTHERS:
        answer = await rest.http.request(method, path)
        assert answer.status_code == 405, method
        assert answer.headers["Allow"] == "GET, HEAD", method
        assert answer.json()["type"] == "/problems/method-not-allowed"


@pytest.mark.parametrize("path", ["/nowhere", "/static", "/problems/", "/health/more", "/%00"])
async def test_what_is_not_there_is_not_there_by_any_method(rest: Rest, path: str) -> None:
    for method in ("GET", "HEAD", *OTHERS):
        answer = await rest.http.request(method, path)
        assert answer.status_code in {404, 405}, method


async def test_every_documented_path_says_what_it_takes(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    document = (await rest.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        taken = {method.upper() for method in operations}
        if "GET" in taken:
            taken.add("HEAD")
        for method in {*OTHERS, "GET", "HEAD"} - taken:
            named = path.replace("{", "").replace("}", "")
            answer = await rest.http.request(method, named, headers=admin)
            assert answer.status_code == 405, (method, path)
            assert answer.headers["Allow"] == ", ".join(sorted(taken)), (method, path)


async def test_head_has_the_headers_of_get_and_no_body(rest: Rest) -> None:
    scene = await furnished(rest)
    rows = ("/users/?limit=1&total=true", f"/clients/{scene.client}/", "/reports/", "/users/999/")
    for path in (*READ_ONLY, *rows):
        got = await rest.http.get(path, headers=scene.admin)
        head = await rest.http.head(path, headers=scene.admin)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        own = {"x-request-id", "content-length"}  # measures and the time of health differ
        assert {n: v for n, v in head.headers.items() if n not in own} == {
            n: v for n, v in got.headers.items() if n not in own
        }, path
        if path not in {"/metrics", "/health/"}:
            assert head.headers["Content-Length"] == got.headers["Content-Length"], path


async def test_head_needs_what_get_needs(rest: Rest) -> None:
    _, user = await rest.user(Role.USER)
    assert (await rest.http.head("/users/")).status_code == 401
    assert (await rest.http.head("/users/", headers=user)).status_code == 403
    assert (await rest.http.head("/users/?limit=0")).status_code == 401
    found = await rest.http.get("/exercises/", headers=user)
    known = {**user, "Ledger-Position": "x"}
    assert found.status_code == 200
    assert (await rest.http.head("/exercises/", headers=known)).status_code == 422
