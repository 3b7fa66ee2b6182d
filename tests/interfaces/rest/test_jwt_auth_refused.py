"""Whatever else arrives at the door is refused in clear words, and opens no session."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from domain.values import Role
from infra.secrets.tokens import AUDIENCE, REFRESH_AUDIENCE
from infra.settings import Settings
from tests.acceptance.service import Service
from tests.conftest import Rest
from tests.interfaces.rest.forging import INVALID, Forge
from tests.interfaces.rest.scenes import new_session
from tests.interfaces.rest.serving import served
from tests.interfaces.rest.signing_in import PASSWORD, Door, problem

HUGE = 10_000_000
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NOBODYS = "A" * 43
"""A login token that nobody was given."""

BODIES: dict[str, dict[str, Any]] = {
    "login": {"username": "ada", "password": PASSWORD},
    "verification": {"login_token": NOBODYS, "code": "123456"},
    "get-access-token": {"refresh_token": "one"},
    "logout": {"session_id": 1},
}
"""What each route takes."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a club that shows codes on its console, and has patience."""
    return settings.model_copy(
        update={
            "console_codes": True,
            "attempts_per_account": 100_000,
            "attempts_per_address": 100_000,
        }
    )


@pytest.fixture
async def closed(door: Door) -> AsyncIterator[Door]:
    """The door of a club with one user, whose only session no attempt may end or add to."""
    door.http.headers.update((await door.rest.user(username="ada", password=PASSWORD))[1])
    await new_session(door.rest, 1)
    happened = await door.rest.club.ledger.head()
    yield door
    left = await door.rest.club.postgres.rows(
        "SELECT topic FROM ledger_events WHERE notification_id > %s AND topic <> 'sign-in.failed'",
        [happened],
    )
    assert left == [], "something was recorded"


# --- bodies --------------------------------------------------------------------------------------

NO_TEXTS: list[Any] = [None, 1, 1.5, True, [], {}, ["ada"], "", "\0", "a\0b", "x" * 5000, "\ud800"]
NO_TOKENS: list[Any] = [None, 1, 1.5, True, [], {}, "", "x" * 5000, "\ud800"]
NO_CODES: list[Any] = [
    *(None, 123456, 1e5, True, [], {}, "", "12345", "1234567", "12345a", " 123456", "123456\n"),
    *("\u0661\u0662\u0663\u0664\u0665\u0666", "-12345", "1e1000", "\0" * 6, "\ud800", "1" * 5000),
]
NO_NUMBERS: list[Any] = [None, "1", 0, -1, 1.5, True, [], {}, 2**31, 2**63, 10**400, float("nan")]
SENSELESS = [
    ("login", "username", NO_TEXTS),
    ("login", "password", [value for value in NO_TEXTS if "\0" not in str(value)]),
    ("verification", "login_token", NO_TOKENS),
    ("verification", "code", NO_CODES),
    ("get-access-token", "refresh_token", NO_TOKENS),
    ("logout", "session_id", NO_NUMBERS),
]


async def test_a_value_that_makes_no_sense_is_named(closed: Door) -> None:
    for step, field, values in SENSELESS:
        for value in values:
            sent = json.dumps({**BODIES[step], field: value}).encode()
            answer = await closed.http.post(f"/jwt-auth/{step}/", content=sent, headers=JSON)
            where = f"{step} {field}={value!r:.20}: {answer.text:.300}"
            assert answer.status_code == 422, where
            if answer.json()["type"] != "/problems/broken-json":
                assert [e["pointer"] for e in answer.json()["errors"]] == [f"#/{field}"], where
            assert "xxxxx" not in answer.text


async def test_a_field_that_is_missing_or_unknown_is_named(closed: Door) -> None:
    for step, body in BODIES.items():
        extra = await closed.post(step, {**body, "user_id": 7})
        assert [e["pointer"] for e in extra.json()["errors"]] == ["#/user_id"]
        for field in body:
            less = await closed.post(step, {k: v for k, v in body.items() if k != field})
            found = problem(less, 422, "invalid-request")
            assert [e["pointer"] for e in found["errors"]] == [f"#/{field}"]
    grant = await closed.post("login", {**BODIES["login"], "grant_type": "password"})
    problem(grant, 422, "invalid-request")


NO_OBJECTS = [
    *(b"{", b"{'username': 'ada'}", b'{"username": "ada",}', b'{"password": "\xff"}', b"\xff"),
    *(b"\x00", b"[" * 100_000, b'{"a":' * 50_000, b'{"a": ' + b"9" * 5000 + b"}"),
    *(b"[]", b'"ada"', b"17", b"NaN", b"true"),
]


