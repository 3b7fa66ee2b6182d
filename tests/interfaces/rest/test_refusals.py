"""A no helps: it says what is wrong, where, and what to do about it."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser

import httpx
import pytest

from application.command import Command, Context
from application.ports.ledger import LedgerUnavailable, OutcomeUnknown
from application.sessions import EndSession
from domain.values import Role
from interfaces.problems import STATUS, status_of
from interfaces.rest.meanings import ADVICE, meaning_of, prefers_html
from tests.conftest import Rest
from tests.interfaces.rest.forging import Forge
from tests.interfaces.rest.scenes import client_body, furnished, new_membership, new_session
from tests.waiting import until


def challenge(answer: httpx.Response) -> str:
    assert answer.status_code == 401
    assert answer.json()["type"] == "/problems/invalid-token"
    return answer.headers["WWW-Authenticate"]


async def test_what_is_wrong_with_a_token_is_told_apart(rest: Rest) -> None:
    user, _ = await rest.user()
    session = await new_session(rest, user)
    tokens = rest.club.tokens
    good = tokens.access_token(user, session, 600)
    ended = {"Authorization": f"Bearer {good}"}
    assert (await rest.http.get("/exercises/", headers=ended)).status_code == 200
    await rest.do(EndSession(session))
    other = good[:-9] + good[-9:].swapcase()
    for authorization, error in [
        (None, None),
        ("Basic YTpi", None),
        ("Bearer ", "This token is not valid"),
        ("Bearer x.y.z", "This token is not valid"),
        (f"Bearer {other}", "This token is not valid"),
        (f"Bearer {tokens.access_token(user, None, -3600)}", "This token has expired."),
        (f"Bearer {good}", "The session of this token has ended"),
    ]:
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await rest.http.get("/exercises/", headers=headers)
        if error is None:
            assert challenge(answer) == "Bearer", authorization
        else:
            said = f'Bearer error="invalid_token", error_description="{error}'
            assert challenge(answer).startswith(said), authorization
            assert challenge(answer).endswith(answer.json()["detail"] + '"')


async def test_a_token_that_we_did_not_sign_is_not_said_to_have_expired(rest: Rest) -> None:
    user, _ = await rest.user()
    forge = Forge.of_access(rest, user)
    head, claims, signature = forge.token(forge.claims(exp=1)).split(".")
    for token in (f"{head}.{claims}.{signature[::-1]}", f"{head}.{claims}."):
        answer = await rest.http.get("/exercises/", headers={"Authorization": f"Bearer {token}"})
        assert "expired" not in challenge(answer)


async def test_what_is_taken_or_there_already_is_pointed_at(rest: Rest) -> None:
    scene = await furnished(rest)
    other, _ = await rest.user(username="other", email="other@example.com")
    new = {"username": "new", "email": "new@example.com", "password": "long enough"}
    doing = {"training_id": scene.training, "exercise_id": scene.exercise, "order_in_training": 1}
    free = await new_membership(rest)
    plan, client = f"/training-plans/{scene.plan}", f"/clients/{scene.client}"
    for path, body, field in [
        ("/users/", new | {"username": "OTHER"}, "username"),
        ("/users/", new | {"email": "other@example.com"}, "email"),
        ("/exercises/", {"title": "squat"}, "title"),
        ("/clients/", client_body(scene.user, free), "user_id"),
        ("/clients/", client_body(other, scene.membership), "membership_id"),
        ("/payments/", {"client_id": scene.client, "membership_id": free}, "membership_id"),
        ("/trainings-exercises/", doing, "exercise_id"),
        (
            f"{plan}/trainings/",
            {"training_id": scene.training},
            "training_id",
        ),
        (f"{client}/training-plans/", {"training_plan_id": scene.plan}, "training_plan_id"),
    ]:
        answer = await rest.http.post(path, json=body, headers=scene.admin)
        assert answer.status_code == 409, (path, answer.text)
        assert [e["pointer"] for e in answer.json()["errors"]] == [f"#/{field}"], path


PYTHON = re.compile(
    r"dictionary|instance of|None\b|NoneType|codec|int_max|recursion|Body|datetime|\bstr\b"
)


async def test_no_refusal_speaks_of_what_the_service_is_made_of(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    headers = admin | {"Content-Type": "application/json"}
    for path in ("/clients/", "/trainings/exercice-ids/", "/reports/", "/jwt-auth/login/"):
        for body in (
            *(b"[]", b"17", b'"x"', b"{", b"\xff", b'{"title": "\xff"}', b"[" * 100_000),
            *(b'{"title": ' + b"9" * 5000 + b"}", b'{"title": {}, "exercise_ids": {}}'),
            *(b'{"date": "2026-13-01", "date_of_birth": null, "report_date_start": "x"}', b"\0"),
        ):
            answer = await rest.http.post(path, content=body, headers=headers)
            assert answer.status_code == 422, (path, body[:20])
            assert not PYTHON.search(answer.text), answer.text


async def test_whoever_comes_while_it_is_worked_on_is_told_when_to_come_again(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    keyed = admin | {"Idempotency-Key": "one"}

    async def under_way() -> bool:
        return bool(rest.club.bus._in_flight)

    async with rest.club.ledger.alone():
        first = asyncio.create_task(
            rest.http.post("/exercises/", json={"title": "Plank"}, headers=keyed)
        )
        await until(under_way, "the first is being worked on")
        second = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=keyed)
    assert second.status_code == 409
    assert second.json()["type"] == "/problems/still-in-flight"
    assert int(second.headers["Retry-After"]) >= 1
    assert (await first).status_code == 201


async def test_what_may_have_happened_is_not_answered_like_what_may_be_tried_again(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for no, status in ((OutcomeUnknown("gone"), 504), (LedgerUnavailable("gone"), 503)):

        async def lost(_: Command, __: Context, no: Exception = no) -> None:
            raise no

        monkeypatch.setattr(rest.club.bus, "execute", lost)
        answer = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=admin)
        assert answer.status_code == status
        assert ("Retry-After" in answer.headers) == (status == 503)
    means = (await rest.http.get("/problems/outcome-unknown")).json()
    assert means["status"] == 504
    assert "Idempotency-Key" in means["advice"]


async def test_a_report_that_is_recorded_and_cannot_be_shown_is_not_said_to_have_failed(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, admin = await rest.user(Role.ADMIN)

    async def lost(*_: object) -> None:
        raise LedgerUnavailable("gone")

    monkeypatch.setattr(rest.club.reads, "one", lost, raising=False)
    answer = await rest.http.post("/reports/", headers=admin)
    assert (answer.status_code, answer.json()["type"]) == (504, "/problems/outcome-unknown")


# --- what each means -----------------------------------------------------------------------


class Page(HTMLParser):
    """What is on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


