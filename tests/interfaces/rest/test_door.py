"""Who is let in comes first: 405, 401, 403, and only then what is wrong with the request."""

from __future__ import annotations

import pytest

from application.access import RULES
from application.catalogue import COMMANDS, LISTS, ROWS, permission_for
from domain.values import Role
from interfaces.rest.door import asked_by
from interfaces.rest.main import GROUPS
from tests.conftest import Rest
from tests.interfaces.rest.scenes import furnished

JSON = {"Content-Type": "application/json"}

ROUTES = [
    (method, route.path, name)
    for group in GROUPS
    for route in group.routes.routes
    if (name := asked_by(route.dependant)) is not None
    for method in route.methods
]
"""Each route that asks for something, and what."""


def broken(method: str, path: str) -> str:
    """A path of that route, in which every number is none."""
    return path.replace("{", "no-").replace("}", "") + "?nothing=1&nothing=2"


def test_everything_that_can_be_asked_is_tried_here() -> None:
    assert {name for _, _, name in ROUTES} >= COMMANDS.keys() | ROWS.keys() | LISTS.keys()


@pytest.mark.parametrize("token", [None, "Basic YTpi", "Bearer ", "Bearer x.y.z"])
async def test_nothing_is_read_of_a_request_without_a_valid_token(
    rest: Rest, token: str | None
) -> None:
    headers = JSON | ({} if token is None else {"Authorization": token})
    for method, path, name in ROUTES:
        if permission_for(name) is None:
            continue
        answer = await rest.http.request(
            method, broken(method, path), content=b"{", headers=headers
        )
        assert answer.status_code == 401, (method, path)
        assert answer.json()["type"] == "/problems/invalid-token"
        assert "errors" not in answer.json()


@pytest.mark.parametrize("role", Role)
async def test_nothing_is_read_of_a_request_that_the_role_never_may(rest: Rest, role: Role) -> None:
    _, signed_in = await rest.user(role)
    for method, path, name in ROUTES:
        permission = permission_for(name)
        rule = None if permission is None else RULES[permission]
        may = rule is None or rule.own or role in rule.roles
        answer = await rest.http.request(
            method,
            broken(method, path),
            content=b"{",
            headers=JSON | signed_in,
        )
        assert answer.status_code == (422 if may else 403), (method, path, answer.text)


async def test_what_the_path_does_not_take_comes_before_who_asks(rest: Rest) -> None:
    for method, path in [
        ("PUT", "/users/for-report/"),
        ("PATCH", "/payments/second-collections/"),
        ("DELETE", "/trainings/exercise-ids/"),
    ]:
        answer = await rest.http.request(method, path, content=b"{")
        assert (answer.status_code, answer.headers["Allow"]) in {
            (405, "GET, HEAD"),
            (405, "POST"),
        }


async def test_the_query_is_read_alike_wherever_it_comes(rest: Rest) -> None:
    scene = await furnished(rest)
    for method, path in [
        *(("GET", path) for path in ("/", "/health/", "/metrics", "/problems/forbidden")),
        *(("GET", path) for path in ("/.well-known/jwks.json", "/openapi.json", "/docs")),
        ("GET", f"/clients/{scene.client}/"),
        ("GET", f"/trainings/exercise-ids/{scene.training}/"),
        ("POST", "/exercises/"),
        ("POST", "/trainings/exercise-ids/"),
        ("POST", "/jwt-auth/login/"),
        ("DELETE", f"/clients/{scene.client}/"),
    ]:
        answer = await rest.http.request(method, f"{path}?odd=1", headers=scene.admin, json=None)
        assert answer.status_code == 422, (method, path)
        (error,) = answer.json()["errors"]
        assert error["pointer"] == "#/query/odd"
        assert error["detail"].startswith("There is no such one: there are ")


async def test_what_comes_twice_in_a_query_is_refused_not_taken_once(rest: Rest) -> None:
    scene = await furnished(rest)
    for path, name in [
        ("/clients/?status=ACTIVE&status=ON_HOLD", "status"),
        ("/clients/?limit=1&limit=1", "limit"),
        ("/clients/?status=ACTIVE&sort=id&st%61tus=ACTIVE", "status"),
        ("/users/for-report/?from_date=2026-01-01&from_date=2026-01-02", "from_date"),
    ]:
        answer = await rest.http.get(path, headers=scene.admin)
        assert answer.status_code == 422, path
        assert [e["pointer"] for e in answer.json()["errors"]] == [f"#/query/{name}"]
    path = f"/trainings-exercises/{scene.exercise}/?training_id={scene.training}&training_id=1"
    answer = await rest.http.delete(path, headers=scene.admin)
    assert [e["pointer"] for e in answer.json()["errors"]] == ["#/query/training_id"]
