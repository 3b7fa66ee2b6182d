"""Clients over REST."""

from __future__ import annotations

from application.memberships import AddMembership, MembershipBody
from domain.values import Role
from tests.conftest import Rest
from tests.interfaces.rest.scenes import client_body, new_client, new_membership


async def test_a_client_is_read_as_it_was_created(rest: Rest) -> None:
    user_id, _ = await rest.user()
    _, admin = await rest.user(Role.ADMIN)
    membership = await rest.do(AddMembership(MembershipBody(price="49.9")))
    assert membership.body is not None
    body = {
        "user_id": user_id,
        "membership_id": membership.body["id"],
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone_number": "+44 20 7946 0000",
        "date_of_birth": "1990-12-10",
        "weight_kg": "61.5",
    }
    created = await rest.http.post("/clients/", json=body, headers=admin)
    assert created.status_code == 201
    assert created.json()["weight_kg"] == "61.50"
    read = await rest.http.get(created.headers["Location"], headers=admin)
    assert read.status_code == 200
    assert read.json() == created.json()
    assert read.headers["ETag"] == created.headers["ETag"] == '"1"'


async def test_the_front_desk_grants_days_and_the_member_sees_until_when(rest: Rest) -> None:
    user_id, owner = await rest.user()
    _, desk = await rest.user(Role.STAFFER)
    client_id = await new_client(rest, user_id, status="EXPIRED")
    path = f"/clients/{client_id}/"
    refused = await rest.http.patch(path, json={"status": "ACTIVE"}, headers=desk)
    assert refused.status_code == 409
    assert f"POST {path}grants/" in refused.json()["detail"]
    grant = {"days": 10, "reason": "The pool was closed."}
    assert (await rest.http.post(f"{path}grants/", json=grant, headers=owner)).status_code == 403
    granted = await rest.http.post(f"{path}grants/", json=grant, headers=desk)
    assert granted.status_code == 201
    shown = await rest.http.get(granted.headers["Location"], headers=owner)
    assert shown.json() == granted.json()
    assert shown.headers["ETag"] == granted.headers["ETag"]
    assert (shown.json()["status"], shown.json()["kept_seconds"]) == ("ACTIVE", None)
    await rest.http.patch(path, json={"status": "ON_HOLD"}, headers=desk)
    paused = (await rest.http.get(f"{path}admission/", headers=owner)).json()
    assert paused["until"] is None
    assert 10 * 86_400 - 60 < paused["kept_seconds"] <= 10 * 86_400


async def test_a_member_is_let_in_provisionally_and_sees_it(rest: Rest) -> None:
    user_id, owner = await rest.user()
    body = client_body(user_id, await new_membership(rest))
    created = await rest.http.post("/clients/", json=body, headers=owner)
    assert (created.status_code, created.json()["status"]) == (201, "ACTIVE")
    path = f"{created.headers['Location']}admission/"
    shown = (await rest.http.get(path, headers=owner)).json()
    assert shown["provisional"]
    assert shown["until"] is not None
    _, stranger = await rest.user()
    assert (await rest.http.get(path, headers=stranger)).status_code == 404