async def test_what_is_no_json_object_is_refused(closed: Door) -> None:
    for step in BODIES:
        for body in NO_OBJECTS if step == "logout" else [*NO_OBJECTS, b"", b"null"]:
            answer = await closed.http.post(f"/jwt-auth/{step}/", content=body, headers=JSON)
            assert answer.status_code == 422, (step, body[:20], answer.text)
            # Of the object of many digits, a form may also say that there is no such field.
            assert all(
                e["pointer"] in {"#", "#/a"} or b"9999" in body for e in answer.json()["errors"]
            )


NOT_JSON = [
    *("text/plain", "application/xml", "multipart/form-data; boundary=x", "multipart/form-data"),
    *("application/jsonp", "json", "", "application/x-www-form-urlencoded2", "\xff"),
]


async def test_a_body_of_another_type_is_not_read(closed: Door) -> None:
    for step, body in BODIES.items():
        for kind in NOT_JSON:
            raw = {b"Content-Type": kind.encode("latin-1")}
            answer = await closed.http.post(
                f"/jwt-auth/{step}/", content=json.dumps(body), headers=raw
            )
            assert "application/json" in problem(answer, 415, "unsupported-media-type")["detail"]
        if step != "login":
            answer = await closed.http.post(f"/jwt-auth/{step}/", data={"a": "b"})
            problem(answer, 415, "unsupported-media-type")


FORMS: dict[bytes, str] = {
    b"": "#/username #/password",
    b"&&&===": "#/username #/password",
    b"username=ada": "#/password",
    b"username=ada&password=": "#/password",
    b"username=&password=x": "#/username",
    b"username=%00&password=x": "#/username",
    b"username=ada&password=" + b"x" * 129: "#/password",
    b"username=ada&password=%ff": "#",
    b"username=ada&password=\xff": "#",
    b"username=ada&password=%ed%a0%80": "#",
    b"\xff=1&username=ada&password=x": "#",
    b"a=1&" * 100 + b"username=ada&password=x": "#",
    b"a&" * 400_000: "#",
    b'{"username": "ada", "password": "x"}': "#/username #/password",
}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: repr(form[:30]))
async def test_a_form_that_cannot_be_read_is_refused(closed: Door, form: bytes) -> None:
    answer = await closed.http.post("/jwt-auth/login/", content=form, headers=FORM)
    found = problem(answer, 422, "invalid-request")
    assert sorted(e["pointer"] for e in found["errors"]) == sorted(FORMS[form].split())


@pytest.mark.parametrize("form", [b"username=ada&password=%", b"username=%zz&password=%4"])
async def test_a_percent_sign_that_encodes_nothing_is_one(closed: Door, form: bytes) -> None:
    answer = await closed.http.post("/jwt-auth/login/", content=form, headers=FORM)
    problem(answer, 401, "wrong-credentials")


async def test_ten_megabytes_are_refused(closed: Door) -> None:
    for step, body in BODIES.items():
        sent = json.dumps({**body, "more": "x" * HUGE}).encode()
        answer = await closed.http.post(f"/jwt-auth/{step}/", content=sent, headers=JSON)
        problem(answer, 413, "request-entity-too-large")
    form = b"username=ada&password=" + b"x" * HUGE
    answer = await closed.http.post("/jwt-auth/login/", content=form, headers=FORM)
    problem(answer, 413, "request-entity-too-large")


async def test_nothing_is_taken_from_the_query(closed: Door) -> None:
    """Secrets in an address end up in logs; and what is not documented is refused."""
    for step, body in BODIES.items():
        for name, value in {**body, "grant_type": "password"}.items():
            path = f"/jwt-auth/{step}/"
            answer = await closed.http.post(path, json=body, params={name: value})
            found = problem(answer, 422, "invalid-request")
            assert [e["pointer"] for e in found["errors"]] == [f"#/query/{name}"]
    answer = await closed.http.get("/jwt-auth/sessions/?trainingid=1")
    assert [e["pointer"] for e in answer.json()["errors"]] == ["#/query/trainingid"]


async def test_other_methods_are_refused_by_name(closed: Door) -> None:
    for step in BODIES:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = await closed.http.request(method, f"/jwt-auth/{step}/")
            problem(answer, 405, "method-not-allowed")
            assert answer.headers["Allow"] == "POST"


async def test_a_number_of_a_user_in_a_path_is_one_that_can_be(closed: Door) -> None:
    for junk in ("%00", "one", "0", "-1", "1.5", "2147483648", "9" * 5000, "%ff", "%2e%2e"):
        answer = await closed.http.delete(f"/users/{junk}/telegram/")
        assert answer.status_code in {404, 422}, answer.text


