"""Signing in and out over HTTP, and what it leaves in the log."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from application.users import ChangeUser, UserChanges
from domain.values import Role
from infra.bootstrap import open_club
from infra.settings import Settings
from interfaces.rest.main import create_app
from tests.conftest import Rest
from tests.interfaces.rest.scenes import new_session
from tests.interfaces.rest.signing_in import AGENT, PASSWORD, Door, bearing, problem

TELEGRAM = 4711
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HERE = "127.0.0.1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a club that shows codes on its console."""
    return settings.model_copy(update={"console_codes": True})


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- the way in ----------------------------------------------------------------------------------


async def test_somebody_registers_and_signs_in_and_is_let_in(door: Door) -> None:
    ada = await door.register()
    before = datetime.now(UTC)

    login = await door.post("login", {"username": "ada", "password": PASSWORD})
    assert login.status_code == 200
    assert login.headers["Cache-Control"] == "no-store"
    begun = login.json()
    assert begun["telegram_link"] is None
    assert moment(begun["telegram_link_expires_at"]) <= datetime.now(UTC) + timedelta(seconds=300)
    assert moment(begun["login_token_expires_at"]) > moment(begun["telegram_link_expires_at"])
    assert len(begun["login_token"]) == 43

    shown = {"login_token": begun["login_token"], "code": door.code()}
    verified = await door.post("verification", shown)
    assert verified.status_code == 200
    assert verified.headers["Cache-Control"] == "no-store"
    ends = moment(verified.json()["refresh_token_expires_at"])
    assert timedelta(days=30) <= ends - before < timedelta(days=30, minutes=1)

    refreshed = await door.refresh(verified.json()["refresh_token"])
    assert refreshed.status_code == 200
    assert refreshed.headers["Cache-Control"] == "no-store"
    tokens = refreshed.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    assert moment(tokens["refresh_token_expires_at"]) == ends

    own = await door.http.get(f"/users/{ada}/", headers=bearing(tokens["access_token"]))
    assert own.status_code == 200
    assert before <= moment(own.json()["last_login"]) <= datetime.now(UTC)


async def test_a_session_goes_on_from_one_refresh_token_to_the_next(door: Door) -> None:
    ada = await door.register()
    inside = await door.enter(ada)
    seen = {inside.refresh_token}
    for _ in range(3):
        tokens = (await door.refresh(inside.refresh_token)).json()
        inside.refresh_token = tokens["refresh_token"]
        seen.add(inside.refresh_token)
        own = await door.http.get(f"/users/{ada}/", headers=bearing(tokens["access_token"]))
        assert own.status_code == 200
    assert len(seen) == 4
    assert [event["generation"] for event in await door.log("session.refreshed")] == [2, 3, 4, 5]


async def test_an_access_token_is_as_rfc_9068_says(door: Door) -> None:
    ada = await door.register()
    inside = await door.enter(ada)
    published = await door.http.get("/.well-known/jwks.json")
    assert published.headers["Cache-Control"] == "max-age=60"
    (key,) = published.json()["keys"]
    assert key.keys() == {"kty", "use", "alg", "n", "e", "kid"}
    header = jwt.get_unverified_header(inside.access_token)
    assert header == {"alg": "RS256", "typ": "at+jwt", "kid": key["kid"]}
    claims = jwt.decode(
        inside.access_token, jwt.PyJWK(key), algorithms=["RS256"], audience="training-api"
    )
    assert claims.keys() == {"iss", "aud", "sub", "jti", "iat", "exp", "client_id", "sid"}
    assert claims["iss"] == door.rest.club.settings.issuer
    assert (claims["sub"], claims["sid"]) == (str(ada), str(inside.session_id))
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["iat"] - time.time()) < 30


FORMS = {
    "OAuth2": {"grant_type": "password"},
    "no grant type": {},
    "a public client": {"grant_type": "password", "client_id": "app", "scope": "a b"},
    "a client's own fields": {"client_secret": "x", "nonce": "1", "more": "", "%": "&="},
}


