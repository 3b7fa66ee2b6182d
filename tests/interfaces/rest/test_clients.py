"""Clients over REST."""

from __future__ import annotations

from application.memberships import AddMembership, MembershipBody
from domain.values import Role
from tests.conftest import Rest


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
