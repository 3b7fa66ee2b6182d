"""Every route does what the document says, in the documented columns."""

from __future__ import annotations

import re
from typing import Any

import httpx

from domain.values import Role
from tests.conftest import Rest
from tests.interfaces.rest.scenes import (
    Scene,
    client_body,
    furnished,
    new_client,
    new_exercise,
    new_membership,
    new_session,
    new_training,
)

Row = dict[str, Any]

COLUMNS = {
    "users": "id username email role created_at last_login deleted_at",
    "memberships": "id access_level description price",
    "clients": "id user_id membership_id first_name last_name phone_number gender date_of_birth "
    "weight_kg height_sm status",
    "exercises": "id title description muscle_group equipment_required complexity_lvl",
    "trainings": "id client_id training_type title intensity duration_min date description",
    "trainings-exercises": "training_id exercise_id order_in_training sets reps rest_time_sec "
    "extra_weight",
    "training-plans": "id user_id title description created_at status",
    "payments": "id client_id membership_id payment_status timestamp amount refund_announced_at",
    "reports": "id report_date_start report_date_end new_users drawn_at position daily timezone",
}
"""The documented columns; a user's are without its password's hash."""

DEFAULTS: dict[str, Row] = {
    "users": {"role": "USER", "last_login": None, "deleted_at": None},
    "memberships": {"access_level": None, "description": None},
    "clients": {"gender": None, "weight_kg": None, "height_sm": None, "status": "ACTIVE"},
    "exercises": {
        "description": None,
        "muscle_group": None,
        "equipment_required": False,
        "complexity_lvl": "BEGINNER",
    },
    "trainings": {
        "training_type": None,
        "intensity": None,
        "duration_min": 45,
        "date": None,
        "description": None,
    },
    "training-plans": {"description": None, "status": "ACTIVE"},
    "payments": {"payment_status": "PENDING", "amount": "49.90"},
}


async def least(rest: Rest, scene: Scene) -> dict[str, Row]:
    """The least that makes one of each."""
    user, _ = await rest.user()
    return {
        "users": {"username": "ada", "email": "ada@example.com", "password": "long enough"},
        "memberships": {"price": "49.90"},
        "clients": client_body(user, await new_membership(rest)),
        "exercises": {"title": "Plank"},
        "trainings": {"client_id": scene.client, "title": "Arms"},
        "training-plans": {"user_id": scene.user, "title": "Autumn"},
        "payments": {"client_id": scene.client, "membership_id": scene.membership},
    }


async def test_what_is_created_is_shown_as_it_was_created(rest: Rest) -> None:
    scene = await furnished(rest)
    http, admin = rest.http, scene.admin
    for kind, body in (await least(rest, scene)).items():
        created = await http.post(f"/{kind}/", json=body, headers=admin)
        assert created.status_code == 201, kind
        row = created.json()
        assert list(row) == COLUMNS[kind].split(), kind
        assert row.items() >= DEFAULTS[kind].items(), kind
        path = created.headers["Location"]
        assert path == f"/{kind}/{row['id']}/"

        read = await http.get(path, headers=admin)
        assert (read.status_code, read.json()) == (200, row), kind
        assert list(read.json()) == COLUMNS[kind].split()
        assert read.headers["ETag"] == created.headers["ETag"]
        listed = await http.get(f"/{kind}/?sort=-id&limit=1", headers=admin)
        assert listed.json() == [row], kind


async def test_what_is_replaced_by_itself_stays_and_what_is_deleted_goes(rest: Rest) -> None:
    scene = await furnished(rest)
    http, admin = rest.http, scene.admin
    for kind, body in (await least(rest, scene)).items():
        created = await http.post(f"/{kind}/", json=body, headers=admin)
        row, path = created.json(), created.headers["Location"]
        whole = {name: fact for name, fact in body.items() if name != "password"}
        replaced = await http.put(path, json=whole, headers=admin)
        assert (replaced.status_code, replaced.json()) == (200, row), kind
        assert replaced.headers["ETag"] == created.headers["ETag"], "nothing has changed"
        if kind != "payments":
            patched = await http.patch(path, json={}, headers=admin)
            assert (patched.status_code, patched.json()) == (200, row), kind

        deleted = await http.delete(path, headers=admin)
        assert (deleted.status_code, deleted.content) == (204, b""), kind
        assert (await http.get(path, headers=admin)).status_code == 404, kind
        assert (await http.delete(path, headers=admin)).status_code == 404, kind