@pytest.mark.parametrize("more", FORMS.values(), ids=FORMS.keys())
async def test_the_form_of_oauth2_is_taken_whatever_else_is_in_it(
    door: Door, more: dict[str, str]
) -> None:
    await door.register()
    form = {"username": "ada", "password": PASSWORD, **more}
    login = await door.http.post("/jwt-auth/login/", data=form)
    assert login.status_code == 200, login.text
    shown = {"login_token": login.json()["login_token"], "code": door.code()}
    assert (await door.post("verification", shown)).status_code == 200


async def test_a_form_is_read_as_utf_8_whether_it_is_encoded_or_not(door: Door) -> None:
    password = "Pässwörter + 100 %"
    body = {"username": "ada", "email": "ada@example.com", "password": password}
    assert (await door.http.post("/users/", json=body)).status_code == 201
    for form in (
        "username=ada&password=P%C3%A4ssw%C3%B6rter+%2B+100+%25",
        "username=ada&password=Pässwörter%20%2b%20100%20%",
    ):
        for kind in (*FORM.values(), "Application/X-WWW-Form-URLencoded; charset=UTF-8"):
            headers = {"Content-Type": kind}
            login = await door.http.post("/jwt-auth/login/", content=form.encode(), headers=headers)
            assert login.status_code == 200, (form, login.text)


@pytest.mark.parametrize("grant", ["client_credentials", "refresh_token", "PASSWORD", "", "\0"])
async def test_no_other_grant_is_given(door: Door, grant: str) -> None:
    await door.register()
    form = {"grant_type": grant, "username": "ada", "password": PASSWORD}
    answer = await door.http.post("/jwt-auth/login/", data=form)
    found = problem(answer, 422, "invalid-request")
    assert [error["pointer"] for error in found["errors"]] == ["#/grant_type"]


@pytest.mark.parametrize(
    "authorization", ["Basic YXBwOnNlY3JldA==", "Bearer garbage", "Bearer", "", "Digest x"]
)
async def test_whoever_signs_in_may_hold_anything_already(door: Door, authorization: str) -> None:
    """OAuth2 clients send who they are; and who holds an old token has to get a new one."""
    ada = await door.register()
    door.http.headers["Authorization"] = authorization
    inside = await door.enter(ada)
    del door.http.headers["Authorization"]
    answer = await door.http.get(f"/users/{ada}/", headers=inside.signed_in)
    assert answer.status_code == 200


async def test_the_username_is_known_in_any_case(door: Door) -> None:
    await door.register("Ada")
    assert (await door.verify("aDA"))["session_id"] == 1


async def test_nobody_signs_in_where_codes_cannot_be_sent(
    door: Door, settings: Settings, rest: Rest
) -> None:
    await door.register()
    silent = settings.model_copy(update={"console_codes": False})
    async with open_club(silent) as club:
        transport = httpx.ASGITransport(app=create_app(club))
        async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
            known, unknown = [
                await http.post("/jwt-auth/login/", json={"username": name, "password": PASSWORD})
                for name in ("ada", "nobody")
            ]
    problem(known, 503, "no-code-channel")
    assert "Retry-After" in known.headers
    assert known.content == unknown.content


# --- one code, one token, once -------------------------------------------------------------------


