"""Whatever arrives is answered with a problem that names what is wrong, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from domain.values import Role
from tests.conftest import Rest
from tests.interfaces.rest.scenes import Scene, also, client_body, furnished

HUGE = 10_000_000
JSON = {"Content-Type": "application/json"}
MANY_DIGITS = "9" * 5000


@pytest.fixture
async def scene(rest: Rest) -> AsyncIterator[Scene]:
    """A furnished club, in which nothing happens while the test lasts."""
    scene = await furnished(rest)
    head = await rest.club.ledger.head()
    yield scene
    assert await rest.club.ledger.head() == head, "something was recorded"


def problem(answer: httpx.Response, status: int = 422) -> dict[str, Any]:
    """The problem that the answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("/problems/")
    assert body["title"]
    assert body["detail"]
    return body


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in problem(answer).get("errors", [])]


def bodies(scene: Scene) -> dict[str, dict[str, Any]]:
    """A body that would be taken, for each path to which one is posted."""
    return {
        "/users/": {"username": "ada", "email": "ada@example.com", "password": "long enough"},
        "/memberships/": {"price": "10.00", "access_level": "VIP", "description": "all of it"},
        "/clients/": client_body(scene.admin_id, scene.membership, gender="FEMALE", weight_kg="6"),
        "/exercises/": {"title": "Plank", "equipment_required": False, "muscle_group": "CORE"},
        "/trainings/": {
            "client_id": scene.client,
            "title": "Legs",
            "intensity": "LOW",
            "duration_min": 30,
            "date": "2026-01-31",
        },
        "/trainings/exercice-ids/": {
            "client_id": scene.client,
            "title": "Legs",
            "exercise_ids": [scene.exercise],
        },
        "/trainings-exercises/": {
            "training_id": scene.training,
            "exercise_id": scene.exercise,
            "order_in_training": 1,
            "sets": 3,
            "extra_weight": "2.50",
        },
        "/training-plans/": {"user_id": scene.user, "title": "Spring", "status": "PREPARED"},
        f"/training-plans/{scene.plan}/trainings/": {"training_id": scene.training},
        f"/clients/{scene.client}/training-plans/": {"training_plan_id": scene.plan},
        "/payments/": {
            "client_id": scene.client,
            "membership_id": scene.membership,
            "payment_status": "PAID",
            "timestamp": "2026-01-31T09:00:00Z",
        },
        "/reports/": {"report_date_start": "2026-01-01", "report_date_end": "2026-01-31"},
    }


SENSELESS: list[Any] = [
    {},
    [],
    [None],
    True,
    -1,
    1.5,
    2**31,
    2**63,
    2**70,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "\0",
    "a\0b",
    "\ud800",
    "\U0001f3cb" * 5000,
    "NaN",
    "sNaN",
    "-Infinity",
    "1e9999999",
    "2026-02-30",
    "0000-00-00",
    "99999-01-01",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "'; DROP TABLE users; --",
]
"""Values that make no sense in most fields."""


async def test_no_senseless_value_of_any_field_is_a_fault(rest: Rest) -> None:
    """Some are taken, as any text may be a title; none is a fault, and each no names the field."""
    scene = await furnished(rest)
    for path, body in bodies(scene).items():
        for field in body:
            for value in SENSELESS:
                sent = json.dumps({**body, field: value}).encode()
                answer = await rest.http.post(path, content=sent, headers={**scene.admin, **JSON})
                where = f"{path} {field}={value!r:.40}: {answer.text}"
                assert answer.status_code in {201, 409, 422}, where
                if answer.status_code == 422 and answer.json()["type"] != "/problems/broken-json":
                    found = answer.json()["errors"]
                    assert all(e["pointer"].startswith(f"#/{field}") for e in found), where
                if answer.status_code == 201:
                    read = await rest.http.get(answer.headers["Location"], headers=scene.admin)
                    assert read.status_code == 200, where


NO_NUMBERS = [{}, [], "one", "1", 1.5, -1, 0, 2**31, 2**63, 2**70, None, True]


async def test_a_number_of_something_is_a_whole_number_that_can_be(
    rest: Rest, scene: Scene
) -> None:
    for path, body in bodies(scene).items():
        for field in body.keys() & {"user_id", "client_id", "membership_id", "training_id"}:
            for value in NO_NUMBERS:
                sent = {**body, field: value}
                answer = await rest.http.post(path, json=sent, headers=scene.admin)
                assert pointers(answer) == [f"#/{field}"], value