# --- tokens --------------------------------------------------------------------------------------


async def test_no_forged_token_is_exchanged(closed: Door) -> None:
    forge = Forge.of_refresh(closed.rest, 1, 1)
    exchanged = {}
    for what, forged in INVALID.items():
        answer = await closed.refresh(forged(forge))
        if not (answer.status_code == 401 or (what == "huge" and answer.status_code == 422)):
            exchanged[what] = answer.text
    assert exchanged == {}


UNREADABLE = {
    "no generation": {"generation": None},
    "generation zero": {"generation": 0},
    "a negative generation": {"generation": -1},
    "a generation that is text": {"generation": "1"},
    "a generation that is true": {"generation": True},
    "half a generation": {"generation": 1.0},
    "a list of generations": {"generation": [1]},
    "no session": {"sid": None},
}


@pytest.mark.parametrize("claims", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_refresh_token_names_a_session_and_a_generation(
    closed: Door, claims: dict[str, Any]
) -> None:
    forge = Forge.of_refresh(closed.rest, 1, 1)
    problem(await closed.refresh(forge.token(forge.claims(**claims))), 401, "invalid-token")


async def test_a_session_that_was_never_opened_is_not_refreshed(closed: Door) -> None:
    for number in (999, 2**31, 9_999_999_999):
        forge = Forge.of_refresh(closed.rest, 1, number)
        problem(await closed.refresh(forge.token()), 401, "session-ended")


async def test_each_kind_of_token_is_good_for_one_thing_only(door: Door) -> None:
    ada = await door.register()
    login_token = await door.log_in()
    inside = await door.enter(ada)
    head = await door.rest.club.ledger.head()
    for token in (inside.access_token, login_token):
        problem(await door.refresh(token), 401, "invalid-token")
    for token in (inside.access_token, inside.refresh_token):
        answer = await door.post("verification", {"login_token": token, "code": "000000"})
        problem(answer, 401, "login-ended")
    for token in (inside.refresh_token, login_token):
        headers = {"Authorization": f"Bearer {token}"}
        for method, path in [
            ("GET", f"/users/{ada}/"),
            ("GET", "/jwt-auth/sessions/"),
            ("POST", "/jwt-auth/logout/"),
            ("DELETE", f"/users/{ada}/telegram/"),
        ]:
            answer = await door.http.request(method, path, headers=headers)
            problem(answer, 401, "invalid-token")
    assert await door.rest.club.ledger.head() == head
    assert (await door.refresh(inside.refresh_token)).status_code == 200


async def test_the_audience_alone_makes_no_other_kind_of_a_token(closed: Door) -> None:
    refresh = Forge.of_refresh(closed.rest, 1, 1)
    as_access = refresh.token(refresh.claims(aud=[AUDIENCE, REFRESH_AUDIENCE]))
    answer = await closed.http.get("/users/1/", headers={"Authorization": f"Bearer {as_access}"})
    problem(answer, 401, "invalid-token")
    access = Forge.of_access(closed.rest, 1, sid="1", generation=1)
    as_refresh = access.token(access.claims(aud=[AUDIENCE, REFRESH_AUDIENCE]))
    problem(await closed.refresh(as_refresh), 401, "invalid-token")


async def test_a_login_token_that_nobody_was_given_is_good_for_nothing(closed: Door) -> None:
    for token in (NOBODYS, "1", "\u00e9", "..", "x" * 4096, "login:1", "*"):
        answer = await closed.post("verification", {"login_token": token, "code": "123456"})
        problem(answer, 401, "login-ended")


# --- what the answers tell -----------------------------------------------------------------------


def told(answer: httpx.Response) -> tuple[bytes, list[tuple[str, str]]]:
    """All that an answer says, but for the id of the request."""
    headers = [(k, v) for k, v in answer.headers.multi_items() if k != "x-request-id"]
    return answer.content, headers


async def test_an_unknown_user_and_a_wrong_password_are_told_the_same(door: Door) -> None:
    await door.register()
    await door.register("gone")
    _, admin = await door.rest.user(username="boss", role=Role.ADMIN)
    deleted = await door.http.delete("/users/2/", headers=admin)
    assert deleted.status_code == 204
    answers = [
        await door.post("login", {"username": name, "password": password})
        for name, password in [
            ("ada", "wrong password"),
            ("nobody", "wrong password"),
            ("nobody", PASSWORD),
            ("gone", PASSWORD),
            ("no such name: \U0001f3cb", "p"),
        ]
    ]
    for answer in answers:
        problem(answer, 401, "wrong-credentials")
    assert len({str(told(answer)) for answer in answers}) == 1


CODES = {
    "wrong-credentials": 401,
    "login-ended": 401,
    "wrong-code": 401,
    "session-ended": 401,
    "invalid-token": 401,
    "no-session": 409,
    "no-telegram": 409,
    "foreign-telegram": 409,
    "link-ended": 404,
    "link-unreadable": 422,
    "too-many-attempts": 429,
    "no-code-channel": 503,
    "channel-unavailable": 503,
    "store-unavailable": 503,
}


async def test_every_refusal_at_the_door_is_explained(rest: Rest) -> None:
    for code, status in CODES.items():
        explained = await rest.http.get(f"/problems/{code}")
        assert explained.status_code == 200, code
        assert explained.json()["status"] == status, code
        assert explained.json()["detail"].endswith("."), code


# --- limits --------------------------------------------------------------------------------------

IN_STEPS = re.compile(r'"(account|address)";q=([0-9]+);w=([0-9]+)')
LEFT = re.compile(r'"(account|address)";r=([0-9]+);t=([0-9]+)')


def limits(answer: httpx.Response) -> dict[str, tuple[int, int, int, int]]:
    """Quota, window, left and reset of each limit, as two lists of RFC 9651 say them."""
    policies = [IN_STEPS.fullmatch(item) for item in answer.headers["RateLimit-Policy"].split(", ")]
    lefts = [LEFT.fullmatch(item) for item in answer.headers["RateLimit"].split(", ")]
    found = {}
    for policy, left in zip(policies, lefts, strict=True):
        assert policy is not None
        assert left is not None
        assert policy[1] == left[1]
        found[policy[1]] = (int(policy[2]), int(policy[3]), int(left[2]), int(left[3]))
    return found


class TestLimits:
    """A club that allows three attempts an account and five an address."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(
            update={
                "attempts_per_account": 3,
                "attempts_per_address": 5,
                "attempts_window_seconds": 60,
            }
        )

    async def attempt(
        self, door: Door, name: str, address: str = "203.0.113.1", **headers: str
    ) -> httpx.Response:
        app = door.rest.http._transport.app  # type: ignore[attr-defined]
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
            body = {"username": name, "password": "wrong password"}
            return await http.post("/jwt-auth/login/", json=body, headers=headers)

    def refused(self, answer: httpx.Response, name: str) -> None:
        found = problem(answer, 429, "too-many-attempts")
        quota, window, left, reset = limits(answer)[name]
        assert (left, window) == (0, 60)
        assert quota == {"account": 3, "address": 5}[name]
        assert 0 < reset <= 60
        assert answer.headers["Retry-After"] == str(reset)
        assert f"in {reset} seconds" in found["detail"]

    async def test_an_account_is_tried_only_so_often_from_one_address(self, door: Door) -> None:
        await door.register()
        for name in ("ada", "ADA", " ada "):
            problem(await self.attempt(door, name), 401, "wrong-credentials")
        self.refused(await self.attempt(door, "Ada"), "account")
        right = await door.post("login", {"username": "ada", "password": PASSWORD})
        assert right.status_code == 200, "its owner is somewhere else"
        assert (await self.attempt(door, "grace")).status_code == 401

    async def test_an_unknown_account_has_the_same_limit(self, door: Door) -> None:
        await door.register()
        for name in ("ada", "nobody"):
            statuses = [
                (await self.attempt(door, name, f"203.0.113.{len(name)}")).status_code
                for _ in range(5)
            ]
            assert statuses == [401, 401, 401, 429, 429]

    async def test_an_address_tries_only_so_often_whatever_it_says_of_itself(
        self, door: Door
    ) -> None:
        for n in range(5):
            answer = await self.attempt(
                door, f"user{n}", **{"X-Forwarded-For": f"198.51.100.{n}", "Forwarded": f"for={n}"}
            )
            problem(answer, 401, "wrong-credentials")
        forwarded = {"X-Forwarded-For": "198.51.100.9", "X-Real-IP": "198.51.100.9"}
        answer = await self.attempt(door, "user9", **forwarded)
        self.refused(answer, "address")
        assert limits(answer).keys() == {"address"}
        assert (await self.attempt(door, "user9", "203.0.113.2")).status_code == 401

    async def test_a_network_of_ipv6_counts_as_one_address(self, door: Door) -> None:
        for n in range(5):
            answer = await self.attempt(door, f"user{n}", f"2001:db8:0:1::{n}")
            problem(answer, 401, "wrong-credentials")
        self.refused(await self.attempt(door, "user9", "2001:db8:0:1:ffff::1"), "address")
        assert (await self.attempt(door, "user9", "2001:db8:0:2::1")).status_code == 401

    async def test_who_is_let_on_is_told_what_is_left(self, door: Door) -> None:
        await door.register()
        for left in (2, 1, 0):
            answer = await door.post("login", {"username": "ada", "password": PASSWORD})
            assert answer.status_code == 200
            found = limits(answer)
            assert list(found) == ["account", "address"]
            assert found["account"][:3] == (3, 60, left)
            assert found["address"][:3] == (5, 60, left + 2)
        self.refused(await door.post("login", {"username": "ada", "password": PASSWORD}), "account")

    async def test_codes_are_tried_only_so_often_from_one_address(self, door: Door) -> None:
        await door.register()
        shown = {"login_token": await door.log_in(), "code": door.code()}
        for _ in range(5):
            answer = await door.post("verification", {**shown, "login_token": NOBODYS})
            problem(answer, 401, "login-ended")
        self.refused(await door.post("verification", shown), "address")
        assert await door.opened() == 0

    async def test_what_is_not_understood_is_not_counted(self, door: Door) -> None:
        await door.register()
        for _ in range(6):
            problem(await door.post("login", {"username": "ada"}), 422, "invalid-request")
            problem(await door.post("verification", {}), 422, "invalid-request")
        assert (await door.verify())["session_id"] == 1


# --- from where ----------------------------------------------------------------------------------


@pytest.fixture
def service(database: str, tmp_path: Path, settings: Settings) -> Iterator[Service]:
    """A `club run` of its own on the test's database, which trusts no proxies."""
    given = {"CLUB_DATABASE_URL": database, "CLUB_CONSOLE_CODES": "true", "CLUB_LOG_LEVEL": "error"}
    service = Service(tmp_path / "home", **given)
    yield service
    service.close()


def origins(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT state FROM ledger_events WHERE topic = 'sign-in.failed' "
            "ORDER BY notification_id"
        ).fetchall()
    return [orjson.loads(state)["origin"] for (state,) in rows]


def fail_to_sign_in(service: Service, forwarded: list[str]) -> None:
    with service.http() as http:
        for text in forwarded:
            body = {"username": "ada", "password": "wrong password"}
            answer = http.post("/jwt-auth/login/", json=body, headers={"X-Forwarded-For": text})
            problem(answer, 401, "wrong-credentials")


def test_nobody_is_believed_where_they_say_they_are(service: Service, database: str) -> None:
    service.start()
    fail_to_sign_in(service, ["203.0.113.7", "127.0.0.1, 203.0.113.7", "garbage"])
    assert origins(database) == ["127.0.0.1"] * 3


def test_a_trusted_proxy_is_believed_who_came_to_it(service: Service, database: str) -> None:
    service.environment = {**service.environment, "CLUB_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"}
    service.start()
    made_up = "192.0.2.99"
    fail_to_sign_in(service, ["203.0.113.7", f"{made_up}, 203.0.113.8, 10.1.2.3", "2001:db8::7"])
    assert origins(database) == ["203.0.113.7", "203.0.113.8", "2001:db8::7"]


# --- what a server passes on ---------------------------------------------------------------------


async def asked_rawly(url: str, agent: bytes) -> int:
    """The status that is answered to a program that says this is what it is."""
    reading, writing = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    body = json.dumps({"username": "nobody", "password": "x"}).encode()
    writing.write(
        b"POST /jwt-auth/login/ HTTP/1.1\r\nHost: club\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n"
        b"User-Agent: %b\r\n\r\n%b" % (len(body), agent, body)
    )
    answer = await reading.read()
    writing.close()
    await writing.wait_closed()
    return int(answer.split(b" ")[1])


async def test_no_byte_that_the_read_tables_cannot_keep_comes_through_the_server(
    rest: Rest,
) -> None:
    async with served(rest.club) as url:
        statuses = [await asked_rawly(url, agent) for agent in (b"\0", b"a\0b", b"\x01", b"a\xff")]
    assert statuses == [400, 400, 400, 401]


async def test_what_a_program_says_it_is_may_be_any_other_bytes(door: Door) -> None:
    ada = await door.register()
    for agent in (b"", b"\xff\xfe", b"\xed\xa0\x80", b"x" * 100_000):
        shown = {"login_token": await door.log_in(), "code": door.code()}
        headers = {b"User-Agent": agent}
        opened = await door.post("verification", shown, headers=headers)
        assert opened.status_code == 200
    sessions = await door.http.get("/jwt-auth/sessions/", headers=door.rest.token(ada))
    agents = [session["agent"] for session in sessions.json()]
    assert agents == ["", "\xff\xfe", "\xed\xa0\x80", "x" * 200]
