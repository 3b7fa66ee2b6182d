"""What every route has in common: problems, keys, versions, positions."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from application.exercises import ChangeExercise
from application.page_links import MakePageLinkFor
from application.users import ChangeUser, UserChanges
from domain.values import Role
from interfaces.rest.places import MOST_OF_ONE, MOST_UNDER_WAY
from tests.conftest import Rest
from tests.interfaces.rest.scenes import (
    client_body,
    furnished,
    made,
    new_exercise,
    new_membership,
)
from tests.waiting import until

MEMBERS = {"type", "title", "status", "detail", "instance"}


# --- problems ------------------------------------------------------------------------------


async def test_every_no_is_a_problem_document(rest: Rest) -> None:
    scene = await furnished(rest)
    http, admin = rest.http, scene.admin
    taken = client_body(scene.user, await new_membership(rest))
    answers = {
        401: await http.get("/clients/"),
        403: await http.get("/clients/", headers=scene.owner),
        404: await http.get("/clients/999/", headers=admin),
        405: await http.put("/clients/", headers=admin),
        409: await http.post("/clients/", json=taken, headers=admin),
        412: await http.delete(f"/clients/{scene.client}/", headers={**admin, "If-Match": '"999"'}),
        413: await http.post("/clients/", content=b" " * 2_000_000, headers=admin),
        415: await http.post("/clients/", content=b"<client/>", headers=admin),
        422: await http.post("/clients/", json={}, headers=admin),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        body = answer.json()
        assert body.keys() - {"errors"} == MEMBERS
        assert body["status"] == status
        assert body["type"].startswith("/problems/")
        assert body["instance"] == answer.request.url.path
    assert answers[401].headers["WWW-Authenticate"] == "Bearer"
    assert answers[405].headers["Allow"] == "GET, HEAD, POST"


async def test_a_path_that_is_nowhere_is_a_problem_too(rest: Rest) -> None:
    answer = await rest.http.get("/nowhere/%3Cb%3E/")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["instance"] == "/nowhere/%3Cb%3E/"


async def test_each_wrong_field_is_pointed_at(rest: Rest) -> None:
    scene = await furnished(rest)
    body = {"client_id": scene.client, "title": "", "exercise_ids": [1, "two", -3], "odd/~": 1}
    answer = await rest.http.post("/trainings/exercice-ids/", json=body, headers=scene.admin)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "#/title",
        "#/exercise_ids/1",
        "#/exercise_ids/2",
        "#/odd~1~0",
    }


async def test_a_redirect_leads_to_the_documented_path(rest: Rest) -> None:
    scene = await furnished(rest)
    for path in ("/users/for-report", f"/clients/{scene.client}", "/trainings/exercice-ids/1"):
        answer = await rest.http.get(f"{path}?limit=1", headers=scene.admin)
        assert answer.status_code == 307
        assert answer.headers["Location"] == f"{path}/?limit=1"


async def test_a_fault_of_ours_is_a_problem_that_names_the_request(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, admin = await rest.user(Role.ADMIN)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(rest.club.reads, "one", broken, raising=False)
    answer = await rest.http.get("/users/1/", headers={**admin, "X-Request-Id": "mine"})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == "mine"
    assert "secret" not in answer.text


# --- idempotency keys ----------------------------------------------------------------------


async def add_exercise(
    rest: Rest, signed_in: dict[str, str], key: str, title: str = "Plank"
) -> httpx.Response:
    headers = {**signed_in, "Idempotency-Key": key}
    return await rest.http.post("/exercises/", json={"title": title}, headers=headers)


async def test_the_same_key_and_request_is_answered_as_the_first_time(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    first = await add_exercise(rest, admin, "one")
    await rest.do(ChangeExercise(first.json()["id"], {"title": "Bridge"}))
    head = await rest.club.ledger.head()
    again = await add_exercise(rest, admin, "one")
    assert again.status_code == first.status_code == 201
    assert again.content == first.content
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert await rest.club.ledger.head() == head


async def test_a_report_under_the_same_key_is_shown_in_full_again(rest: Rest) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    headers = {**analyst, "Idempotency-Key": "one"}
    first = await rest.http.post("/reports/", json={}, headers=headers)
    again = await rest.http.post("/reports/", json={}, headers=headers)
    assert first.json()["new_users"]["data"]
    assert again.content == first.content


async def test_a_key_means_the_same_bare_and_quoted(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for bare, quoted in [("one", '"one"'), ('a"b', r'"a\"b"'), ("a\\b", r'"a\\b"')]:
        first = await add_exercise(rest, admin, bare, title=f"Plank {len(quoted)}{bare[1]}")
        again = await add_exercise(rest, admin, quoted, title=f"Plank {len(quoted)}{bare[1]}")
        assert first.status_code == 201
        assert again.content == first.content


async def test_a_key_has_at_most_255_characters_without_its_quotes(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for number, (key, status) in enumerate(
        [("a" * 255, 201), (f'"{"b" * 255}"', 201), ("c" * 256, 422), (f'"{"d" * 256}"', 422)]
    ):
        answer = await add_exercise(rest, admin, key, title=f"Plank {number}")
        assert answer.status_code == status, number


async def test_a_key_that_was_used_for_another_request_is_refused(rest: Rest) -> None:
    scene = await furnished(rest)
    await add_exercise(rest, scene.admin, "one")
    head = await rest.club.ledger.head()
    other_body = await add_exercise(rest, scene.admin, "one", title="Bridge")
    headers = {**scene.admin, "Idempotency-Key": "one"}
    other_path = await rest.http.post("/memberships/", json={"price": "1"}, headers=headers)
    for answer in (other_body, other_path):
        assert answer.status_code == 422
        assert answer.json()["type"] == "/problems/key-reused"
    assert await rest.club.ledger.head() == head


async def test_the_order_of_fields_makes_no_other_request(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    headers = {**admin, "Idempotency-Key": "one", "Content-Type": "application/json"}
    texts = ('{"title": "Plank", "description": "x"}', '{ "description":"x","title":"Plank"}')
    answers = [await rest.http.post("/exercises/", content=t, headers=headers) for t in texts]
    assert answers[0].status_code == 201
    assert answers[1].content == answers[0].content


async def test_a_refusal_is_answered_again_too(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    plank = await add_exercise(rest, admin, "one")
    refused = await add_exercise(rest, admin, "two")
    assert refused.status_code == 409
    await rest.http.delete(plank.headers["Location"], headers=admin)
    again = await add_exercise(rest, admin, "two")
    assert (again.status_code, again.content) == (409, refused.content)


async def sign_up(rest: Rest, name: str, password: str = "long enough") -> httpx.Response:
    body = {"username": name, "email": f"{name}@example.com", "password": password}
    return await rest.http.post("/users/", json=body, headers={"Idempotency-Key": "signup-1"})


async def test_strangers_who_chose_one_key_are_two_users(rest: Rest) -> None:
    first, second = await sign_up(rest, "ada"), await sign_up(rest, "bob")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert (await sign_up(rest, "ada")).content == first.content


async def test_a_stranger_with_another_password_is_not_let_into_a_registration(rest: Rest) -> None:
    await sign_up(rest, "ada")
    mallory = await sign_up(rest, "ada", "another password")
    assert mallory.status_code == 409
    assert "ada@" not in mallory.text


async def test_a_receipt_is_not_for_who_has_lost_the_role(rest: Rest) -> None:
    user, _ = await rest.user()
    staffer_id, staffer = await rest.user(Role.STAFFER)
    key = {**staffer, "Idempotency-Key": "one"}
    body = client_body(user, await new_membership(rest))
    first = await rest.http.post("/clients/", json=body, headers=key)
    assert (await rest.http.post("/clients/", json=body, headers=key)).content == first.content
    await rest.do(ChangeUser(staffer_id, UserChanges.model_validate({"role": "USER"})))
    again = await rest.http.post("/clients/", json=body, headers=key)
    assert again.status_code == 403
    assert "Lovelace" not in again.text


async def test_two_keys_for_one_request_are_refused(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for second in ("one", "two"):
        lines = [*admin.items(), ("Idempotency-Key", "one"), ("Idempotency-Key", second)]
        answer = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=lines)
        assert answer.status_code == 422
        assert answer.json()["type"] == "/problems/several-idempotency-keys"


async def test_a_key_belongs_to_its_caller(rest: Rest) -> None:
    _, one = await rest.user(Role.ADMIN)
    _, another = await rest.user(Role.ADMIN)
    assert (await add_exercise(rest, one, "key", "Plank")).status_code == 201
    assert (await add_exercise(rest, another, "key", "Bridge")).status_code == 201


async def test_of_many_at_once_under_one_key_one_happens(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    head = await rest.club.ledger.head()
    answers = await asyncio.gather(*(add_exercise(rest, admin, "one") for _ in range(10)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(201) >= 1
    assert set(statuses) <= {201, 409}
    in_flight = {a.json()["type"] for a in answers if a.status_code == 409}
    assert in_flight <= {"/problems/still-in-flight"}
    assert len({a.content for a in answers if a.status_code == 201}) == 1
    assert await rest.club.ledger.head() == head + 2  # the exercise, and its title's reservation


# --- versions ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_happens_only_at_a_version_that_is_named(rest: Rest, method: str) -> None:
    _, admin = await rest.user(Role.ADMIN)
    exercise = await new_exercise(rest, "Plank")
    await rest.do(ChangeExercise(exercise, {"description": "a"}))
    path, body = f"/exercises/{exercise}/", {"title": "Plank", "description": "b"}
    etag = (await rest.http.get(path, headers=admin)).headers["ETag"]
    head = await rest.club.ledger.head()
    no_match = [
        '"1"',
        f"W/{etag}",
        "2",
        '"02"',
        '"2',
        '""',
        "",
        "garbage",
        '"x", "3"',
        'W/"2", "1"',
    ]
    for given in no_match:
        headers = {**admin, "If-Match": given}
        sent = None if method == "DELETE" else body
        answer = await rest.http.request(method, path, json=sent, headers=headers)
        assert answer.status_code == 412, given
        assert answer.json()["type"] == "/problems/precondition-failed"
        if given == "2":
            assert 'as its ETag, quotes and all: "2"' in answer.json()["detail"]
    assert await rest.club.ledger.head() == head


@pytest.mark.parametrize("given", ["{etag}", "*", " * ", '"1", {etag}', 'W/"1",{etag}', None])
async def test_a_version_matches_alone_in_a_list_and_by_a_star(
    rest: Rest, given: str | None
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    path = f"/exercises/{await new_exercise(rest, 'Plank')}/"
    etag = (await rest.http.get(path, headers=admin)).headers["ETag"]
    headers = admin if given is None else {**admin, "If-Match": given.format(etag=etag)}
    answer = await rest.http.patch(path, json={"description": "b"}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'


async def test_versions_on_several_lines_are_one_list(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    path = f"/exercises/{await new_exercise(rest, 'Plank')}/"
    signed_in = list(admin.items())
    several = [*signed_in, ("If-Match", '"7"'), ("If-Match", '"1"')]
    changed = await rest.http.patch(path, json={"description": "b"}, headers=several)
    assert changed.status_code == 200
    known = [*signed_in, ("If-None-Match", '"7"'), ("If-None-Match", '"2"')]
    assert (await rest.http.get(path, headers=known)).status_code == 304


async def test_a_row_that_the_caller_has_is_not_sent_again(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    path = f"/exercises/{await new_exercise(rest, 'Plank')}/"
    for given in ['"1"', 'W/"1"', '"7", W/"1"', '"7","1"', "*", '"a,b", "1"']:
        answer = await rest.http.get(path, headers={**admin, "If-None-Match": given})
        assert (answer.status_code, answer.content) == (304, b""), given
        assert answer.headers["ETag"] == '"1"'
    for given in ['"2"', 'W/"2"', "1", '"11"', '"01"', '""', "", "garbage", '"x"1"']:
        answer = await rest.http.get(path, headers={**admin, "If-None-Match": given})
        assert answer.status_code == 200, given


async def test_a_row_that_is_not_there_is_not_found_whatever_the_caller_has(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for header in ("If-Match", "If-None-Match"):
        answer = await rest.http.request(
            "GET" if header == "If-None-Match" else "DELETE",
            "/exercises/999/",
            headers={**admin, header: "*"},
        )
        assert answer.status_code == 404


async def test_only_one_of_two_who_saw_the_same_version_changes_it(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    path = f"/exercises/{await new_exercise(rest, 'Plank')}/"
    headers = {**admin, "If-Match": '"1"'}
    answers = await asyncio.gather(
        *(rest.http.patch(path, json={"description": str(n)}, headers=headers) for n in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]


async def test_every_documented_change_obeys_if_match(rest: Rest) -> None:
    """A `"999"` must stop whatever takes If-Match, before it has done anything."""
    scene = await furnished(rest)
    document = (await rest.http.get("/openapi.json")).json()
    ids = {
        "user_id": scene.user,
        "membership_id": scene.membership,
        "client_id": scene.client,
        "exercise_id": scene.exercise,
        "training_id": scene.training,
        "train_id": scene.training,
        "training_plan_id": scene.plan,
        "payment_id": scene.payment,
        "page_link_id": await made(rest, MakePageLinkFor(scene.admin_id)),
    }
    whole: dict[str, Any] = {
        "users": {"username": "ada", "email": "ada@example.com"},
        "memberships": {"price": "1"},
        "clients": client_body(scene.user, scene.membership),
        "exercises": {"title": "Plank"},
        "trainings": {"client_id": scene.client, "title": "Legs"},
        "trainings-exercises": {"order_in_training": 2},
        "training-plans": {"user_id": scene.user, "title": "Autumn"},
        "payments": {"client_id": scene.client, "membership_id": scene.membership},
        "reports": {"daily": True},
        "rules": {},
    }
    head = await rest.club.ledger.head()
    obeyed = {}
    for path, operations in document["paths"].items():
        for method in operations.keys() & {"put", "patch", "delete"}:
            answer = await rest.http.request(
                method,
                path.format(**ids),
                json={"put": whole[path.split("/")[1]], "patch": {}}.get(method),
                headers={**scene.admin, "If-Match": '"999"'},
            )
            obeyed[f"{method} {path}"] = answer.status_code
    assert {route: status for route, status in obeyed.items() if status != 412} == {}
    assert len(obeyed) > 20
    assert await rest.club.ledger.head() == head


# --- positions -----------------------------------------------------------------------------


async def test_a_change_says_where_in_the_ledger_it_is(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    created = await add_exercise(rest, admin, "one")
    path = created.headers["Location"]
    changed = await rest.http.patch(path, json={"description": "b"}, headers=admin)
    deleted = await rest.http.delete(path, headers=admin)
    for answer in (created, changed):
        assert int(answer.headers["Ledger-Position"]) < await rest.club.ledger.head()
    assert int(deleted.headers["Ledger-Position"]) == await rest.club.ledger.head()
    unchanged = await rest.http.patch(
        f"/exercises/{await new_exercise(rest, 'Bridge')}/", json={}, headers=admin
    )
    assert "Ledger-Position" not in unchanged.headers


async def test_a_read_waits_for_the_position_that_it_names(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    asked: list[int] = []

    async def reached(position: int) -> bool:
        asked.append(position)
        return True

    monkeypatch.setattr(rest.club.read_side, "reached", reached)
    headers = {**admin, "Ledger-Position": "17"}
    for path in ("/exercises/", "/users/1/", "/clients/1/training-plans/"):
        asked.clear()
        await rest.http.get(path, headers=headers)
        assert set(asked) == {17}, path


async def test_a_position_that_is_not_reached_in_time_is_not_answered_as_if_it_were(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.read_side.LONGEST_WAIT", 0.05)
    scene = await furnished(rest)
    headers = {**scene.admin, "Ledger-Position": "9" * 18}
    for path in ("/exercises/", f"/users/{scene.user}/", f"/clients/{scene.client}/"):
        answer = await rest.http.get(path, headers=headers)
        assert answer.status_code == 503, path
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["type"] == "/problems/position-not-reached"
        assert "9" * 18 in answer.json()["detail"]


async def test_whoever_only_waits_takes_no_place_and_does_not_wait_too_often(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So neither anybody else nor they themselves are kept from anything that is there."""
    monkeypatch.setattr("infra.following.read_side.LONGEST_WAIT", 5.0)
    _, admin = await rest.user(Role.ADMIN)
    user_id, other = await rest.user()
    headers = {**admin, "Ledger-Position": "9" * 18}
    waiting = [
        asyncio.create_task(rest.http.get("/exercises/", headers=headers))
        for _ in range(MOST_UNDER_WAY + 5)
    ]

    async def served_again() -> bool:
        return (await rest.http.get("/exercises/", headers=admin)).status_code == 200

    await until(served_again, "the burst is only waiting, or refused")
    assert not all(one.done() for one in waiting), "they go on waiting"
    assert (await rest.http.get(f"/users/{user_id}/", headers=other)).status_code == 200
    assert (await add_exercise(rest, admin, "one")).status_code == 201
    answers = await asyncio.gather(*waiting)
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {429, 503}
    assert statuses[503] <= MOST_OF_ONE
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["type"] == "/problems/too-many-at-once"