async def test_an_unknown_reference_is_named(rest: Rest, scene: Scene) -> None:
    for path, body in bodies(scene).items():
        for field in body.keys() & {"user_id", "client_id", "training_id", "training_plan_id"}:
            answer = await rest.http.post(path, json={**body, field: 999_999}, headers=scene.admin)
            assert problem(answer)["type"] == "/problems/unknown-reference"
            assert pointers(answer) == [f"#/{field}"]
            assert "999999" in answer.json()["detail"]


UNFIT: list[tuple[str, str, Any]] = [
    ("/users/", "role", "EMPEROR"),
    ("/users/", "email", "nowhere"),
    ("/users/", "email", f"{'a' * 100}@example.com"),
    ("/users/", "username", "two words"),
    ("/users/", "username", "u" * 51),
    ("/users/", "password", "short"),
    ("/users/", "password", "p" * 129),
    ("/users/", "password", None),
    ("/memberships/", "access_level", "vip"),
    ("/memberships/", "price", "-1"),
    ("/memberships/", "price", "1.001"),
    ("/memberships/", "price", "10000000000"),
    ("/memberships/", "price", "a lot"),
    ("/memberships/", "price", None),
    ("/clients/", "gender", "female"),
    ("/clients/", "status", "GONE"),
    ("/clients/", "status", None),
    ("/clients/", "date_of_birth", "1899-12-31"),
    ("/clients/", "date_of_birth", "2199-12-31"),
    ("/clients/", "date_of_birth", "2001-02-29"),
    ("/clients/", "date_of_birth", "1990-4-1"),
    ("/clients/", "weight_kg", "1000"),
    ("/clients/", "weight_kg", -0.01),
    ("/clients/", "first_name", " "),
    ("/clients/", "first_name", "a\nb"),
    ("/clients/", "last_name", "l" * 81),
    ("/clients/", "phone_number", "call me"),
    ("/exercises/", "title", "t" * 51),
    ("/exercises/", "equipment_required", "true"),
    ("/exercises/", "complexity_lvl", "EASY"),
    ("/exercises/", "description", "d" * 20_001),
    ("/trainings/", "duration_min", 0),
    ("/trainings/", "duration_min", 1441),
    ("/trainings/", "duration_min", "45"),
    ("/trainings/", "date", "2026-13-01"),
    ("/trainings/", "title", "t" * 201),
    ("/trainings/exercice-ids/", "exercise_ids", [1, 1]),
    ("/trainings/exercice-ids/", "exercise_ids", list(range(1, 202))),
    ("/trainings-exercises/", "order_in_training", 0),
    ("/trainings-exercises/", "rest_time_sec", -1),
    ("/training-plans/", "status", "DONE"),
    ("/payments/", "payment_status", "LOST"),
    ("/payments/", "timestamp", "2026-01-31T09:00:00"),
    ("/payments/", "timestamp", "1999-12-31T23:59:59Z"),
    ("/payments/", "timestamp", "2099-12-31T23:59:59Z"),
    ("/payments/", "timestamp", "yesterday"),
    ("/payments/", "timestamp", "2026-01-26T00,5Z"),
    ("/payments/", "timestamp", "2026-01-26T00:00Z"),
    ("/payments/", "timestamp", "20260126T000000Z"),
    ("/payments/", "timestamp", "2026-W05-1T00:00:00Z"),
    ("/payments/", "timestamp", "2026-01-26T00:00:00+0100"),
    ("/payments/", "timestamp", "2026-01-26T00:00:00,5Z"),
    ("/reports/", "report_date_end", "2025-12-31"),
    ("/reports/", "report_date_start", "2026-02-29"),
]


async def test_a_value_that_does_not_fit_is_named(rest: Rest, scene: Scene) -> None:
    for path, field, value in UNFIT:
        body = bodies(scene)[path] | {field: value}
        answer = await rest.http.post(path, json=body, headers=scene.admin)
        assert pointers(answer) == [f"#/{field}"], f"{path} {value!r:.40}"


async def test_an_unknown_field_is_refused_not_ignored(rest: Rest, scene: Scene) -> None:
    for path, body in bodies(scene).items():
        sent = {**body, "password_hash": "x", "id": 7}
        answer = await rest.http.post(path, json=sent, headers=scene.admin)
        assert sorted(pointers(answer)) == ["#/id", "#/password_hash"]


