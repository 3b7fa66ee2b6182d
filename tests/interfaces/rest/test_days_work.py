"""What each kind of person needs for a day's work in the club."""

from __future__ import annotations

from typing import Any

import pytest

from application.clients import DeleteClient, GrantBody, GrantDays
from application.rules import ChangeRules
from application.trainings import PlanTraining, TrainingBody
from application.users import DeleteUser
from domain.values import Role
from tests.conftest import Rest
from tests.interfaces.rest.scenes import (
    Scene,
    client_body,
    furnished,
    new_client,
    new_exercise,
    new_membership,
    new_payment,
    new_session,
)


@pytest.fixture
async def scene(rest: Rest) -> Scene:
    return await furnished(rest)


async def ask(rest: Rest, who: dict[str, str], path: str, **params: Any) -> Any:
    answer = await rest.http.get(path, headers=who, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def numbers(rest: Rest, who: dict[str, str], path: str, **params: Any) -> list[int]:
    return [row["id"] for row in await ask(rest, who, path, **params)]


# --- the member ----------------------------------------------------------------------------


async def test_a_member_finds_everything_that_is_theirs_from_the_token_alone(
    rest: Rest, scene: Scene
) -> None:
    me = await ask(rest, scene.owner, "/users/me/")
    assert me == (await ask(rest, scene.owner, f"/users/{me['id']}/")) | {"client_id": scene.client}
    mine = f"/clients/{me['client_id']}"
    membership = await ask(rest, scene.owner, f"{mine}/membership/")
    assert membership["id"] == scene.membership
    assert (await ask(rest, scene.owner, f"{mine}/admission/"))["status"] == "ACTIVE"
    assert await numbers(rest, scene.owner, f"{mine}/trainings/") == [scene.training]
    assert await numbers(rest, scene.owner, f"{mine}/payments/") == [scene.payment]
    (plan,) = await ask(rest, scene.owner, f"{mine}/training-plans/")
    assert (plan["title"], plan["training_plan_id"]) == ("Spring", scene.plan)
    assert (plan["status"], plan["user_id"]) == ("ACTIVE", scene.user)
    assert await numbers(rest, scene.owner, f"/users/{me['id']}/training-plans/") == [scene.plan]


async def test_a_user_who_is_no_client_yet_is_told_so_and_what_can_be_had(
    rest: Rest, scene: Scene
) -> None:
    _, who = await rest.user()
    before = await rest.http.get("/users/me/", headers=who)
    assert before.json()["client_id"] is None
    offered = await new_membership(rest, "19.90")
    (offer,) = await ask(rest, {}, "/memberships/offers/")
    assert offer == {
        "id": offered,
        "access_level": None,
        "description": None,
        "price": "19.90",
    }
    body = client_body(before.json()["id"], offered)
    assert (await rest.http.post("/clients/", json=body, headers=who)).status_code == 201
    assert await ask(rest, {}, "/memberships/offers/") == []
    after = await rest.http.get(
        "/users/me/", headers=who | {"If-None-Match": before.headers["etag"]}
    )
    assert after.status_code == 200, "another client is another answer, though no user changed"
    stale = {"Authorization": "Bearer x"}
    assert await ask(rest, stale, "/memberships/offers/") == [], (
        "anybody may, signed in once or not"
    )
    again = await rest.http.get(
        "/users/me/", headers=who | {"If-None-Match": after.headers["etag"]}
    )
    assert again.status_code == 304


async def test_a_membership_that_several_may_hold_is_offered_though_one_does(
    rest: Rest, scene: Scene
) -> None:
    assert scene.membership not in await numbers(rest, {}, "/memberships/offers/")
    await rest.do(ChangeRules({"shared_memberships": True}))
    assert scene.membership in await numbers(rest, {}, "/memberships/offers/")


async def test_the_tag_of_a_composed_answer_matches_no_version_in_a_command(
    rest: Rest, scene: Scene
) -> None:
    me = await rest.http.get("/users/me/", headers=scene.owner)
    answer = await rest.http.patch(
        f"/users/{scene.user}/",
        json={"username": "another"},
        headers=scene.owner | {"If-Match": me.headers["etag"]},
    )
    assert answer.status_code == 412


async def test_a_clients_trainings_are_found_between_two_days_and_by_a_word(
    rest: Rest, scene: Scene
) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-31", "2026-04-01"):
        body = TrainingBody(client_id=scene.client, title=f"Upper body {day}", date=day)
        await rest.do(PlanTraining(body))
    path = f"/clients/{scene.client}/trainings/"
    march = await ask(rest, scene.owner, path, from_date="2026-03-02", to_date="2026-03-31")
    assert [row["date"] for row in march] == ["2026-03-02", "2026-03-31"]
    found = await ask(rest, scene.owner, path, title_contains="BODY 2026-04")
    assert [row["date"] for row in found] == ["2026-04-01"]
    assert await ask(rest, scene.owner, path, title_contains="%") == []
    turned = {"from_date": "2026-03-02", "to_date": "2026-03-01"}
    answer = await rest.http.get(path, headers=scene.owner, params=turned)
    assert answer.status_code == 422
    assert await ask(rest, scene.owner, path, title="lEGS") != []


async def test_pages_of_a_members_list_lead_through_all_of_it(rest: Rest, scene: Scene) -> None:
    for _ in range(4):
        await rest.do(PlanTraining(TrainingBody(client_id=scene.client, title="Legs")))
    path, seen = f"/clients/{scene.client}/trainings/?limit=2", []
    while path:
        answer = await rest.http.get(path, headers=scene.owner)
        seen += [row["id"] for row in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert len(seen) == len(set(seen)) == 5


# --- the front desk ------------------------------------------------------------------------

PEOPLE = [
    ("Jürgen", "Müller", "+34 600 12 34 56"),
    ("Ada", "van der Berg", "0171 / 99".replace("/", "-")),
    ("Seán", "O'Brien-Łukasz", "+44 20 7946 0000"),
    ("Straße", "Ngô", "(020) 555-0199"),
]


@pytest.fixture
async def desk(rest: Rest) -> tuple[dict[str, str], list[int]]:
    """Whoever sits at the front desk, and the clients there are."""
    _, staffer = await rest.user(Role.STAFFER)
    clients = []
    for number, (first, last, phone) in enumerate(PEOPLE):
        user, _ = await rest.user(username=f"Member.{number}", email=f"Mail{number}@club.example")
        clients.append(
            await new_client(rest, user, first_name=first, last_name=last, phone_number=phone)
        )
    return staffer, clients


FOUND: dict[str, list[int]] = {
    "mul": [0],
    "MÜL": [0],
    "Mu\u0308ller": [0],
    "mueller": [0],
    "jurgen mul": [0],
    "muller jü": [0],
    "600123456": [0],
    "+34 600 12 34 56": [0],
    "0034600123456": [0],
    "0600 123456": [0],
    "+49 171-99": [1],
    "0049 171 99": [1],
    "+49": [],
    "3456": [0],
    "berg": [1],
    "van der b": [1],
    "VANDERB": [1],
    "0171": [1],
    "obrien": [2],
    "o'b": [2],
    "lukasz": [2],
    "sean": [2],
    "strasse": [3],
    "ngo": [3],
    "member.2": [2],
    "MEMBER.": [0, 1, 2, 3],
    "uller": [],
    "ada muller": [],
    "%": [],
    "_": [],
    "'": [],
    "\\": [],
    "*": [],
    "-": [],
    "😀": [],
    "mail3@CLUB": [3],
    "club.example": [],
}
"""What somebody types, and whom of PEOPLE that finds."""

NO_SEARCH = ("", " ", "\0", "a\0b", "x" * 10_000, "\u200b", "a b c d e f g h i", "a b")


async def test_the_desk_finds_a_person_by_whatever_they_say(
    rest: Rest, desk: tuple[dict[str, str], list[int]]
) -> None:
    staffer, clients = desk
    found = {typed: await numbers(rest, staffer, "/clients/search/", q=typed) for typed in FOUND}
    assert found == {typed: [clients[index] for index in who] for typed, who in FOUND.items()}


UNDIVIDED = [("小龙", "李"), ("철수", "김"), ("花子", "山田"), ("Bruce", "Lee")]
"""Names that their own letters write without a blank, the family's first; but for the last."""

FOUND_UNDIVIDED: dict[str, list[int]] = {
    "李小龙": [0],
    "李小": [0],
    "李 小龙": [0],
    "小龙": [0],
    "李小虎": [],
    "小龙李": [],
    "김철수": [1],
    "김철": [1],
    "山田花子": [2],
    "田花子": [],
    "leebruce": [],
}


async def test_a_full_name_is_found_as_its_letters_are_written(rest: Rest) -> None:
    _, staffer = await rest.user(Role.STAFFER)
    clients = []
    for first, last in UNDIVIDED:
        user, _ = await rest.user()
        clients.append(await new_client(rest, user, first_name=first, last_name=last))
    search = "/clients/search/"
    found = {typed: await numbers(rest, staffer, search, q=typed) for typed in FOUND_UNDIVIDED}
    assert found == {typed: [clients[i] for i in who] for typed, who in FOUND_UNDIVIDED.items()}


async def test_a_search_that_is_none_is_refused(rest: Rest) -> None:
    _, staffer = await rest.user(Role.STAFFER)
    for typed in NO_SEARCH:
        answer = await rest.http.get("/clients/search/", headers=staffer, params={"q": typed})
        assert answer.status_code == 422, typed
    for wrong in ({}, {"q": "ada", "limit": "1_0"}, {"q": "ada", "limit": "5.0"}):
        answer = await rest.http.get("/clients/search/", headers=staffer, params=wrong)
        assert answer.status_code == 422, wrong


async def test_who_changes_a_name_is_found_by_the_new_one_alone_and_who_leaves_not_at_all(
    rest: Rest, desk: tuple[dict[str, str], list[int]]
) -> None:
    staffer, (client, *_) = desk
    changed = {"last_name": "Schmidt", "phone_number": "+49 30 1234567"}
    answer = await rest.http.patch(f"/clients/{client}/", json=changed, headers=staffer)
    assert answer.status_code == 200
    assert await numbers(rest, staffer, "/clients/search/", q="schmidt") == [client]
    assert await numbers(rest, staffer, "/clients/search/", q="jurgen") == [client]
    assert await numbers(rest, staffer, "/clients/search/", q="1234567") == [client]
    for gone in ("muller", "600123456"):
        assert await numbers(rest, staffer, "/clients/search/", q=gone) == []
    await rest.do(DeleteClient(client))
    assert await numbers(rest, staffer, "/clients/search/", q="schmidt") == []


async def test_a_search_has_pages_as_every_list(
    rest: Rest, desk: tuple[dict[str, str], list[int]]
) -> None:
    staffer, clients = desk
    first = await rest.http.get(
        "/clients/search/", headers=staffer, params={"q": "member", "limit": 3, "total": True}
    )
    assert first.headers["X-Total-Count"] == "4"
    second = await rest.http.get(first.links["next"]["url"], headers=staffer)
    assert [row["id"] for row in first.json() + second.json()] == clients


async def test_names_are_filtered_by_their_beginning_whatever_the_case(
    rest: Rest, desk: tuple[dict[str, str], list[int]]
) -> None:
    staffer, clients = desk
    assert await numbers(rest, staffer, "/clients/", last_name="mÜL") == [clients[0]]
    assert await numbers(rest, staffer, "/clients/", first_name="ADA") == [clients[1]]
    assert await numbers(rest, staffer, "/clients/", last_name="%") == []
    (user,) = await ask(rest, staffer, "/users/", username="mEMBER.1")
    assert user["username"] == "Member.1"
    assert await ask(rest, staffer, "/users/", username="member") == []
    assert len(await ask(rest, staffer, "/users/", email=user["email"].upper())) == 1


async def test_staff_are_shown_the_users_who_are_clients_and_no_others(
    rest: Rest, desk: tuple[dict[str, str], list[int]], scene: Scene
) -> None:
    staffer, clients = desk
    shown = await numbers(rest, staffer, "/users/")
    assert len(shown) == len(clients) + 1
    assert scene.admin_id not in shown
    assert await ask(rest, staffer, "/users/", role="ADMIN") == []
    of_client = await ask(rest, staffer, f"/clients/{scene.client}/user/")
    assert of_client["id"] == scene.user
    hidden = await rest.http.get(f"/users/{scene.admin_id}/", headers=staffer)
    assert hidden.status_code == 404


async def test_days_that_were_granted_are_listed_with_their_reasons(
    rest: Rest, desk: tuple[dict[str, str], list[int]], scene: Scene
) -> None:
    staffer, _ = desk
    for days in (3, 5):
        body = GrantBody(days=days, reason=f"The pool was closed for {days} days.")
        await rest.do(GrantDays(scene.client, body))
    grants = await ask(rest, staffer, f"/clients/{scene.client}/grants/")
    assert [(g["days"], g["reason"][-7:]) for g in grants] == [(3, "3 days."), (5, "5 days.")]
    assert {g["client_id"] for g in grants} == {scene.client}


async def test_somebody_elses_lists_are_not_there(rest: Rest, scene: Scene) -> None:
    _, stranger = await rest.user()
    for of in ("membership", "user", "trainings", "payments", "training-plans", "admission"):
        answer = await rest.http.get(f"/clients/{scene.client}/{of}/", headers=stranger)
        assert answer.status_code == 404, of
    answer = await rest.http.get("/clients/search/", headers=stranger, params={"q": "ada"})
    assert answer.status_code == 403


# --- others --------------------------------------------------------------------------------


async def test_a_system_account_is_shown_the_payments_to_be_settled(
    rest: Rest, scene: Scene
) -> None:
    _, system = await rest.user(Role.SYSTEM)
    other = await new_payment(rest, scene.client, scene.membership)
    settled = {
        "client_id": scene.client,
        "membership_id": scene.membership,
        "payment_status": "PAID",
    }
    answer = await rest.http.put(f"/payments/{other}/", json=settled, headers=system)
    assert answer.status_code == 200
    assert await numbers(rest, system, "/payments/") == [scene.payment]
    assert await ask(rest, system, "/payments/", payment_status="PAID", total="true") == []
    of_client = f"/clients/{scene.client}/payments/"
    assert await numbers(rest, system, of_client) == [scene.payment]
    assert await ask(rest, system, of_client, payment_status="PAID", total="true") == []
    _, staffer = await rest.user(Role.STAFFER)
    assert await numbers(rest, staffer, "/payments/") == [scene.payment, other]


async def test_an_admin_sees_who_was_deleted_and_anybodys_sessions(
    rest: Rest, scene: Scene
) -> None:
    gone, _ = await rest.user(username="gone")
    session = await new_session(rest, scene.user)
    assert await numbers(rest, scene.admin, f"/users/{scene.user}/sessions/") == [session]
    await rest.do(DeleteUser(gone))
    assert gone not in await numbers(rest, scene.admin, "/users/")
    (deleted,) = await ask(rest, scene.admin, "/users/", deleted="true")
    for wrong in ("yes", "1", "True"):
        answer = await rest.http.get("/users/", headers=scene.admin, params={"deleted": wrong})
        assert answer.status_code == 422, wrong
    assert (deleted["id"], deleted["username"]) == (gone, "gone")
    assert deleted["deleted_at"] is not None


async def test_exercises_are_found_by_a_word_in_their_title(rest: Rest, scene: Scene) -> None:
    press = await new_exercise(rest, "Bench Press")
    assert await numbers(rest, scene.owner, "/exercises/", title_contains="PRESS") == [press]
    assert await numbers(rest, scene.owner, "/exercises/", title="bench press") == [press]