async def test_whoever_writes_reads_it_at_once_also_in_a_crowd(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)

    async def write_and_read(number: int) -> None:
        created = await add_exercise(rest, admin, f"key {number}", title=f"Exercise {number}")
        path = created.headers["Location"]
        read = await rest.http.get(path, headers=admin)
        assert (read.status_code, read.json()) == (200, created.json())
        listed = await rest.http.get(f"/exercises/?title=Exercise {number}", headers=admin)
        assert listed.json() == [created.json()]
        changed = await rest.http.patch(path, json={"description": "b"}, headers=admin)
        assert (await rest.http.get(path, headers=admin)).json() == changed.json()
        await rest.http.delete(path, headers=admin)
        assert (await rest.http.get(path, headers=admin)).status_code == 404

    async with asyncio.TaskGroup() as tasks:
        for number in range(40):
            tasks.create_task(write_and_read(number))


async def test_the_type_of_a_problem_leads_to_what_it_means(rest: Rest) -> None:
    refused = await rest.http.get("/clients/1/")
    explained = await rest.http.get(refused.json()["type"])
    assert explained.status_code == 200
    assert explained.json() == {
        "type": "/problems/invalid-token",
        "title": "Invalid token",
        "status": 401,
        "detail": "This token is not valid, or not of the kind that is asked for here.",
        "advice": "Sign in (POST /jwt-auth/login/), or exchange the refresh token for another "
        "access token, and send it as `Authorization: Bearer …`.",
    }
    for code, way_out in [
        ("username-taken", "Choose another username"),
        ("email-taken", "signs in instead"),
        ("has-registered", "POST /clients/"),
        ("membership-held", "club rules --shared-memberships"),
        ("user-has-client", "/users/me/"),
    ]:
        taken = (await rest.http.get(f"/problems/{code}")).json()
        assert taken["status"] == 409
        assert way_out in taken["advice"]
    assert (await rest.http.get("/problems/none-of-these")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nowhere/", b""),
        ("PUT", "/health/", b""),
        ("GET", "/users/0/", b""),
        ("POST", "/users/", b"{"),
        ("POST", "/users/", b" " * 1_000_001),
        ("POST", "/users/", b"{}"),
    ],
    ids=["unknown path", "method", "path", "broken JSON", "too large", "fields"],
)
async def test_every_type_of_problem_leads_somewhere(
    rest: Rest, method: str, path: str, body: bytes
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    headers = admin | {"Content-Type": "application/json"}
    refused = (await rest.http.request(method, path, content=body, headers=headers)).json()
    explained = await rest.http.get(refused["type"])
    assert explained.status_code == 200
    assert explained.json()["status"] == refused["status"]