async def test_a_field_that_is_no_text_at_all_is_named_as_well_as_can_be(
    rest: Rest, scene: Scene
) -> None:
    body = json.dumps({**bodies(scene)["/exercises/"], "\ud800~/": 1}).encode()
    answer = await rest.http.post("/exercises/", content=body, headers={**scene.admin, **JSON})
    assert pointers(answer) == ["#"]


NO_OBJECTS = [
    b"",
    b"{",
    b'{"title": "Plank"',
    b'{"title": "Plank",}',
    b"{'title': 'Plank'}",
    b'{"title": "a\nb"}',
    b'{"title": "\xff\xfe"}',
    b"\xff",
    b"\x00",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"title": ' + MANY_DIGITS.encode() + b"}",
    b"null",
    b"[]",
    b'"Plank"',
    b"NaN",
    b"17",
]


async def test_what_is_no_json_object_is_refused(rest: Rest, scene: Scene) -> None:
    for path in bodies(scene):
        for body in NO_OBJECTS:
            if path == "/reports/" and body in {b"", b"null"}:
                continue  # all of it is optional
            answer = await rest.http.post(path, content=body, headers={**scene.admin, **JSON})
            assert pointers(answer) == ["#"], body[:20]


async def test_the_place_where_json_breaks_is_said(rest: Rest, scene: Scene) -> None:
    answer = await rest.http.post(
        "/exercises/", content=b'{"title": Plank}', headers={**scene.admin, **JSON}
    )
    assert problem(answer)["type"] == "/problems/broken-json"
    assert answer.json()["errors"] == [
        {"detail": "Expecting value, at character 10", "pointer": "#"}
    ]


