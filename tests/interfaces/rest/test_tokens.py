"""Who is let in: a valid access token of this service, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import httpx
import pytest

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.users import ChangeUser, DeleteUser, UserChanges
from domain.sessions import Ended, Session
from domain.values import Role
from infra.secrets.callers import FRESH
from tests.conftest import Rest
from tests.interfaces.rest.forging import INVALID, OF_ANOTHER_CLOCK, Forge
from tests.interfaces.rest.scenes import new_session

OF_NOBODY: dict[str, Callable[[Forge], str]] = {
    "of nobody who was ever there": lambda f: f.token(f.claims(sub="999999")),
    "a subject beyond integer": lambda f: f.token(f.claims(sub=str(2**31))),
}
"""Tokens that are valid, of users whom there is not."""


def refused(answer: httpx.Response) -> bool:
    """Whether the answer is the one for whoever holds no valid token."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/invalid-token"
    return answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")


def _bearing(token: str) -> dict[bytes, bytes]:
    return {b"Authorization": b"Bearer " + token.encode("latin-1")}


async def test_a_token_is_only_good_whole_and_in_time(rest: Rest) -> None:
    user_id, _ = await rest.user()
    forge = Forge.of_access(rest, user_id)
    path = f"/users/{user_id}/"
    valid = await rest.http.get(path, headers=_bearing(forge.token()))
    assert valid.status_code == 200
    let_in = []
    for what, forged in (INVALID | OF_NOBODY).items():
        answer = await rest.http.get(path, headers=_bearing(forged(forge)))
        if not refused(answer):
            let_in.append(what)
    assert let_in == []


@pytest.mark.parametrize("forged", OF_ANOTHER_CLOCK.values(), ids=OF_ANOTHER_CLOCK.keys())
async def test_clocks_may_be_some_seconds_apart(rest: Rest, forged: Callable[[Forge], str]) -> None:
    user_id, _ = await rest.user()
    bearing = _bearing(forged(Forge.of_access(rest, user_id)))
    for _ in range(2):  # as it comes for the first time, and as one that was seen before
        assert (await rest.http.get(f"/users/{user_id}/", headers=bearing)).status_code == 200
    session = await new_session(rest, user_id)
    body = {"refresh_token": forged(Forge.of_refresh(rest, user_id, session))}
    assert (await rest.http.post("/jwt-auth/get-access-token/", json=body)).status_code == 200


async def test_a_bad_token_is_refused_even_where_none_is_needed(rest: Rest) -> None:
    body = {"username": "ada", "email": "ada@example.com", "password": "long enough"}
    answer = await rest.http.post("/users/", json=body, headers=_bearing("garbage"))
    assert refused(answer)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Digest x", "bearer\t", "Token {token}"],
)
async def test_a_token_comes_as_a_bearer_token(rest: Rest, authorization: str) -> None:
    user_id, signed_in = await rest.user()
    header = authorization.format(token=signed_in["Authorization"].partition(" ")[2])
    answer = await rest.http.get(f"/users/{user_id}/", headers={"Authorization": header})
    assert refused(answer)


async def test_the_scheme_is_known_in_any_case(rest: Rest) -> None:
    user_id, signed_in = await rest.user()
    header = signed_in["Authorization"].replace("Bearer", "bEARER")
    answer = await rest.http.get(f"/users/{user_id}/", headers={"Authorization": header})
    assert answer.status_code == 200


