"""A walk-in over REST: from the front desk to the first sign-in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.values import Role
from infra.settings import Settings
from tests.conftest import Rest
from tests.interfaces.rest.scenes import Headers, new_membership, walk_in_body
from tests.interfaces.rest.signing_in import PASSWORD, Door, problem

WALK_INS = "/clients/walk-ins/"
FIRST_PASSWORD = "/jwt-auth/first-password/"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a club that shows codes on its console."""
    return settings.model_copy(update={"console_codes": True, "attempts_per_account": 5})


@pytest.fixture
async def desk(rest: Rest) -> Headers:
    """The front desk."""
    return (await rest.user(Role.STAFFER))[1]


async def test_who_walks_in_signs_in_with_a_password_of_their_own(
    rest: Rest, door: Door, desk: Headers
) -> None:
    body = walk_in_body(await new_membership(rest), paid=True, last_name="Müller")
    answer = await rest.http.post(WALK_INS, json=body, headers=desk)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    shown = answer.json()
    told = shown["first_sign_in"]
    assert told["username"] == "ada.mueller"
    assert told["path"] == FIRST_PASSWORD

    chosen = {"username": told["username"], "code": told["code"], "password": PASSWORD}
    answered = await rest.http.post(told["path"], json=chosen)
    assert (answered.status_code, answered.json()) == (200, {"username": "ada.mueller"})
    assert answered.headers["Cache-Control"] == "no-store"
    again = await rest.http.post(told["path"], json=chosen | {"password": "another password"})
    problem(again, 401, "first-code-void")

    inside = await door.enter(shown["user"]["id"], "ada.mueller")
    client = await rest.http.get(answer.headers["Location"], headers=inside.signed_in)
    assert client.json() == shown["client"]
    payment = await rest.http.get(f"/payments/{shown['payment']['id']}/", headers=inside.signed_in)
    assert payment.json() == shown["payment"]
    admission = await rest.http.get(
        f"{answer.headers['Location']}admission/", headers=inside.signed_in
    )
    assert admission.json()["provisional"] is False


async def test_before_that_nobody_signs_in(rest: Rest, door: Door, desk: Headers) -> None:
    body = walk_in_body(await new_membership(rest))
    told = (await rest.http.post(WALK_INS, json=body, headers=desk)).json()["first_sign_in"]
    for password in ("anything", told["code"]):
        shown = {"username": told["username"], "password": password}
        problem(await door.post("login", shown), 401, "wrong-credentials")


async def test_a_request_that_is_repeated_takes_in_nobody_again_and_tells_no_code(
    rest: Rest, desk: Headers
) -> None:
    body = walk_in_body(await new_membership(rest))
    keyed = desk | {"Idempotency-Key": "walk-in-1"}
    first = await rest.http.post(WALK_INS, json=body, headers=keyed)
    again = await rest.http.post(WALK_INS, json=body, headers=keyed)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["first_sign_in"]["code"]
    assert again.json()["first_sign_in"].pop("code") is None
    assert again.json()["client"] == first.json()["client"]
    rows = await rest.club.postgres.rows("SELECT count(*) FROM clients")
    assert rows == [(1,)]

    path = f"/users/{first.json()['user']['id']}/first-password-codes/"
    another = await rest.http.post(path, json={}, headers=desk)
    assert another.status_code == 201
    assert another.json()["code"] not in {None, first.json()["first_sign_in"]["code"]}


async def test_of_two_desks_that_take_in_one_person_at_once_one_does(
    rest: Rest, desk: Headers
) -> None:
    _, other = await rest.user(Role.STAFFER)
    body = walk_in_body(await new_membership(rest))
    answers = await asyncio.gather(
        *(rest.http.post(WALK_INS, json=body, headers=who) for who in (desk, other) * 3)
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    counts = await rest.club.postgres.rows(
        "SELECT (SELECT count(*) FROM clients), (SELECT count(*) FROM payments), "
        "(SELECT count(*) FROM memberships), (SELECT count(*) FROM users WHERE role = 'USER')"
    )
    assert counts == [(1, 1, 2, 1)]


async def test_a_code_is_in_no_table(rest: Rest, desk: Headers) -> None:
    body = walk_in_body(await new_membership(rest))
    keyed = desk | {"Idempotency-Key": "walk-in-1"}
    shown = (await rest.http.post(WALK_INS, json=body, headers=keyed)).json()
    code = shown["first_sign_in"]["code"]
    tables: list[Any] = await rest.club.postgres.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    for (table,) in tables:
        rows = await rest.club.postgres.rows(
            f"SELECT count(*) FROM {table} AS t "
            "WHERE strpos(t::text, %s) > 0 OR strpos(t::text, encode(%s::bytea, 'hex')) > 0",
            [code, code.encode()],
        )
        assert rows == [(0,)], table


async def test_guessing_a_code_is_limited(rest: Rest, desk: Headers) -> None:
    body = walk_in_body(await new_membership(rest))
    told = (await rest.http.post(WALK_INS, json=body, headers=desk)).json()["first_sign_in"]
    guess = {"username": told["username"], "code": "AAAA-AAAA-AAAA-AAAA", "password": PASSWORD}
    for _ in range(5):
        problem(await rest.http.post(FIRST_PASSWORD, json=guess), 401, "first-code-void")
    refused = await rest.http.post(FIRST_PASSWORD, json=guess | {"code": told["code"]})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
