"""Lists: pages, sorting, filters and totals."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from itertools import product
from typing import Any

from application import catalogue
from application.askable import AskableList
from application.clients import ClientBody, RegisterClient
from application.exercises import AddExercise, ExerciseBody
from application.memberships import AddMembership, MembershipBody
from application.payments import ChangePayment, PaymentBody
from application.reports import DrawUpReport, ReportBody
from application.training_plans import (
    AddTrainingToPlan,
    DrawUpPlan,
    PinBody,
    PinPlan,
    TrainingInPlanBody,
    TrainingPlanBody,
)
from application.trainings import (
    AddExerciseToTraining,
    PlanTraining,
    TrainingExerciseBody,
    TrainingWithExercises,
)
from domain.values import Role
from projections.views import LISTINGS
from tests.conftest import Rest
from tests.interfaces.rest.scenes import Headers, client_body, made, new_payment

ROWS = 6
LONG = "\U0001f3cb" * 199
"""With one digit more, the title that makes the longest cursor there can be."""

Row = dict[str, Any]


@dataclass
class Crowd:
    """A club with several of everything, with values that repeat and values that are missing."""

    admin: Headers
    plan: int
    client: int
    training: int


async def crowd(rest: Rest) -> Crowd:
    _, admin = await rest.user(Role.ADMIN)
    plan_ids, client_ids = [], []
    for n in range(ROWS):
        user, _ = await rest.user(Role.TRAINER if n % 3 else Role.USER)
        client_ids.append(await _one_client(rest, n, user))
        title, status = LONG + str(n % 3), "ACTIVE" if n % 2 else "DELAYED"
        plan = TrainingPlanBody.model_validate({"user_id": user, "title": title, "status": status})
        plan_ids.append(await made(rest, DrawUpPlan(plan)))
        await made(rest, DrawUpReport(ReportBody(report_date_start=f"2026-01-0{1 + n % 3}")))
    for training_id in range(1, ROWS + 1):
        await rest.do(AddTrainingToPlan(plan_ids[0], TrainingInPlanBody(training_id=training_id)))
    for plan_id in plan_ids:
        await rest.do(PinPlan(client_ids[0], PinBody(training_plan_id=plan_id)))
    for exercise_id in range(2, ROWS + 1):
        body = TrainingExerciseBody(
            training_id=1, exercise_id=exercise_id, order_in_training=exercise_id % 3 + 1
        )
        await rest.do(AddExerciseToTraining(body))
    return Crowd(admin, plan_ids[0], client_ids[0], training=1)


async def _one_client(rest: Rest, n: int, user: int) -> int:
    """A client with a membership, an exercise, a training and a payment."""
    level = {"access_level": "VIP"} if n % 2 else {}
    body = MembershipBody.model_validate({"price": str(n % 3), **level})
    membership = await made(rest, AddMembership(body))
    facts = client_body(user, membership, first_name=f"Ada {n % 3}")
    facts |= {"gender": "FEMALE"} if n % 2 else {}
    client = await made(rest, RegisterClient(ClientBody.model_validate(facts)))
    muscles = {"muscle_group": "CORE"} if n % 2 else {}
    exercise = ExerciseBody.model_validate({"title": f"Exercise {-n}", **muscles})
    exercise_id = await made(rest, AddExercise(exercise))
    days = {"date": f"2026-01-0{n}", "intensity": "LOW"} if n % 3 else {}
    training = TrainingWithExercises.model_validate(
        {"client_id": client, "title": LONG + str(n % 3), "exercise_ids": [exercise_id], **days}
    )
    await made(rest, PlanTraining(training))
    payment = await new_payment(rest, client, membership)
    if n % 2:
        paid = {"client_id": client, "membership_id": membership, "payment_status": "PAID"}
        await rest.do(ChangePayment(payment, PaymentBody.model_validate(paid)))
    return client


LISTS = {
    "/users/": "list-users",
    "/memberships/": "list-memberships",
    "/clients/": "list-clients",
    "/exercises/": "list-exercises",
    "/trainings/": "list-trainings",
    "/trainings-exercises/": "list-trainings-exercises",
    "/training-plans/": "list-training-plans",
    "/payments/": "list-payments",
    "/reports/": "list-reports",
    "/clients/{client_id}/training-plans/": "list-plans-of-client",
    "/training-plans/{training_plan_id}/trainings/": "list-trainings-in-plan",
    "/trainings/{training_id}/exercises/": "list-exercises-of-training",
}
"""Every list of which the crowd has several, as the catalogue names it."""

NOT_FOR_ONE_VALUE = {"deleted", "title_contains", "from_date", "to_date"}
"""Filters that are no column's value; `test_days_work` uses them."""