async def test_a_token_seen_before_ends_in_time_too(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id, signed_in = await rest.user()
    path = f"/users/{user_id}/"
    assert (await rest.http.get(path, headers=signed_in)).status_code == 200
    ends_at = int(time.time()) + 600
    clock = SimpleNamespace(time=lambda: ends_at + 8)
    monkeypatch.setattr("infra.secrets.tokens.time", clock)
    assert (await rest.http.get(path, headers=signed_in)).status_code == 200
    clock.time = lambda: ends_at + 11
    assert refused(await rest.http.get(path, headers=signed_in))


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock by which roles are believed; `moment.now` sets it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("infra.secrets.callers.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


async def given_elsewhere(rest: Rest, user_id: int, role: Role) -> None:
    """Give the role in another process, which tells this one nothing."""
    elsewhere = Bus(rest.club.services)
    body = UserChanges.model_validate({"role": role})
    await elsewhere.execute(ChangeUser(user_id, body), Context(THE_CLUB, "elsewhere"))


async def test_a_new_role_holds_at_once(rest: Rest, moment: SimpleNamespace) -> None:
    await rest.user(Role.ADMIN)  # the last one could not be made another
    user_id, signed_in = await rest.user()
    for role, expected in ((Role.USER, 403), (Role.ADMIN, 200), (Role.USER, 403)):
        await rest.do(ChangeUser(user_id, UserChanges.model_validate({"role": role})))
        assert (await rest.http.get("/users/", headers=signed_in)).status_code == expected


async def test_a_role_given_by_another_process_holds_within_seconds(
    rest: Rest, moment: SimpleNamespace
) -> None:
    await rest.user(Role.ADMIN)  # the last one could not be made another
    user_id, signed_in = await rest.user()
    for role, expected in ((Role.USER, 403), (Role.ADMIN, 200), (Role.USER, 403)):
        await given_elsewhere(rest, user_id, role)
        moment.now += FRESH + 0.001
        assert (await rest.http.get("/users/", headers=signed_in)).status_code == expected


async def test_a_role_is_believed_for_two_seconds_without_asking(
    rest: Rest, moment: SimpleNamespace
) -> None:
    user_id, signed_in = await rest.user()
    assert (await rest.http.get("/users/", headers=signed_in)).status_code == 403
    await given_elsewhere(rest, user_id, Role.ADMIN)
    moment.now += FRESH - 0.001
    assert (await rest.http.get("/users/", headers=signed_in)).status_code == 403


async def test_a_deleted_user_is_let_in_no_more(rest: Rest, moment: SimpleNamespace) -> None:
    user_id, signed_in = await rest.user()
    path = f"/users/{user_id}/"
    assert (await rest.http.get(path, headers=signed_in)).status_code == 200
    await rest.do(DeleteUser(user_id))
    assert refused(await rest.http.get(path, headers=signed_in))


# --- sessions ------------------------------------------------------------------------------


async def test_a_token_is_good_while_its_session_lasts(rest: Rest, moment: SimpleNamespace) -> None:
    user_id, _ = await rest.user()
    session = await new_session(rest, user_id)
    another = await new_session(rest, user_id)
    of_session = _bearing(Forge.of_access(rest, user_id, sid=str(session)).token())
    of_another = _bearing(Forge.of_access(rest, user_id, sid=str(another)).token())
    path = f"/users/{user_id}/"
    assert (await rest.http.get(path, headers=of_session)).status_code == 200
    ended = await rest.http.post("/jwt-auth/logout/", headers=of_session)
    assert ended.status_code == 204
    assert refused(await rest.http.get(path, headers=of_session))
    assert (await rest.http.get(path, headers=of_another)).status_code == 200


async def test_a_session_that_the_tables_do_not_show_yet_counts_as_open(rest: Rest) -> None:
    """The tables may be behind; the token is signed, and says that it was opened."""
    user_id, _ = await rest.user()
    token = Forge.of_access(rest, user_id, sid="999999").token()
    answer = await rest.http.get(f"/users/{user_id}/", headers=_bearing(token))
    assert answer.status_code == 200


async def test_a_token_that_names_somebody_elses_session_ends_nothing_of_theirs(rest: Rest) -> None:
    user_id, _ = await rest.user()
    other, _ = await rest.user()
    session = await new_session(rest, other)
    token = Forge.of_access(rest, user_id, sid=str(session)).token()
    answer = await rest.http.post("/jwt-auth/logout/", headers=_bearing(token))
    assert answer.status_code in {401, 404}
    events = (await rest.club.ledger.streams([Session.stream(session)]))[Session.stream(session)]
    assert not any(isinstance(event, Ended) for event in events)