CHANGES: dict[str, Row] = {
    "users": {"username": "grace", "email": "grace@example.com", "role": "TRAINER"},
    "memberships": {"access_level": "VIP", "description": "x", "price": "9999999999.99"},
    "clients": {
        "first_name": "Grace",
        "last_name": "Hopper",
        "phone_number": "+1",
        "gender": "FEMALE",
        "date_of_birth": "1906-12-09",
        "weight_kg": "61.50",
        "height_sm": "168.00",
        "status": "ON_HOLD",
    },
    "exercises": {
        "title": "Bridge",
        "description": "x",
        "muscle_group": "CORE",
        "equipment_required": True,
        "complexity_lvl": "MASTER",
    },
    "trainings": {
        "training_type": "YOGA",
        "title": "Arms",
        "intensity": "EXTREME",
        "duration_min": 90,
        "date": "2026-02-28",
        "description": "x",
    },
    "training-plans": {"title": "Autumn", "description": "x", "status": "COMPLETED"},
}


READ_ONLY: dict[str, Row] = {
    "users": {
        "id": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "last_login": "2026-01-01T00:00:00Z",
        "deleted_at": "2026-01-01T00:00:00Z",
    },
    "memberships": {"id": 999},
    "clients": {"id": 999},
    "exercises": {"id": 999},
    "trainings": {"id": 999},
    "training-plans": {"id": 999, "created_at": "2026-01-01T00:00:00Z"},
    "payments": {
        "id": 999,
        "amount": "1.00",
        "refund_announced_at": "2026-01-01T00:00:00Z",
    },
}


def numbers_of(scene: Scene) -> dict[str, int]:
    return {
        "users": scene.user,
        "memberships": scene.membership,
        "clients": scene.client,
        "exercises": scene.exercise,
        "trainings": scene.training,
        "training-plans": scene.plan,
        "payments": scene.payment,
    }


async def test_what_a_get_answers_can_be_put_back_and_changes_nothing(rest: Rest) -> None:
    scene = await furnished(rest)
    rows = {kind: f"/{kind}/{number}/" for kind, number in numbers_of(scene).items()}
    rows["doing"] = f"/trainings-exercises/{scene.training}/{scene.exercise}/"
    for kind, path in rows.items():
        for whose in (scene.admin, scene.owner):
            if whose is scene.owner and kind in {"memberships", "exercises"}:
                continue  # not theirs to change
            got = await rest.http.get(path, headers=whose)
            for headers in (whose, whose | {"If-Match": got.headers["ETag"]}):
                put = await rest.http.put(path, json=got.json(), headers=headers)
                assert (put.status_code, put.json()) == (200, got.json()), (kind, put.text)
                assert put.headers["ETag"] == got.headers["ETag"], kind


async def test_what_no_request_changes_is_refused_by_name_where_it_is_another(rest: Rest) -> None:
    scene = await furnished(rest)
    for kind, number in numbers_of(scene).items():
        path = f"/{kind}/{number}/"
        row = (await rest.http.get(path, headers=scene.admin)).json()
        for name, fact in READ_ONLY[kind].items():
            sent = row | {name: number + 1 if name == "id" else fact}
            put = await rest.http.put(path, json=sent, headers=scene.admin)
            assert (put.status_code, put.json()["type"]) == (422, "/problems/read-only"), kind
            assert [error["pointer"] for error in put.json()["errors"]] == [f"#/{name}"]
        assert (await rest.http.get(path, headers=scene.admin)).json() == row
    path = f"/trainings-exercises/{scene.training}/{scene.exercise}/"
    row = (await rest.http.get(path, headers=scene.admin)).json()
    for name in ("training_id", "exercise_id"):
        put = await rest.http.put(path, json=row | {name: 999}, headers=scene.admin)
        assert (put.status_code, put.json()["type"]) == (422, "/problems/read-only")