def lists(found: Crowd) -> dict[str, AskableList]:
    """The path of each list."""
    ids = {
        "client_id": found.client,
        "training_plan_id": found.plan,
        "training_id": found.training,
    }
    return {path.format(**ids): catalogue.LISTS[name] for path, name in LISTS.items()}


async def pages(rest: Rest, path: str, signed_in: Headers) -> list[list[Row]]:
    """All pages, as the Link of each leads to the next."""
    found = []
    answer = await rest.http.get(path, headers=signed_in)
    while True:
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if "next" not in answer.links:
            return found
        answer = await rest.http.get(answer.links["next"]["url"], headers=signed_in)


async def test_the_pages_of_every_list_in_every_order_show_every_row_once(rest: Rest) -> None:
    found = await crowd(rest)
    for path, listing in lists(found).items():
        whole = (await rest.http.get(f"{path}?limit=500", headers=found.admin)).json()
        assert len(whole) >= ROWS, path
        for column, sign in product(listing.columns, ("", "-")):
            asked = f"{path}?sort={sign}{column}"
            shown = await pages(rest, f"{asked}&limit=3", found.admin)
            rows = [row for page in shown for row in page]
            assert all(len(page) == 3 for page in shown[:-1]), asked
            assert sorted(rows, key=json.dumps) == sorted(whole, key=json.dumps), asked
            at_once = await rest.http.get(f"{asked}&limit=500", headers=found.admin)
            assert rows == at_once.json(), asked


async def test_rows_without_a_value_come_last_in_both_orders(rest: Rest) -> None:
    found = await crowd(rest)
    for sign in ("", "-"):
        answer = await rest.http.get(f"/trainings/?sort={sign}date", headers=found.admin)
        days = [row["date"] for row in answer.json()]
        known = [day for day in days if day is not None]
        assert known == sorted(known, reverse=sign == "-")
        assert days == known + [None] * (len(days) - len(known))
        assert len(known) < len(days)


async def test_what_ties_is_in_the_order_of_its_number(rest: Rest) -> None:
    found = await crowd(rest)
    answer = await rest.http.get("/clients/?sort=-first_name", headers=found.admin)
    by_name: dict[str, list[int]] = {}
    for row in answer.json():
        by_name.setdefault(row["first_name"], []).append(row["id"])
    assert list(by_name) == sorted(by_name, reverse=True)
    assert all(ids == sorted(ids) for ids in by_name.values())


async def test_rows_that_come_and_go_between_pages_move_no_others(rest: Rest) -> None:
    found = await crowd(rest)
    first = await rest.http.get("/exercises/?sort=title&limit=3", headers=found.admin)
    before = (await rest.http.get("/exercises/?sort=title", headers=found.admin)).json()
    await rest.http.delete(f"/exercises/{before[0]['id']}/", headers=found.admin)
    await rest.http.post("/exercises/", json={"title": "Aaa"}, headers=found.admin)
    second = await rest.http.get(first.links["next"]["url"], headers=found.admin)
    assert second.json() == before[3:6]