async def test_each_type_of_problem_reads_like_a_page_in_a_browser(rest: Rest) -> None:
    for code in ("not-found", "invalid-token", "invalid-request", "user-has-client", "fault"):
        shown = await rest.http.get(f"/problems/{code}", headers={"Accept": BROWSER})
        assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
        assert shown.headers["Vary"] == "Accept"
        page = Page(shown.text)
        assert page.tags.count("h1") == 1
        assert "script" not in page.tags
        assert "light dark" in shown.text
        assert not re.search(r"[{}`]", page.text.partition("}\n")[2].rpartition("}")[2]), code
        plain = await rest.http.get(f"/problems/{code}", headers={"Accept": "application/json"})
        means = plain.json()
        assert means["title"] in page.text
        assert means["advice"].replace("`", "") in page.text
    for path in ("<b>x", "none-of-these"):
        missing = await rest.http.get(f"/problems/{path}", headers={"Accept": BROWSER})
        assert missing.status_code == 404
        assert missing.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML ; q=0.9, application/json;q=0.8", True),
        ("text/*", True),
        ("", False),
        ("*/*", False),
        ("application/json, text/html", False),
        ("text/html;q=0.1, */*", False),
        ("text/html;q=0, */*;q=0", False),
        ("text/html;q=none", False),
        ("application/*, text/html;q=0.9", False),
        (";;,,q=1", False),
    ],
)
def test_a_page_is_for_those_who_would_rather_have_one(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


def test_every_no_has_a_meaning_and_something_to_do_about_it() -> None:
    for kind in STATUS:
        status = status_of(kind)
        assert ADVICE[status]
    found = meaning_of("which-training")
    assert found is not None
    assert "training_id" in found.advice