async def test_who_signed_in_since_puts_back_what_was_there_before(rest: Rest) -> None:
    user, admin = (await rest.user())[0], (await rest.user(Role.ADMIN))[1]
    path = f"/users/{user}/"
    before = (await rest.http.get(path, headers=admin)).json()
    await new_session(rest, user)
    assert (await rest.http.put(path, json=before, headers=admin)).status_code == 200
    later = before | {"last_login": "2099-01-01T00:00:00.000000Z"}
    put = await rest.http.put(path, json=later, headers=admin)
    assert [error["pointer"] for error in put.json()["errors"]] == ["#/last_login"]


async def test_an_old_answer_is_not_put_back_over_a_newer_one(rest: Rest) -> None:
    scene = await furnished(rest)
    for kind, changes in CHANGES.items():
        path = f"/{kind}/{numbers_of(scene)[kind]}/"
        old = await rest.http.get(path, headers=scene.admin)
        await rest.http.patch(path, json=changes, headers=scene.admin)
        headers = scene.admin | {"If-Match": old.headers["ETag"]}
        put = await rest.http.put(path, json=old.json(), headers=headers)
        assert (put.status_code, put.json()["type"]) == (412, "/problems/precondition-failed")


async def test_a_version_that_is_not_written_as_one_never_matches(rest: Rest) -> None:
    scene = await furnished(rest)
    path = f"/exercises/{scene.exercise}/"
    got = await rest.http.get(path, headers=scene.admin)
    version = got.headers["ETag"].strip('"')
    for junk in (
        *(version, "", '"', f'"{version}', f'{version}"', f"'{version}'", "W/", "**", '"*"'),
        *(f'x"{version}"', f'"{version}"x', f'"a" "{version}"', f'W"{version}"', "*, *"),
        f'"{version}"' + ", " * 5_000 + "x",
    ):
        put = await rest.http.put(path, json=got.json(), headers=scene.admin | {"If-Match": junk})
        assert put.status_code == 412, junk
        unread = await rest.http.get(path, headers=scene.admin | {"If-None-Match": junk})
        assert unread.status_code == 200, junk
    for tags in (f'"{version}"', f'"a",,"{version}" , ', f', "{version}"'):
        put = await rest.http.put(path, json=got.json(), headers=scene.admin | {"If-Match": tags})
        assert put.status_code == 200, tags


async def test_every_field_is_changed_alone_and_all_together(rest: Rest) -> None:
    scene = await furnished(rest)
    numbers = numbers_of(scene)
    for kind, changes in CHANGES.items():
        path = f"/{kind}/{numbers[kind]}/"
        row = (await rest.http.get(path, headers=scene.admin)).json()
        for name, fact in changes.items():
            row[name] = fact
            answer = await rest.http.patch(path, json={name: fact}, headers=scene.admin)
            assert (answer.status_code, answer.json()) == (200, row), (kind, name)
            assert (await rest.http.get(path, headers=scene.admin)).json() == row, (kind, name)
        whole = {k: v for k, v in row.items() if k in changes or k in {"user_id", "membership_id"}}
        whole |= {"client_id": scene.client} if kind == "trainings" else {}
        answer = await rest.http.put(path, json=whole, headers=scene.admin)
        assert (answer.status_code, answer.json()) == (200, row), kind


async def test_a_training_with_exercises_goes_by_both_spellings(rest: Rest) -> None:
    scene = await furnished(rest)
    second = await new_exercise(rest, "Lunge")
    for word in ("exercice-ids", "exercise-ids"):
        body = {"client_id": scene.client, "title": "Legs", "exercise_ids": [second, 1]}
        created = await rest.http.post(f"/trainings/{word}/", json=body, headers=scene.admin)
        assert created.status_code == 201
        row = created.json()
        assert list(row) == [*COLUMNS["trainings"].split(), "exercise_ids"]
        assert row["exercise_ids"] == [second, 1]
        assert created.headers["Location"] == f"/trainings/exercice-ids/{row['id']}/"
        read = await rest.http.get(f"/trainings/{word}/{row['id']}/", headers=scene.admin)
        assert (read.json(), read.headers["ETag"]) == (row, created.headers["ETag"])