async def test_a_page_has_fifty_rows_unless_it_is_told_otherwise(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for number in range(51):
        await rest.do(AddExercise(ExerciseBody(title=f"Exercise {number}")))
    shown = await pages(rest, "/exercises/", admin)
    assert [len(page) for page in shown] == [50, 1]
    for limit, rows in ((1, 1), (500, 51)):
        answer = await rest.http.get(f"/exercises/?limit={limit}", headers=admin)
        assert len(answer.json()) == rows
    exactly = await rest.http.get("/exercises/?limit=51", headers=admin)
    assert "Link" not in exactly.headers


async def test_the_link_keeps_what_was_asked_for(rest: Rest) -> None:
    found = await crowd(rest)
    path = "/clients/?status=ACTIVE&first_name=Ada%201&limit=1&total=true&sort=-date_of_birth"
    shown = await pages(rest, path, found.admin)
    assert len(shown) > 1
    for row in (row for page in shown for row in page):
        assert (row["status"], row["first_name"]) == ("ACTIVE", "Ada 1")


async def test_every_filter_shows_what_has_its_value_and_nothing_else(rest: Rest) -> None:
    found = await crowd(rest)
    document = (await rest.http.get("/openapi.json")).json()
    checked = 0
    for template, (path, listing) in zip(LISTS, lists(found).items(), strict=True):
        operation = document["paths"][template]["get"]
        names = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        whole = (await rest.http.get(f"{path}?limit=500", headers=found.admin)).json()
        for name in names - {"limit", "after", "sort", "total"}:
            assert name in LISTINGS[listing.view].columns
            if name in NOT_FOR_ONE_VALUE:
                continue
            for value in {row[name] for row in whole} - {None}:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                params = {name: text, "total": "true"}
                answer = await rest.http.get(path, params=params, headers=found.admin)
                expected = [row for row in whole if row[name] == value]
                assert answer.json() == expected, (path, name, value)
                assert answer.headers["X-Total-Count"] == str(len(expected))
                checked += 1
    assert checked > 50


async def test_rows_are_counted_only_when_asked(rest: Rest) -> None:
    found = await crowd(rest)
    for path in (*lists(found), "/users/for-report/"):
        plain = await rest.http.get(f"{path}?limit=1", headers=found.admin)
        assert "X-Total-Count" not in plain.headers
        counted = await rest.http.get(f"{path}?limit=1&total=true", headers=found.admin)
        whole = await rest.http.get(f"{path}?limit=500", headers=found.admin)
        assert counted.headers["X-Total-Count"] == str(len(whole.json())), path


def cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


UNREADABLE = [
    *("", "A", "garbage", "%00", "%ff", "===", "e30", "bnVsbA", "W10", "A" * 2000),
    cursor(),
    cursor("1"),
    cursor("1", 1, 1, 1),
    cursor(1, 1),
    cursor("1", "1"),
    cursor("1", None),
    cursor("1", 1.5),
    cursor("1", True),
    cursor("1", 2**31),
    cursor("1", -(2**31)),
    cursor("1", [1]),
    cursor(["1"], 1),
    cursor({"a": 1}, 1),
    cursor("a\0b", 1),
    cursor("\ud800", 1),
]


async def test_a_cursor_that_no_page_gave_is_refused(rest: Rest) -> None:
    found = await crowd(rest)
    for after in UNREADABLE:
        for path in ("/exercises/", "/clients/?sort=gender&", "/trainings/?sort=date&"):
            asked = f"{path}{'' if path.endswith('&') else '?'}after={after}"
            answer = await rest.http.get(asked, headers=found.admin)
            assert answer.status_code == 422, asked
            assert answer.json()["type"] == "/problems/unreadable-cursor", asked


async def test_a_cursor_of_another_order_is_refused_or_harmless(rest: Rest) -> None:
    found = await crowd(rest)
    values = ("x", "1", "2026-01-01", "FEMALE", "9" * 400, "infinity", "NaN", "' OR 1=1 --", None)
    for path, listing in lists(found).items():
        for column, value in product(listing.columns, values):
            after = cursor(value, *[1] * len(LISTINGS[listing.view].keys))
            asked = f"{path}?sort={column}&after={after}"
            answer = await rest.http.get(asked, headers=found.admin)
            assert answer.status_code in {200, 422}, (asked, answer.text)


async def test_a_page_that_the_caller_has_is_not_sent_again(rest: Rest) -> None:
    scene = await crowd(rest)
    asked = "/exercises/?limit=2&total=true"
    page = await rest.http.get(asked, headers=scene.admin)
    etag = page.headers["ETag"]
    for given in (etag, f"W/{etag}", f'"7", {etag}', "*"):
        known = {**scene.admin, "If-None-Match": given}
        again = await rest.http.get(asked, headers=known)
        assert (again.status_code, again.content) == (304, b""), given
        for header in ("ETag", "Link", "X-Total-Count"):
            assert again.headers[header] == page.headers[header]
        head = await rest.http.head(asked, headers=known)
        assert head.status_code == 304
    for given in ('"7"', etag.strip('"'), ""):
        known = {**scene.admin, "If-None-Match": given}
        assert (await rest.http.get(asked, headers=known)).content == page.content, given


async def test_a_page_is_another_with_another_row_total_or_next_page(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)

    async def known(etag: str) -> bool:
        headers = {**admin, "If-None-Match": etag}
        return (await rest.http.get(asked, headers=headers)).status_code == 304

    asked = "/exercises/?limit=2&total=true"
    tags = [(await rest.http.get(asked, headers=admin)).headers["ETag"]]
    for title in ("Plank", "Squat", "Lunge", "Bridge"):
        # From the third on only the next page and the total differ, or the total alone.
        await rest.do(AddExercise(ExerciseBody(title=title)))
        tags.append((await rest.http.get(asked, headers=admin)).headers["ETag"])
        assert await known(tags[-1])
    assert len(set(tags)) == 5
    changed = await rest.http.patch("/exercises/1/", json={"title": "Side plank"}, headers=admin)
    assert changed.status_code == 200
    assert not await known(tags[-1])


async def test_a_page_of_what_is_not_in_reach_is_never_known(rest: Rest) -> None:
    scene = await crowd(rest)
    plans = f"/clients/{scene.client}/training-plans/"
    _, stranger = await rest.user()
    for path, headers, status in (
        (plans, stranger, 404),
        ("/users/", stranger, 403),
        ("/users/", {}, 401),
    ):
        answer = await rest.http.get(path, headers={**headers, "If-None-Match": "*"})
        assert answer.status_code == status