async def test_of_a_key_that_comes_twice_the_last_counts(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    body = b'{"title": "Plank", "title": "Bridge"}'
    answer = await rest.http.post("/exercises/", content=body, headers={**admin, **JSON})
    assert answer.json()["title"] == "Bridge"


NOT_JSON = [
    *("text/plain", "application/xml", "multipart/form-data", "application/jsonp"),
    *("json", "", "\xff"),
]


async def test_a_body_that_is_not_sent_as_json_is_not_read(rest: Rest, scene: Scene) -> None:
    for path, body in bodies(scene).items():
        for content_type in NOT_JSON:
            headers = also(scene.admin, "Content-Type", content_type.encode("latin-1"))
            answer = await rest.http.post(path, content=json.dumps(body), headers=headers)
            assert "application/json" in problem(answer, 415)["detail"]


async def test_json_is_read_under_its_other_names(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for number, name in enumerate(
        ("application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json")
    ):
        body = json.dumps({"title": f"Plank {number}"})
        headers = {**admin, "Content-Type": name}
        answer = await rest.http.post("/exercises/", content=body, headers=headers)
        assert answer.status_code == 201


async def test_ten_megabytes_are_refused(rest: Rest, scene: Scene) -> None:
    body = json.dumps({"title": "x" * HUGE}).encode()
    for path in bodies(scene):
        answer = await rest.http.post(path, content=body, headers={**scene.admin, **JSON})
        assert "1000000 bytes" in problem(answer, 413)["detail"]


async def test_ten_megabytes_that_come_in_pieces_are_refused_before_they_are_all_here(
    rest: Rest, scene: Scene
) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"title": "'
        for _ in range(100):
            sent += 1
            yield b"x" * 100_000

    headers = {**scene.admin, **JSON}
    answer = await rest.http.post("/exercises/", content=pieces(), headers=headers)
    problem(answer, 413)
    assert sent <= 100


JUNK = [
    "%00",
    "%0a",
    "%ff",
    "%ed%a0%80",
    "%f0%9f%8f%8b",
    "%2e%2e%2fetc",
    "one",
    "0",
    "-1",
    "1.5",
    "1e3",
    "0x1",
    "null",
    "2147483648",
    "9223372036854775808",
    MANY_DIGITS,
    quote("'; DROP TABLE users; --"),
    "%253Cscript%253E",
    "%",
    "%zz",
]


GROUPS = ("users", "memberships", "clients", "exercises", "trainings", "training-plans", "payments")


async def test_a_number_in_a_path_is_one_that_can_be(rest: Rest, scene: Scene) -> None:
    for group in (*GROUPS, "reports", "trainings/exercice-ids"):
        for junk in JUNK:
            answer = await rest.http.get(f"/{group}/{junk}/", headers=scene.admin)
            assert answer.status_code in {404, 422}, f"/{group}/{junk}/: {answer.text}"
            problem(answer, answer.status_code)


NO_DIGITS = ["1_0", "+1", "%201", "1%20", "1.0", "%EF%BC%91", "%D9%A1", "%C2%B2", "1%0A", "--1"]


async def test_a_number_is_made_of_digits_alone(rest: Rest, scene: Scene) -> None:
    for group in (*GROUPS, "reports", "trainings/exercice-ids"):
        for text in NO_DIGITS:
            answer = await rest.http.get(f"/{group}/{text}/", headers=scene.admin)
            assert pointers(answer)[0].startswith("#/path/"), (group, text)
    for query in ("client_id", "duration_min", "limit"):
        for text in NO_DIGITS:
            answer = await rest.http.get(f"/trainings/?{query}={text}", headers=scene.admin)
            assert pointers(answer) == [f"#/query/{query}"], text
    for text in NO_DIGITS:
        path = f"/trainings-exercises/{scene.exercise}/?training_id={text}"
        answer = await rest.http.delete(path, headers=scene.admin)
        assert pointers(answer) == ["#/query/training_id"], text


async def test_a_number_of_nothing_is_not_found(rest: Rest, scene: Scene) -> None:
    for group in GROUPS:
        for method in ("GET", "DELETE"):
            answer = await rest.http.request(method, f"/{group}/2147483647/", headers=scene.admin)
            assert problem(answer, 404)["type"] == "/problems/not-found"
            assert "2147483647" in answer.json()["detail"]


NOT_ASKED_FOR = [
    ("/users/", "username=%00", "username"),
    ("/users/", "email=a%00b", "email"),
    ("/users/", "role=EMPEROR", "role"),
    ("/users/", "password_hash=x", "password_hash"),
    ("/clients/", "first_name=%00", "first_name"),
    ("/clients/", "last_name=%00", "last_name"),
    ("/clients/", "phone_number=%00", "phone_number"),
    ("/clients/", "user_id=2147483648", "user_id"),
    ("/clients/", "user_id=0", "user_id"),
    ("/clients/", f"user_id={MANY_DIGITS}", "user_id"),
    ("/clients/", "gender=%ff", "gender"),
    ("/clients/", "status=active", "status"),
    ("/clients/", "date_of_birth=2001-02-29", "date_of_birth"),
    ("/exercises/", "title=%00", "title"),
    ("/exercises/", "equipment_required=perhaps", "equipment_required"),
    ("/trainings/", "title=%00", "title"),
    ("/trainings/", "duration_min=0", "duration_min"),
    ("/trainings/", "date=tomorrow", "date"),
    ("/training-plans/", "title=%00", "title"),
    ("/training-plans/", "status=%27", "status"),
    ("/payments/", "payment_status=LOST", "payment_status"),
    ("/users/for-report/", "from_date=1", "from_date"),
    ("/users/for-report/", "to_date=2026-02-30", "to_date"),
    ("/users/for-report/", "from_date=2026-02-02&to_date=2026-02-01", "to_date"),
    ("/users/for-report/", "from_date=20260201", "from_date"),
    ("/reports/", "report_date_end=2026-02-01&report_date_start=2026-02-02", "report_date_end"),
    ("/users/for-report/", "sort=id", "sort"),
    ("/exercises/", "equipment_required=yes", "equipment_required"),
    ("/exercises/", "equipment_required=1", "equipment_required"),
    ("/exercises/", "total=True", "total"),
    ("/exercises/", "total=on", "total"),
    ("/payments/second-collections/", "returned=f", "returned"),
    ("/reports/", "report_date_start=x", "report_date_start"),
    ("/exercises/", "limit=0", "limit"),
    ("/exercises/", "limit=501", "limit"),
    ("/exercises/", "limit=many", "limit"),
    ("/exercises/", f"limit={MANY_DIGITS}", "limit"),
    ("/exercises/", "sort=colour", "sort"),
    ("/exercises/", "sort=--id", "sort"),
    ("/exercises/", "sort=id%3BDROP", "sort"),
    ("/exercises/", "sort=", "sort"),
    ("/exercises/", "total=perhaps", "total"),
    ("/exercises/", "page=2", "page"),
    ("/exercises/", "%00=1", "\0"),
    ("/exercises/", "%ed%a0%80=1", "\ufffd\ufffd\ufffd"),
    ("/exercises/", f"after={'A' * 2001}", "after"),
]


async def test_what_a_list_does_not_take_is_named(rest: Rest, scene: Scene) -> None:
    for path, query, name in NOT_ASKED_FOR:
        answer = await rest.http.get(f"{path}?{query}", headers=scene.admin)
        assert pointers(answer) == [f"#/query/{name}"], query[:40]


WRITTEN_OTHERWISE: list[tuple[str, dict[str, str], str]] = [
    ("/clients/", {"phone_number": "abc"}, "a phone number: digits"),
    ("/clients/", {"date_of_birth": "1800-01-01"}, "between 1900 and 2199"),
    ("/clients/", {"date_of_birth": "1.4.1990"}, "written as 1990-04-01"),
    ("/users/", {"username": "m i a"}, "without blanks"),
]


async def test_nobody_is_shown_a_regular_expression(rest: Rest, scene: Scene) -> None:
    for path, wrong, said in WRITTEN_OTHERWISE:
        answer = await rest.http.post(path, json=bodies(scene)[path] | wrong, headers=scene.admin)
        assert said in problem(answer)["detail"]
        assert "pattern" not in answer.text
    sorted_by = await rest.http.get("/memberships/?sort=name", headers=scene.admin)
    columns = "one of id, access_level, price, the greatest first after a -"
    assert columns in problem(sorted_by)["detail"]
    hidden = await rest.http.get("/exercises/?title=%00", headers=scene.admin)
    assert "the form that is documented" in problem(hidden)["detail"]


async def test_what_a_list_takes_is_said_where_it_is_asked_for_something_else(
    rest: Rest, scene: Scene
) -> None:
    answer = await rest.http.get("/memberships/offers/?offer=3")
    assert problem(answer)["detail"].endswith("there are limit, after, total, sort, access_level")
    misspelt = await rest.http.get("/reports/moneys/", headers=scene.admin)
    assert "one of clients, cohorts, money, trainings" in problem(misspelt)["detail"]
    plus = await rest.http.get(
        f"/clients/{scene.client}/?as_of=2026-01-01T06:22:45+01:00", headers=scene.admin
    )
    assert "+ of its offset written %2B" in problem(plus)["detail"]


async def test_what_a_route_does_not_take_is_named(rest: Rest, scene: Scene) -> None:
    for method, path in [
        ("GET", f"/clients/{scene.client}/"),
        ("DELETE", f"/clients/{scene.client}/"),
        ("DELETE", f"/trainings-exercises/{scene.exercise}/"),
    ]:
        answer = await rest.http.request(method, f"{path}?trainingid=1", headers=scene.admin)
        assert pointers(answer) == ["#/query/trainingid"]


async def test_a_key_or_a_position_that_makes_no_sense_is_named(rest: Rest, scene: Scene) -> None:
    for key in (b"", b'""', b"k" * 256, b"\xff", b"a\tb"):
        headers = also(scene.admin, "Idempotency-Key", key)
        answer = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=headers)
        assert pointers(answer) == ["#/Idempotency-Key"], key
    for position in (b"soon", b"-1", b"\xb2", b"9" * 19):
        headers = also(scene.admin, "Ledger-Position", position)
        answer = await rest.http.get("/exercises/", headers=headers)
        assert pointers(answer) == ["#/Ledger-Position"], position


async def test_headers_that_nobody_reads_may_be_anything(rest: Rest, scene: Scene) -> None:
    headers = also(scene.admin, "X-Odd", b"\xff\xfe" * 25_000)
    answer = await rest.http.get("/exercises/", headers=headers)
    assert answer.status_code == 200


async def asked_rawly(rest: Rest, **scope: Any) -> tuple[int, bytes]:
    """What the app says to a request that no HTTP client would send."""
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    asked = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/exercises/",
        "raw_path": b"/exercises/",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        **scope,
    }
    await rest.http._transport.app(asked, receive, send)  # type: ignore[attr-defined]
    return said[0]["status"], b"".join(m.get("body", b"") for m in said[1:])


PATHS = ("/exercises/", "/exercises", "/nowhere/", "/clients/x/", "/exercises/?")


async def test_any_host_and_any_query_is_answered(rest: Rest, scene: Scene) -> None:
    authorization = (b"authorization", scene.admin["Authorization"].encode())
    for path in PATHS:
        for host in (b"", b"[", b"[::1", b"club:99999", b"a b", b"\xff", b"x" * 5000):
            headers = [(b"host", host), authorization]
            status, _ = await asked_rawly(rest, path=path, headers=headers)
            assert status in {200, 307, 404, 422}, (path, host[:10])
        for query in (b"\xff", b"limit=\xff", b"%", b"&&&=", b"a" * 100_000):
            status, _ = await asked_rawly(
                rest, path=path, query_string=query, headers=[authorization]
            )
            assert status in {200, 307, 404, 422}, (path, query[:10])