async def test_an_exercise_of_a_training_is_named_by_both_its_numbers(rest: Rest) -> None:
    scene = await furnished(rest)
    http, admin = rest.http, scene.admin
    exercise = await new_exercise(rest, "Lunge")
    body = {"training_id": scene.training, "exercise_id": exercise, "order_in_training": 2}
    created = await http.post("/trainings-exercises/", json=body, headers=admin)
    assert created.status_code == 201
    row = created.json()
    assert list(row) == COLUMNS["trainings-exercises"].split()
    assert row == body | {"sets": 3, "reps": 10, "rest_time_sec": 60, "extra_weight": None}
    path = f"/trainings-exercises/{scene.training}/{exercise}/"
    assert created.headers["Location"] == path
    assert (await http.get(path, headers=admin)).json() == row
    patched = await http.patch(path, json={"extra_weight": "2.5"}, headers=admin)
    assert patched.json() == row | {"extra_weight": "2.50"}
    replaced = await http.put(path, json={"order_in_training": 5}, headers=admin)
    assert replaced.json() == row | {"order_in_training": 5}
    assert (await http.get(path, headers=admin)).json() == replaced.json()
    assert (await http.delete(path, headers=admin)).status_code == 204
    assert (await http.get(path, headers=admin)).status_code == 404


async def test_where_an_exercise_is_in_several_trainings_one_must_be_named(rest: Rest) -> None:
    scene = await furnished(rest)
    http = rest.http
    path, doing = f"/trainings-exercises/{scene.exercise}/", {"order_in_training": 7}
    alone = await http.put(path, json=doing, headers=scene.owner)
    assert (alone.status_code, alone.json()["training_id"]) == (200, scene.training)
    # Another client's training counts for those who reach it, and for nobody else.
    other_user, _ = await rest.user()
    other = await new_training(rest, await new_client(rest, other_user), scene.exercise)
    assert (await http.patch(path, json={"sets": 4}, headers=scene.owner)).status_code == 200
    for method, body in (("PUT", doing), ("PATCH", {"sets": 5}), ("DELETE", None)):
        refused = await http.request(method, path, json=body, headers=scene.admin)
        assert refused.status_code == 409
        assert refused.json()["errors"][0]["pointer"] == "#/training_id"
        assert "?training_id=" in refused.json()["detail"]
        unreached = await http.request(
            method, f"{path}?training_id={other}", json=body, headers=scene.owner
        )
        assert unreached.status_code == 404
        named = await http.request(
            method, f"{path}?training_id={other}", json=body, headers=scene.admin
        )
        assert named.status_code == (204 if method == "DELETE" else 200)
    kept = await http.get(
        f"/trainings-exercises/{scene.training}/{scene.exercise}/", headers=scene.owner
    )
    assert kept.json()["sets"] == 4
    nowhere = await http.delete("/trainings-exercises/999/", headers=scene.admin)
    assert nowhere.status_code == 404


async def test_a_client_follows_plans(rest: Rest) -> None:
    scene = await furnished(rest)
    http, admin = rest.http, scene.admin
    path = f"/clients/{scene.client}/training-plans/"
    followed = (await http.get(path, headers=admin)).json()
    assert [" ".join(row) for row in followed] == [
        "client_id training_plan_id pinned_at user_id title description created_at status"
    ]
    plan = {"user_id": scene.user, "title": "Autumn"}
    number = (await http.post("/training-plans/", json=plan, headers=admin)).json()["id"]
    pinned = await http.post(path, json={"training_plan_id": number}, headers=admin)
    assert pinned.status_code == 201
    assert pinned.headers["Location"] == f"{path}{number}/"
    listed = (await http.get(path, headers=admin)).json()
    assert listed[-1] == listed[-1] | pinned.json() | {"title": "Autumn", "user_id": scene.user}
    again = await http.post(path, json={"training_plan_id": number}, headers=admin)
    assert again.status_code == 409
    assert (await http.delete(f"{path}{number}/", headers=admin)).status_code == 204
    assert (await http.get(path, headers=admin)).json() == followed
    assert (await http.delete(f"{path}{number}/", headers=admin)).status_code == 404
    assert (await http.get("/clients/999/training-plans/", headers=admin)).status_code == 404