async def test_a_code_opens_one_session_however_many_come_with_it_at_once(door: Door) -> None:
    await door.register()
    shown = {"login_token": await door.log_in(), "code": door.code()}
    answers = await asyncio.gather(*(door.post("verification", shown) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert await door.opened() == 1
    problem(await door.post("verification", shown), 401, "login-ended")


async def test_five_wrong_codes_end_a_login(door: Door) -> None:
    await door.register()
    login_token = await door.log_in()
    code = door.code()
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _ in range(5):
        answer = await door.post("verification", {"login_token": login_token, "code": wrong})
        problem(answer, 401, "wrong-code")
    answer = await door.post("verification", {"login_token": login_token, "code": code})
    problem(answer, 401, "login-ended")
    assert await door.opened() == 0
    whys = [event["why"] for event in await door.log("sign-in.failed")]
    assert whys == ["wrong-code"] * 4 + ["too-many-codes"]


async def test_a_code_is_only_good_for_its_own_login(door: Door) -> None:
    await door.register()
    first = await door.log_in()
    code_of_first = door.code()
    second = await door.log_in()
    code_of_second = door.code()
    if code_of_first != code_of_second:
        answer = await door.post("verification", {"login_token": second, "code": code_of_first})
        problem(answer, 401, "wrong-code")
    answer = await door.post("verification", {"login_token": first, "code": code_of_first})
    assert answer.status_code == 200


async def test_a_refresh_token_that_comes_back_ends_its_session(door: Door) -> None:
    ada = await door.register()
    opened = await door.verify()
    first = (await door.refresh(opened["refresh_token"])).json()
    second = (await door.refresh(first["refresh_token"])).json()
    bystander = await door.enter(ada)

    problem(await door.refresh(first["refresh_token"]), 401, "session-ended")

    problem(await door.refresh(second["refresh_token"]), 401, "session-ended")
    for token in (first["access_token"], second["access_token"]):
        answer = await door.http.get(f"/users/{ada}/", headers=bearing(token))
        problem(answer, 401, "invalid-token")
    assert (await door.refresh(bystander.refresh_token)).status_code == 200
    (reused,) = await door.log("session.token-reused")
    assert (reused["generation"], reused["origin"]) == (2, HERE)
    (ended,) = await door.log("session.ended")
    assert (ended["why"], ended["stream"]) == ("token-reused", f"session-{opened['session_id']}")


async def test_of_two_who_refresh_at_once_with_one_token_neither_keeps_a_session(
    door: Door,
) -> None:
    ada = await door.register()
    token = (await door.verify())["refresh_token"]
    answers = await asyncio.gather(*(door.refresh(token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    (tokens,) = [answer.json() for answer in answers if answer.status_code == 200]
    problem(await door.refresh(tokens["refresh_token"]), 401, "session-ended")
    answer = await door.http.get(f"/users/{ada}/", headers=bearing(tokens["access_token"]))
    problem(answer, 401, "invalid-token")


# --- out again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"json": None}, {"content": b"null"}, {"content": b""}])
async def test_logging_out_ends_the_session_that_asks(door: Door, how: dict[str, Any]) -> None:
    ada = await door.register()
    inside = await door.enter(ada)
    if "content" in how:
        how = how | {"headers": inside.signed_in | {"Content-Type": "application/json"}}
    else:
        how = how | {"headers": inside.signed_in}
    out = await door.http.post("/jwt-auth/logout/", **how)
    assert (out.status_code, out.content) == (204, b"")
    answer = await door.http.get(f"/users/{ada}/", headers=inside.signed_in)
    problem(answer, 401, "invalid-token")
    problem(await door.refresh(inside.refresh_token), 401, "session-ended")
    problem(await door.post("logout", headers=inside.signed_in), 401, "invalid-token")


async def test_another_session_of_ones_own_can_be_ended_and_that_again(door: Door) -> None:
    ada = await door.register()
    phone, laptop = await door.enter(ada), await door.enter(ada)
    for _ in range(2):
        out = await door.post("logout", {"session_id": phone.session_id}, headers=laptop.signed_in)
        assert out.status_code == 204
    problem(await door.refresh(phone.refresh_token), 401, "session-ended")
    assert (await door.refresh(laptop.refresh_token)).status_code == 200
    (ended,) = await door.log("session.ended")
    assert (ended["why"], ended["actor"]) == ("logged-out", f"user-{ada}")


async def test_nobody_ends_somebody_elses_session_but_an_admin(door: Door, rest: Rest) -> None:
    ada = await door.register()
    inside = await door.enter(ada)
    _, stranger = await rest.user()
    not_theirs = await door.post("logout", {"session_id": inside.session_id}, headers=stranger)
    not_there = await door.post("logout", {"session_id": 999}, headers=stranger)
    theirs = problem(not_theirs, 404, "not-found")
    nothing = problem(not_there, 404, "not-found")
    assert theirs["detail"].replace(str(inside.session_id), "N") == nothing["detail"].replace(
        "999", "N"
    )
    inside.refresh_token = (await door.refresh(inside.refresh_token)).json()["refresh_token"]

    _, admin = await rest.user(Role.ADMIN)
    out = await door.post("logout", {"session_id": inside.session_id}, headers=admin)
    assert out.status_code == 204
    problem(await door.refresh(inside.refresh_token), 401, "session-ended")


async def test_a_token_of_no_session_ends_none_but_may_name_one(door: Door, rest: Rest) -> None:
    user_id, from_the_machine = await rest.user()
    problem(await door.post("logout", headers=from_the_machine), 409, "no-session")
    session = await new_session(rest, user_id)
    out = await door.post("logout", {"session_id": session}, headers=from_the_machine)
    assert out.status_code == 204


async def test_a_new_password_ends_every_session(door: Door) -> None:
    ada = await door.register()
    phone, laptop = await door.enter(ada), await door.enter(ada)
    changed = await door.http.patch(
        f"/users/{ada}/", json={"password": "another password"}, headers=phone.signed_in
    )
    assert changed.status_code == 200
    for inside in (phone, laptop):
        problem(await door.refresh(inside.refresh_token), 401, "session-ended")
        answer = await door.http.get(f"/users/{ada}/", headers=inside.signed_in)
        problem(answer, 401, "invalid-token")


async def test_a_login_that_was_begun_ends_with_the_password_or_with_the_user(door: Door) -> None:
    ada = await door.register()
    admin = (await door.rest.user(Role.ADMIN))[1]
    begun = {"login_token": await door.log_in(), "code": door.code()}
    changed = {"password": "another password"}
    await door.http.patch(f"/users/{ada}/", json=changed, headers=admin)
    problem(await door.post("verification", begun), 401, "login-ended")

    await door.http.patch(f"/users/{ada}/", json={"password": PASSWORD}, headers=admin)
    begun = {"login_token": await door.log_in(), "code": door.code()}
    await door.http.delete(f"/users/{ada}/", headers=admin)
    problem(await door.post("verification", begun), 401, "login-ended")
    answer = await door.post("login", {"username": "ada", "password": PASSWORD})
    problem(answer, 401, "wrong-credentials")
    assert await door.opened() == 0


# --- the list of sessions ------------------------------------------------------------------------


async def test_the_list_has_the_callers_own_sessions_that_go_on(door: Door, rest: Rest) -> None:
    door.http.headers["User-Agent"] = AGENT
    ada = await door.register()
    first, second, third = [await door.enter(ada) for _ in range(3)]
    admin_id, admin = await rest.user(Role.ADMIN)
    of_admin = await new_session(rest, admin_id)
    await door.post("logout", {"session_id": second.session_id}, headers=first.signed_in)

    answer = await door.http.get("/jwt-auth/sessions/", headers=first.signed_in)
    assert answer.status_code == 200
    sessions = answer.json()
    assert [s["id"] for s in sessions] == [first.session_id, third.session_id]
    assert sessions[0].keys() == {"id", "opened_at", "last_used_at", "ends_at", "origin", "agent"}
    for session in sessions:
        assert (session["origin"], session["agent"]) == (HERE, AGENT)
        opened, used, ends = (
            moment(session[name]) for name in ("opened_at", "last_used_at", "ends_at")
        )
        assert opened < used < ends == opened + timedelta(days=30)

    own = await door.http.get("/jwt-auth/sessions/", headers=admin)
    assert [s["id"] for s in own.json()] == [of_admin]
    assert (await door.http.get("/jwt-auth/sessions/")).status_code == 401


async def test_the_list_has_pages_and_an_order(door: Door, rest: Rest) -> None:
    user_id, signed_in = await rest.user()
    numbers = [await new_session(rest, user_id) for _ in range(5)]
    path: str | None = "/jwt-auth/sessions/?sort=-opened_at&limit=2&total=true"
    found = []
    while path is not None:
        page = await door.http.get(path, headers=signed_in)
        assert page.status_code == 200
        assert page.headers["X-Total-Count"] == "5"
        assert 0 < len(page.json()) <= 2
        found += [session["id"] for session in page.json()]
        link = page.headers.get("Link")
        path = None if link is None else link[1 : link.index(">")]
    assert found == numbers[::-1]
    for query in ("user_id=1", "sort=agent", "sort=ended_at", "limit=0", "origin=x"):
        page = await door.http.get(f"/jwt-auth/sessions/?{query}", headers=signed_in)
        problem(page, 422, "invalid-request")


async def test_a_session_whose_time_is_over_is_in_no_list(door: Door, rest: Rest) -> None:
    user_id, signed_in = await rest.user()
    await new_session(rest, user_id)
    await rest.club.postgres.rows(
        "UPDATE sessions SET ends_at = now() - interval '1 second' RETURNING id"
    )
    assert (await door.http.get("/jwt-auth/sessions/", headers=signed_in)).json() == []


# --- what is in the log --------------------------------------------------------------------------


async def test_the_log_says_who_signed_in_when_and_from_where(door: Door, rest: Rest) -> None:
    ada = await door.register()
    before = datetime.now(UTC)
    elsewhere = httpx.ASGITransport(rest.http._transport.app, client=("203.0.113.7", 1))  # type: ignore[attr-defined]
    headers = {"User-Agent": AGENT * 100, "X-Request-Id": "a-visit"}
    async with httpx.AsyncClient(
        transport=elsewhere, base_url="http://club", headers=headers
    ) as door.http:
        await door.post("login", {"username": "ada", "password": "wrong password"})
        await door.post("login", {"username": "nobody", "password": PASSWORD})
        inside = await door.enter(ada)
        await door.post("logout", headers=inside.signed_in)

    failures = await door.log("sign-in.failed")
    assert [(f["user_id"], f["why"], f["actor"]) for f in failures] == [
        (ada, "wrong-password", "anybody"),
        (None, "unknown-user", "anybody"),
    ]
    signed_in = await door.log(
        "user.signed-in", "session.opened", "session.refreshed", "session.ended"
    )
    assert [(e["topic"], e["actor"]) for e in signed_in] == [
        (topic, f"user-{ada}")
        for topic in ("user.signed-in", "session.opened", "session.refreshed", "session.ended")
    ]
    for event in (*failures, *signed_in):
        assert (event["origin"], event["correlation_id"]) == ("203.0.113.7", "a-visit")
        assert before <= moment(event["timestamp"]["_data_"]) <= datetime.now(UTC)
    for event in (*failures, signed_in[1]):
        assert event["agent"] == (AGENT * 100)[:200]
    (session,) = await rest.club.postgres.rows("SELECT user_id, ended_because FROM sessions")
    assert session == (ada, "logged-out")


async def test_no_secret_is_in_the_ledger_or_in_the_log(door: Door, rest: Rest) -> None:
    await door.register()
    await door.post("login", {"username": "typed-as-a-name", "password": PASSWORD})
    login_token = await door.log_in()
    code = door.code()
    opened = await door.post("verification", {"login_token": login_token, "code": code})
    tokens = (await door.refresh(opened.json()["refresh_token"])).json()
    await door.http.get("/users/1/", headers=bearing(tokens["access_token"]))
    await door.log_in()
    door.code()

    rows = await rest.club.postgres.rows("SELECT state FROM ledger_events")
    ledger = b"\n".join(bytes(state) for (state,) in rows).decode()
    assert "unknown-user" in ledger
    assert "/jwt-auth/get-access-token/" in door.logged
    for secret in (
        *(PASSWORD, "typed-as-a-name", login_token, opened.json()["refresh_token"]),
        *(tokens["access_token"], tokens["refresh_token"]),
    ):
        assert secret not in ledger + door.logged


async def test_a_change_of_role_says_who_made_it_and_from_where(door: Door, rest: Rest) -> None:
    ada = await door.register()
    admin_id, admin = await rest.user(Role.ADMIN)
    changed = await door.http.patch(f"/users/{ada}/", json={"role": "TRAINER"}, headers=admin)
    assert changed.status_code == 200
    await rest.do(ChangeUser(ada, UserChanges.model_validate({"role": Role.USER})))
    by_admin, by_the_club = await door.log("user.role-changed")
    assert (by_admin["actor"], by_admin["origin"]) == (f"user-{admin_id}", HERE)
    assert (by_the_club["actor"], by_the_club["origin"]) == ("club", "this-machine")


async def test_a_new_role_and_the_end_of_a_user_count_for_tokens_that_are_out(door: Door) -> None:
    ada = await door.register()
    inside = await door.enter(ada)
    _, admin = await door.rest.user(Role.ADMIN)
    assert (await door.http.get("/users/", headers=inside.signed_in)).status_code == 403
    await door.http.patch(f"/users/{ada}/", json={"role": "ADMIN"}, headers=admin)
    assert (await door.http.get("/users/", headers=inside.signed_in)).status_code == 200
    await door.http.delete(f"/users/{ada}/", headers=admin)
    answer = await door.http.get(f"/users/{ada}/", headers=inside.signed_in)
    problem(answer, 401, "invalid-token")
    problem(await door.refresh(inside.refresh_token), 401, "session-ended")


# --- the Telegram account ------------------------------------------------------------------------


async def test_a_user_unbinds_their_telegram_account_and_all_sessions_end(
    door: Door, rest: Rest
) -> None:
    user_id, _ = await rest.user()
    session = await new_session(rest, user_id, TELEGRAM)
    token = rest.club.tokens.access_token(user_id, session, 600)
    path = f"/users/{user_id}/telegram/"
    unbound = await door.http.delete(path, headers=bearing(token))
    assert unbound.status_code == 204
    (event,) = await door.log("user.telegram-unbound")
    assert (event["actor"], event["origin"]) == (f"user-{user_id}", HERE)
    (ended,) = await door.log("session.ended")
    assert (ended["why"], ended["stream"]) == ("telegram-unbound", f"session-{session}")
    problem(await door.http.delete(path, headers=bearing(token)), 401, "invalid-token")
    problem(await door.http.delete(path, headers=rest.token(user_id)), 409, "no-telegram")


async def test_an_admin_unbinds_anybodys_telegram_account_and_a_stranger_nobodys(
    door: Door, rest: Rest
) -> None:
    user_id, own = await rest.user()
    await new_session(rest, user_id, TELEGRAM)
    admin_id, admin = await rest.user(Role.ADMIN)
    path = f"/users/{user_id}/telegram/"
    for role in (Role.USER, Role.TRAINER, Role.STAFFER, Role.ANALYST, Role.SYSTEM, Role.OTHER):
        _, stranger = await rest.user(role)
        problem(await door.http.delete(path, headers=stranger), 404, "not-found")
    problem(await door.http.delete(path), 401, "invalid-token")
    problem(await door.http.delete("/users/999/telegram/", headers=admin), 404, "not-found")
    stale = await door.http.delete(path, headers={**own, "If-Match": '"1"'})
    problem(stale, 412, "precondition-failed")
    assert await door.log("user.telegram-unbound") == []

    assert (await door.http.delete(path, headers=admin)).status_code == 204
    (event,) = await door.log("user.telegram-unbound")
    assert event["actor"] == f"user-{admin_id}"
    problem(await door.http.delete(path, headers=admin), 409, "no-telegram")