async def test_a_plan_that_their_client_follows_may_be_read_by_others(rest: Rest) -> None:
    scene = await furnished(rest)
    http, admin = rest.http, scene.admin
    follower_user, follower = await rest.user()
    client = await new_client(rest, follower_user)
    path = f"/training-plans/{scene.plan}/"
    assert (await http.get(path, headers=follower)).status_code == 404
    pin = {"training_plan_id": scene.plan}
    await http.post(f"/clients/{client}/training-plans/", json=pin, headers=admin)
    for shown in (path, f"{path}trainings/", f"/clients/{client}/training-plans/"):
        answer = await http.get(shown, headers=follower)
        assert answer.status_code == 200, shown
        assert answer.json(), shown
    assert (await http.patch(path, json={"title": "Mine"}, headers=follower)).status_code == 404


async def test_a_plan_holds_trainings(rest: Rest) -> None:
    scene = await furnished(rest)
    http, admin = rest.http, scene.admin
    path = f"/training-plans/{scene.plan}/trainings/"
    training = await new_training(rest, scene.client)
    added = await http.post(path, json={"training_id": training}, headers=admin)
    row = {"training_id": training, "training_plan_id": scene.plan}
    assert (added.status_code, added.json()) == (201, row)
    first = {"training_id": scene.training, "training_plan_id": scene.plan}
    assert (await http.get(path, headers=admin)).json() == [first, row]
    again = await http.post(path, json={"training_id": training}, headers=admin)
    assert again.status_code == 409
    assert (await http.delete(f"{path}{training}/", headers=admin)).status_code == 204
    assert (await http.get(path, headers=admin)).json() == [first]
    assert (await http.get("/training-plans/999/trainings/", headers=admin)).status_code == 404


async def test_a_report_holds_who_registered_on_its_days(rest: Rest) -> None:
    scene = await furnished(rest)
    _, analyst = await rest.user(Role.ANALYST)
    created = await rest.http.post("/reports/", json={}, headers=analyst)
    assert created.status_code == 201
    report = created.json()
    assert list(report) == COLUMNS["reports"].split()
    assert report["report_date_start"] == report["report_date_end"]
    users = (await rest.http.get("/users/for-report/", headers=analyst)).json()
    assert report["new_users"] == {"data": users}
    assert [list(user) for user in users] == [COLUMNS["users"].split()] * 3
    read = await rest.http.get(created.headers["Location"], headers=analyst)
    assert (read.json(), read.headers["ETag"]) == (report, created.headers["ETag"])
    past = {"report_date_start": "2020-01-01", "report_date_end": "2020-01-31"}
    empty = await rest.http.post("/reports/", json=past, headers=analyst)
    assert empty.json()["new_users"] == {"data": []}
    listed = await rest.http.get("/reports/", headers=scene.admin)
    assert [row["id"] for row in listed.json()] == [scene.report, report["id"], empty.json()["id"]]
    summary = {name: fact for name, fact in empty.json().items() if name != "new_users"}
    assert listed.json()[-1] == summary, "a list is without the users"


async def test_a_report_says_as_of_which_moment_and_position_it_shows_its_users(rest: Rest) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    made = await rest.http.post("/reports/", headers=analyst)
    await rest.user()
    position = int(made.headers["Ledger-Position"])
    rows = await rest.club.postgres.rows(
        "SELECT topic, (convert_from(state, 'UTF8')::json -> 'timestamp')::text "
        "FROM ledger_events WHERE notification_id = %s",
        [position],
    )
    assert [topic for topic, _ in rows] == ["report.drawn-up"]
    read = (await rest.http.get(made.headers["Location"], headers=analyst)).json()
    assert (read["position"], made.json()["position"]) == (position, position)
    assert read["drawn_at"].removesuffix("Z") in rows[0][1]


async def test_a_report_on_today_takes_no_body(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    made = await rest.http.post("/reports/", headers=admin)
    assert made.status_code == 201
    again = await rest.http.post("/reports/", json={}, headers=admin)
    days = ("report_date_start", "report_date_end", "new_users")
    assert [made.json()[day] for day in days] == [again.json()[day] for day in days]


async def test_users_for_a_report_are_those_of_its_days(rest: Rest) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    path = "/users/for-report/"
    today = (await rest.http.get(path, headers=analyst)).json()[0]["created_at"][:10]
    for query, rows in [
        (f"from_date={today}", 1),
        (f"to_date={today}", 1),
        (f"from_date={today}&to_date={today}", 1),
        ("from_date=2199-12-31", 0),
        ("to_date=2020-01-01", 0),
    ]:
        answer = await rest.http.get(f"{path}?{query}", headers=analyst)
        assert (answer.status_code, len(answer.json())) == (200, rows), query


async def test_whoever_registers_is_a_user_and_nothing_more(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    body = {"username": "ada", "email": "ada@example.com", "password": "long enough"}
    for role in Role:
        if role is not Role.USER:
            refused = await rest.http.post("/users/", json={**body, "role": role})
            assert refused.status_code == 403
            assert refused.json()["errors"][0]["pointer"] == "#/role"
    created = await rest.http.post("/users/", json={**body, "role": "USER"})
    assert (created.status_code, created.json()["role"]) == (201, "USER")
    signed_in = rest.token(created.json()["id"])
    path = created.headers["Location"]
    refused = await rest.http.patch(path, json={"role": "ADMIN"}, headers=signed_in)
    assert refused.status_code == 403
    granted = await rest.http.patch(path, json={"role": "ADMIN"}, headers=admin)
    assert granted.json()["role"] == "ADMIN"
    again = await rest.http.post("/users/", json={**body, "email": "other@example.com"})
    assert again.status_code == 409


async def test_nobody_grants_themselves_what_the_club_sells(rest: Rest) -> None:
    scene = await furnished(rest)
    other = await new_membership(rest)
    client, payment = f"/clients/{scene.client}/", f"/payments/{scene.payment}/"
    pays = {"client_id": scene.client, "membership_id": scene.membership}
    for path, method, body, field in [
        (client, "PATCH", {"status": "INACTIVE"}, "status"),
        (client, "PATCH", {"membership_id": other}, "membership_id"),
        (client, "PATCH", {"user_id": scene.admin_id}, "user_id"),
        (payment, "PUT", pays | {"payment_status": "PAID"}, "payment_status"),
        (payment, "PUT", pays | {"membership_id": other}, "membership_id"),
        (payment, "PUT", pays | {"timestamp": "2026-01-31T09:00:00Z"}, "timestamp"),
    ]:
        refused = await rest.http.request(method, path, json=body, headers=scene.owner)
        assert refused.status_code == 403, body
        assert refused.json()["errors"][0]["pointer"] == f"#/{field}"
    cancelled = await rest.http.put(
        payment, json=pays | {"payment_status": "CANCELLED"}, headers=scene.owner
    )
    assert cancelled.json()["payment_status"] == "CANCELLED"


async def test_no_password_and_no_hash_of_one_is_ever_answered(rest: Rest) -> None:
    """In no answer of a session that touches users in every way there is."""
    said: list[str] = []

    async def keep(response: httpx.Response) -> None:
        said.append((await response.aread()).decode())

    rest.http.event_hooks = {"response": [keep]}
    scene = await furnished(rest)
    headers = {**scene.admin, "Idempotency-Key": "one"}
    body = {"username": "ada", "email": "ada@example.com", "password": "Xyzzy-plugh-1"}
    for _ in range(2):
        created = await rest.http.post("/users/", json=body, headers=headers)
    path = created.headers["Location"]
    await rest.http.post("/users/", json=body | {"role": "X"})
    await rest.http.post("/users/", json=body)
    await rest.http.put(path, json=body | {"password": "Xyzzy-plugh-2"}, headers=scene.admin)
    await rest.http.patch(path, json={"password": "Xyzzy-plugh-3"}, headers=scene.admin)
    await rest.http.patch(path, json={"password": "Xyzzy"}, headers=scene.admin)
    await rest.http.post("/reports/", json={}, headers=scene.admin)
    document = (await rest.http.get("/openapi.json")).json()
    said.pop()
    for found in [*document["paths"], path, "/reports/1/", "/metrics"]:
        path = re.sub(r"\{\w+\}", "1", found)
        await rest.http.get(path, headers=scene.admin)
    rows = await rest.club.postgres.rows("SELECT password_hash FROM users")
    secrets = ["Xyzzy", "argon2", "password_hash", *(row[0] for row in rows)]
    assert len(said) > 30
    assert [text for text in said for secret in secrets if secret in text] == []
