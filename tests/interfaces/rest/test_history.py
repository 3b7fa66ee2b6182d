"""What happened, and who may know: to one thing, in all of the club, and what led to what."""

from __future__ import annotations

import base64
import json
import re
import tracemalloc
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from application.access import THE_CLUB, Caller
from application.clients import ChangeClient, DeleteClient
from application.command import Context
from application.history import CHUNK, LAST
from application.memberships import ChangeMembership
from application.payments import ChangePayment, PaymentBody
from application.users import ChangeUser, UserChanges
from application.walk_ins import RegisterWalkIn, WalkInBody
from domain.clients import Client
from domain.values import PaymentStatus, Role
from tests.conftest import Rest
from tests.interfaces.rest.scenes import (
    Headers,
    Scene,
    client_body,
    furnished,
    new_client,
    new_membership,
    new_session,
    walk_in_body,
)

Entries = list[dict[str, Any]]


@pytest.fixture
async def scene(rest: Rest) -> Scene:
    return await furnished(rest)


async def history(rest: Rest, path: str, headers: Headers, **query: Any) -> Entries:
    answer = await rest.http.get(path, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    entries: Entries = answer.json()
    return entries


async def every_page(rest: Rest, path: str, headers: Headers, **query: Any) -> list[Entries]:
    """All pages, as the links lead to them."""
    pages = []
    answer = await rest.http.get(path, params=query, headers=headers)
    while True:
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        link = re.match(r'<(.*)>; rel="next"', answer.headers.get("Link", ""))
        if link is None:
            return pages
        answer = await rest.http.get(link[1], headers=headers)


async def noted(rest: Rest) -> list[tuple[str, str]]:
    """Who asked for what, as the ledger has it."""
    rows = await rest.club.postgres.rows(
        "SELECT actor, convert_from(state, 'UTF8')::json ->> 'asked' FROM ledger_events "
        "WHERE topic = 'audit-reading.made' ORDER BY notification_id"
    )
    return [(actor, asked) for actor, asked in rows]


# --- one thing ---------------------------------------------------------------------------------


async def test_a_history_tells_what_changed_before_and_after_and_who_did_it(
    rest: Rest, scene: Scene
) -> None:
    desk_id, _ = await rest.user(Role.STAFFER)
    desk = Caller.user(desk_id, Role.STAFFER)
    await rest.do(ChangeClient(scene.client, {"phone_number": "+44 20 7946 0001"}), desk)
    await rest.do(ChangeClient(scene.client, {"status": "ON_HOLD"}), desk)
    entries = await history(rest, f"/history/clients/{scene.client}/", scene.admin)
    assert [e["type"] for e in entries] == [
        "client.registered",
        "client.details-changed",
        "client.put-on-hold",
    ]
    first, details, hold = entries
    assert {"field": "last_name", "before": None, "after": "Lovelace"} in first["changes"]
    assert details["changes"] == [
        {"field": "phone_number", "before": "+44 20 7946 0000", "after": "+44 20 7946 0001"}
    ]
    assert hold["changes"] == [{"field": "status", "before": "ACTIVE", "after": "ON_HOLD"}]
    assert hold["said"] == "The client pauses"
    assert (hold["actor"], hold["command"]) == (f"user-{desk_id}", "change-client")
    assert (hold["resource"], hold["version"]) == ("client", 3)
    assert hold["subject"] == f"client-{scene.client}"


async def test_how_an_exercise_is_done_is_told_before_and_after(rest: Rest, scene: Scene) -> None:
    path = f"/trainings-exercises/{scene.training}/{scene.exercise}/"
    await rest.http.patch(path, json={"sets": 5}, headers=scene.owner)
    await rest.http.delete(path, headers=scene.owner)
    *_, changed, removed = await history(rest, f"/history/trainings/{scene.training}/", scene.admin)
    assert changed["changes"] == [{"field": "sets", "before": 3, "after": 5}]
    assert changed["facts"] == {"exercise_id": scene.exercise}
    assert {"field": "sets", "before": 5, "after": None} in removed["changes"]


async def test_no_hash_no_code_and_no_address_is_in_any_history(rest: Rest, scene: Scene) -> None:
    await new_session(rest, scene.user)
    changes = UserChanges.model_validate({"password": "another one", "email": "a@example.com"})
    await rest.do(ChangeUser(scene.user, changes))
    await rest.do(ChangeUser(scene.user, UserChanges.model_validate({"role": Role.TRAINER})))
    answer = await rest.http.get(f"/history/users/{scene.user}/", headers=scene.admin)
    assert "argon2" not in answer.text
    assert "this-machine" not in answer.text
    hidden = {entry["type"]: entry["withheld"] for entry in answer.json()}
    assert hidden["user.registered"] == hidden["user.password-changed"] == ["password_hash"]
    assert hidden["user.signed-in"] == hidden["user.role-changed"] == ["origin"]
    by_type = {entry["type"]: entry["changes"] for entry in answer.json()}
    assert [c["field"] for c in by_type["user.signed-in"]] == ["last_login"]
    assert by_type["user.email-changed"][0]["after"] == "a@example.com"
    sessions = await rest.http.get("/history/sessions/1/", headers=scene.admin)
    assert "this-machine" not in sessions.text
    log = await rest.http.get("/history/", params={"limit": 500}, headers=scene.admin)
    assert [e["subject"] for e in log.json() if e["resource"] == "reservation"].count(None) > 3
    assert not re.search("[0-9a-f]{32}", re.sub('"([a-z]+_id|subject)":"[^"]+"', "", log.text))


async def test_subscriptions_and_links_to_pages_have_histories_that_give_no_link_away(
    rest: Rest, scene: Scene
) -> None:
    _, analyst = await rest.user(Role.ANALYST)
    wanted = await rest.http.put("/reports/subscriptions/", json={"daily": True}, headers=analyst)
    assert wanted.status_code == 200, wanted.text
    made = await rest.http.post("/reports/overview/links/", json={}, headers=analyst)
    assert made.status_code == 201, made.text
    number = made.json()["id"]
    log = await history(rest, "/history/", scene.admin, sort="-position", limit=10)
    subjects = {entry["type"]: entry["subject"] for entry in log}
    user = subjects["subscription.taken-out"].rpartition("-")[2]
    assert await history(rest, f"/history/subscriptions/{user}/", scene.admin) != []
    answer = await rest.http.get(f"/history/page-links/{number}/", headers=scene.admin)
    assert [entry["type"] for entry in answer.json()] == ["page-link.made"]
    token = made.json()["url"].rpartition("=")[2].rpartition("/")[2]
    assert len(token) > 20
    assert token not in answer.text


async def test_what_is_gone_has_its_history_and_what_never_was_has_none(
    rest: Rest, scene: Scene
) -> None:
    await rest.do(DeleteClient(scene.client))
    for path in (f"/history/clients/{scene.client}/", f"/clients/{scene.client}/history/"):
        for headers in (scene.admin, scene.owner):
            if path.startswith("/history") and headers is scene.owner:
                continue
            entries = await history(rest, path, headers)
            assert entries[-1]["type"] == "client.deleted"
    for path in ("/history/clients/99/", "/history/rules/2/", "/history/events/999999/why/"):
        assert (await rest.http.get(path, headers=scene.admin)).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/history/client/1/",
        "/history/reservations/1/",
        "/history/clients/0/",
        "/history/clients/99999999999/",
        "/history/clients/one/",
        "/history/events/0/why/",
        "/history/events/99999999999999999999/why/",
        "/history/?from_position=0",
        "/history/?to_position=99999999999999999999",
        "/history/?sort=actor",
        "/history/?after=nonsense",
        "/history/?total=true",
        "/history/?actor=%00",
        "/history/clients/1/?after=WyJsb2ciLDEsMl0",
        "/history/?after=WyJjbGllbnQtMSIsMV0",
        "/history/?after=WyJsb2ciLDEsMjk5OTk5OTk5OTk5OTk5OTk5OTldXQ",
    ],
)
async def test_what_makes_no_sense_is_refused(rest: Rest, scene: Scene, path: str) -> None:
    answer = await rest.http.get(path, headers=scene.admin)
    assert answer.status_code == 422, answer.text
    assert await noted(rest) == [] or "after" in path


async def test_the_cursor_of_another_list_is_none(rest: Rest, scene: Scene) -> None:
    await rest.do(ChangeClient(scene.client, {"status": "ON_HOLD"}))
    one = await rest.http.get(
        f"/history/clients/{scene.client}/", params={"limit": 1}, headers=scene.admin
    )
    after = re.search("after=([^>]+)>", one.headers["Link"])
    assert after
    for other in (f"/history/users/{scene.user}/", "/history/"):
        query = {"after": after[1]}
        answer = await rest.http.get(other, params=query, headers=scene.admin)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unreadable-cursor")


async def test_pages_in_either_order_have_everything_once(rest: Rest, scene: Scene) -> None:
    for number in range(9):
        await rest.do(ChangeMembership(scene.membership, {"price": f"{number}.00"}))
    path = f"/history/memberships/{scene.membership}/"
    whole = await history(rest, path, scene.admin)
    assert len(whole) == 10
    for sort, expected in (("position", whole), ("-position", whole[::-1])):
        for limit in (1, 3, 10):
            pages = await every_page(rest, path, scene.admin, sort=sort, limit=limit)
            assert [entry for page in pages for entry in page] == expected
    middle = whole[3]["position"], whole[6]["position"]
    within = {"from_position": middle[0], "to_position": middle[1]}
    assert await history(rest, path, scene.admin, **within) == whole[3:7]
    repriced = await history(rest, path, scene.admin, type="membership.repriced", limit=4)
    assert repriced == whole[1:5]
    known = await rest.http.get(path, headers=scene.admin)
    headers = {**scene.admin, "If-None-Match": known.headers["ETag"]}
    assert (await rest.http.get(path, headers=headers)).status_code == 304


async def test_a_long_history_is_told_in_pages_wherever_one_begins(
    rest: Rest, scene: Scene
) -> None:
    """More events than are read together, also the states in between are right."""
    events = 2 * CHUNK + 30
    await _reprice(rest, scene.membership, events)
    path = f"/history/memberships/{scene.membership}/"
    newest = await history(rest, path, scene.admin, sort="-position", limit=3)
    assert [entry["changes"] for entry in newest] == [
        [{"field": "price", "before": f"{n - 1}.00", "after": f"{n}.00"}]
        for n in (events, events - 1, events - 2)
    ]
    rest.club.past._states._kept.clear()
    pages = await every_page(rest, path, scene.admin, limit=400)
    told = [entry for page in pages for entry in page]
    assert [entry["version"] for entry in told] == list(range(1, events + 2))
    for one, other in pairwise(told[1:]):
        assert one["changes"][0]["after"] == other["changes"][0]["before"]


async def test_a_hundred_thousand_events_are_told_in_bounded_memory(
    rest: Rest, scene: Scene
) -> None:
    await _reprice(rest, scene.membership, 100_000)
    path = f"/history/memberships/{scene.membership}/"
    tracemalloc.start()
    try:
        newest = await history(rest, path, scene.admin, sort="-position", limit=2)
        middle = await history(rest, path, scene.admin, from_position=50_000, limit=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [entry["changes"][0]["after"] for entry in newest] == ["100000.00", "99999.00"]
    assert [entry["position"] for entry in middle] == [50_000, 50_001]
    assert middle[1]["changes"][0]["before"] == middle[0]["changes"][0]["after"]
    assert peak < 10_000_000, peak


async def _reprice(rest: Rest, membership: int, times: int) -> None:
    """So many events at once, as a writer would have recorded them."""
    async with await psycopg.AsyncConnection.connect(
        rest.club.postgres.url, autocommit=True
    ) as connection:
        await connection.execute(
            """
            INSERT INTO ledger_events (originator_id, originator_version, topic, state,
                notification_id, actor, command, command_id, correlation_id, causation_id)
            SELECT 'membership-' || %s::text, n + 1, 'membership.repriced',
                convert_to('{"timestamp":{"_type_":"datetime_iso",'
                    '"_data_":"2026-03-02T09:00:00+00:00"},"price":"' || n || '.00"}', 'UTF8'),
                (SELECT max(notification_id) FROM ledger_events) + n,
                'club', 'change-membership', 'many', 'many', 'many'
            FROM generate_series(1, %s) AS n
            """,
            [membership, times],
        )


async def test_an_event_of_a_newer_release_is_named_and_never_guessed(
    rest: Rest, scene: Scene
) -> None:
    await rest.do(ChangeMembership(scene.membership, {"price": "1.00"}))
    await rest.club.postgres.rows(
        "INSERT INTO ledger_events (originator_id, originator_version, topic, state, "
        "notification_id, actor, command, command_id, correlation_id, causation_id) "
        "SELECT 'membership-' || %s::text, 3, 'membership.gilded', '{}', max(notification_id) + 1,"
        " 'club', 'gild', 'c', 'r', 'c' FROM ledger_events RETURNING 1",
        [scene.membership],
    )
    path = f"/history/memberships/{scene.membership}/"
    *known, newer = await history(rest, path, scene.admin)
    assert [entry["type"] for entry in known] == ["membership.added", "membership.repriced"]
    assert (newer["type"], newer["said"]) == ("membership.gilded", None)
    assert newer["unreadable"] == "this release does not know such an event"
    assert (newer["changes"], newer["facts"]) == ([], {})
    row = f"/memberships/{scene.membership}/"
    then = {"as_of": str(newer["position"] - 1)}
    assert (await rest.http.get(row, params=then, headers=scene.admin)).json()["price"] == "1.00"
    then = {"as_of": str(newer["position"])}
    answer = await rest.http.get(row, params=then, headers=scene.admin)
    assert answer.status_code == 503
    assert f"position {newer['position']} (membership.gilded)" in answer.json()["detail"]


async def test_the_digest_of_what_is_unreadable_is_not_told_either(
    rest: Rest, scene: Scene
) -> None:
    """Neither of a reservation, nor of what only a newer release knows."""
    await rest.club.postgres.rows(
        "INSERT INTO ledger_events (originator_id, originator_version, topic, state, "
        "notification_id, actor, command, command_id, correlation_id, causation_id) "
        "SELECT made.id, 9, made.topic, '{}', head + made.after, 'club', 'gild', 'c', 'r', 'c' "
        "FROM (VALUES ('reservation-abcdef', 'reservation.gilded', 1), "
        "('badge-abcdef', 'badge.worn', 2)) AS made (id, topic, after), "
        "(SELECT max(notification_id) AS head FROM ledger_events) AS ends RETURNING 1"
    )
    answer = await rest.http.get("/history/?sort=-position&limit=3", headers=scene.admin)
    unreadable = [entry["type"] for entry in answer.json() if entry["unreadable"]]
    assert unreadable == ["badge.worn", "reservation.gilded"]
    assert "abcdef" not in answer.text


async def test_no_page_of_one_things_history_looks_through_all_of_it(
    rest: Rest, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.history.past.MOST_LOOKED_AT", 10)
    await _reprice(rest, scene.membership, 95)
    path = f"/history/memberships/{scene.membership}/"
    for sort in ("position", "-position"):
        query = {"sort": sort, "type": "membership.added", "limit": 50}
        pages = await every_page(rest, path, scene.admin, **query)
        assert [len(page) for page in pages].count(0) == 9
        assert [entry["version"] for page in pages for entry in page] == [1]
        whole = await every_page(rest, path, scene.admin, sort=sort)
        assert sorted(entry["version"] for page in whole for entry in page) == list(range(1, 97))


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "10000-01-01Z", "0001-01-01 BC"])
async def test_a_moment_that_cannot_be_is_said_and_all_else_is_told(
    rest: Rest, scene: Scene, database: str, moment: str
) -> None:
    """Only a superuser can make it one; an owner in a dispute asks all the same."""
    path = f"/history/clients/{scene.client}/"
    (entry,) = await history(rest, path, scene.admin)
    with psycopg.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger
        connection.execute(
            "UPDATE ledger_events SET recorded_at = %s WHERE notification_id = %s",
            [moment, entry["position"]],
        )
    assert await history(rest, path, scene.admin) == [entry | {"recorded_at": None}]
    log = await history(rest, "/history/", scene.admin, limit=500)
    assert [e["position"] for e in log if e["recorded_at"] is None] == [entry["position"]]
    why = await rest.http.get(f"/history/events/{entry['position']}/why/", headers=scene.admin)
    assert (why.status_code, why.json()["command"]) == (200, "register-client")


# --- one's own ---------------------------------------------------------------------------------


async def test_members_read_their_own_history_without_other_peoples_names(
    rest: Rest, scene: Scene
) -> None:
    desk_id, _ = await rest.user(Role.STAFFER)
    desk = Caller.user(desk_id, Role.STAFFER)
    me = Caller.user(scene.user, Role.USER)
    await rest.do(ChangeClient(scene.client, {"phone_number": "+44 20 7946 0001"}), me)
    paid = PaymentBody(
        client_id=scene.client,
        membership_id=scene.membership,
        payment_status=PaymentStatus.PAID,
    )
    await rest.club.bus.execute(
        ChangePayment(scene.payment, paid), Context(desk, f"from-the-desk-of-{desk_id}")
    )
    answer = await rest.http.get(f"/clients/{scene.client}/history/", headers=scene.owner)
    said = [(entry["type"], entry["actor"]) for entry in answer.json()]
    assert said == [
        ("client.registered", "club"),
        ("client.details-changed", "you"),
        ("client.admitted", "other"),
    ]
    assert f"user-{desk_id}" not in answer.text
    assert "from-the-desk" not in answer.text
    payment = await history(rest, f"/payments/{scene.payment}/history/", scene.owner)
    assert [(e["type"], e["actor"]) for e in payment] == [
        ("payment.requested", "club"),
        ("payment.settled", "other"),
    ]
    assert {"field": "payment_status", "before": "PENDING", "after": "PAID"} in payment[1][
        "changes"
    ]
    assert await noted(rest) == [], "one's own is one's own"


async def test_members_are_told_how_they_became_clients(rest: Rest) -> None:
    """Whoever made them one: what begins with being theirs was theirs in each of its events."""
    offer = await new_membership(rest)
    _, owner = member = await rest.user()
    joined = await rest.http.post("/clients/", json=client_body(member[0], offer), headers=owner)
    number = joined.json()["id"]
    shown = await history(rest, f"/clients/{number}/history/", owner)
    assert [(e["version"], e["type"], e["actor"]) for e in shown] == [
        (1, "client.registered", "you"),
        (2, "client.admitted-provisionally", "you"),
    ]
    (until,) = [c for c in shown[1]["changes"] if c["field"] == "until"]
    assert until["after"] is not None
    then = {"as_of": shown[0]["position"]}
    was = await rest.http.get(f"/clients/{number}/", params=then, headers=owner)
    assert (was.status_code, was.json()["id"]) == (200, number)
    body = RegisterWalkIn(WalkInBody.model_validate(walk_in_body(offer, paid=True)))
    taken_in = (await rest.do(body)).body
    assert taken_in is not None
    theirs = rest.token(taken_in["user"]["id"])
    shown = await history(rest, f"/clients/{taken_in['client']['id']}/history/", theirs)
    assert [e["version"] for e in shown] == [1, 2, 3]
    (until,) = [c for c in shown[2]["changes"] if c["field"] == "until"]
    assert until["before"] is not None, "until when the club had patience"


async def test_what_was_another_persons_before_is_no_history_of_ones_own(
    rest: Rest, scene: Scene
) -> None:
    """Also not to whoever writes a cursor of the pages before, or says who changed the name."""
    await rest.do(ChangeClient(scene.client, {"phone_number": "+44 20 7946 0001"}))
    new_user, new_owner = await rest.user()
    await rest.do(
        ChangeClient(scene.client, {"user_id": new_user, "first_name": "Grace", "gender": "FEMALE"})
    )
    await rest.do(ChangeClient(scene.client, {"phone_number": "+44 20 7946 0002"}))
    path = f"/clients/{scene.client}/history/"
    cursors: dict[str, dict[str, str]] = {
        "-position": {"sort": "-position"},
        "from": {"from_position": "1"},
        "forged": {"after": _cursor(f"client-{scene.client}", 0)},
        "forged-last": {"after": _cursor(f"client-{scene.client}", 99), "sort": "-position"},
    }
    for query in [{}, *cursors.values()]:
        answer = await rest.http.get(path, params=query, headers=new_owner)
        entries = sorted(answer.json(), key=lambda entry: entry["position"])
        assert [entry["type"] for entry in entries] == ["client.details-changed"] * 2, query
        assert "Ada" not in answer.text
        assert "7946 0000" not in answer.text
        assert {"field": "first_name", "before": None, "after": "Grace"} in entries[0]["changes"]
    assert await history(rest, f"/payments/{scene.payment}/history/", new_owner) == []
    other_user, other_owner = await rest.user()
    other = await new_client(rest, other_user)
    held = await rest.club.past.was(f"client-{other}", LAST)
    assert isinstance(held, Client)
    moved = PaymentBody(client_id=other, membership_id=held.membership_id)
    await rest.do(ChangePayment(scene.payment, moved))
    (only,) = await history(rest, f"/payments/{scene.payment}/history/", other_owner)
    assert {"field": "client_id", "before": None, "after": other} in only["changes"]
    assert {change["before"] for change in only["changes"]} == {None}


def _cursor(*place: str | int) -> str:
    """One that nobody was given."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


# --- the log -----------------------------------------------------------------------------------


async def test_the_log_has_everything_once_and_ends_where_it_began_to_be_read(
    rest: Rest, scene: Scene
) -> None:
    ((head,),) = await rest.club.postgres.rows("SELECT max(notification_id) FROM ledger_events")
    for sort in ("position", "-position"):
        pages = await every_page(
            rest, "/history/", scene.admin, sort=sort, limit=7, to_position=head
        )
        positions = [entry["position"] for page in pages for entry in page]
        assert sorted(positions) == list(range(1, head + 1))
        assert positions == sorted(positions, reverse=sort == "-position")
    pages = await every_page(rest, "/history/", scene.admin, limit=5)
    assert len(pages) < (head + 100) / 5, "each page that is read adds an event, and it ends"


async def test_the_log_is_filtered(rest: Rest, scene: Scene) -> None:
    me = Caller.user(scene.user, Role.USER)
    await rest.club.bus.execute(
        ChangeClient(scene.client, {"phone_number": "+44 20 7946 0002"}), Context(me, "my-request")
    )
    for query in (
        {"actor": f"user-{scene.user}"},
        {"correlation_id": "my-request"},
        {"type": "client.details-changed", "actor": f"user-{scene.user}"},
    ):
        found = await history(rest, "/history/", scene.admin, **query)
        assert [entry["type"] for entry in found] == ["client.details-changed"], query
    assert await history(rest, "/history/", scene.admin, correlation_id="nobodys") == []


async def test_a_rare_thing_is_found_page_by_page_and_no_page_looks_through_all(
    rest: Rest, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ledger.history.MOST_LOOKED_AT", 10)
    await _reprice(rest, scene.membership, 300)
    for sort in ("position", "-position"):
        query = {"sort": sort, "type": "report.drawn-up", "limit": 50}
        pages = await every_page(rest, "/history/", scene.admin, **query)
        assert len(pages) > 20
        assert sum(len(page) for page in pages) == 1


async def test_no_page_of_one_conversation_looks_through_all_of_it(
    rest: Rest, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ledger.history.MOST_LOOKED_AT", 10)
    await _reprice(rest, scene.membership, 95)
    ((last,),) = await rest.club.postgres.rows("SELECT max(notification_id) FROM ledger_events")
    for sort, of_type in (("position", "client.deleted"), ("-position", "client.deleted")):
        query = {"sort": sort, "correlation_id": "many", "to_position": last}
        nothing = await every_page(rest, "/history/", scene.admin, **query, type=of_type)
        assert len(nothing) > 9
        assert sum(len(page) for page in nothing) == 0
        pages = await every_page(rest, "/history/", scene.admin, **query)
        assert max(len(page) for page in pages) == 10
        told = [entry["position"] for page in pages for entry in page]
        assert sorted(told) == list(range(last - 94, last + 1))


# --- why ---------------------------------------------------------------------------------------


async def test_causes_are_followed_both_ways(rest: Rest, scene: Scene) -> None:
    await rest.do(DeleteClient(scene.client), THE_CLUB)
    log = await history(rest, "/history/", scene.admin, limit=500)
    by_type = {entry["type"]: entry["position"] for entry in log}
    root = await rest.http.get(
        f"/history/events/{by_type['client.deleted']}/why/", headers=scene.admin
    )
    told = root.json()
    assert (told["command"], told["actor"], told["by"]) == ("delete-client", "club", "request")
    assert told["complete"] is True
    (deleted,) = told["caused"]
    assert deleted["type"] == "client.deleted"

    def below(node: dict[str, Any]) -> set[str]:
        return {one["type"] for one in node["caused"]} | {
            kind for one in node["caused"] for kind in below(one)
        }

    assert {"training.deleted", "training-plan.training-removed"} <= below(deleted)
    gone = by_type["training-plan.training-removed"]
    up = (await rest.http.get(f"/history/events/{gone}/why/", headers=scene.admin)).json()
    path = []
    while up["caused"]:
        (up,) = up["caused"]
        path.append(up["type"])
    assert path == ["client.deleted", "training.deleted", "training-plan.training-removed"]


@pytest.mark.parametrize("name", ["command-line", "first-start", "housekeeping-1"])
async def test_nobody_passes_for_the_machine_by_what_they_call_their_request(
    rest: Rest, scene: Scene, name: str
) -> None:
    headers = {**scene.owner, "X-Request-Id": name}
    path = f"/clients/{scene.client}/"
    answer = await rest.http.patch(path, json={"first_name": "Grace"}, headers=headers)
    position = answer.headers["Ledger-Position"]
    why = await rest.http.get(f"/history/events/{position}/why/", headers=scene.admin)
    told = why.json()
    assert told["correlation_id"] == name
    assert (told["by"], told["actor"]) == ("request", f"user-{scene.user}")


async def test_what_was_caused_is_told_up_to_a_position_that_is_named(
    rest: Rest, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.history.why.MOST_AROUND", 1)
    deleted = (await rest.do(DeleteClient(scene.client))).position
    ((first,),) = await rest.club.postgres.rows(
        "SELECT notification_id FROM ledger_events WHERE topic = 'client.deleted'"
    )
    assert deleted > first + 1
    why = await rest.http.get(f"/history/events/{first}/why/", headers=scene.admin)
    assert (why.json()["complete"], why.json()["looked_up_to"]) == (False, first + 1)


# --- who asked ---------------------------------------------------------------------------------


async def test_whoever_looks_into_the_past_of_others_is_written_down_before_the_answer(
    rest: Rest, scene: Scene
) -> None:
    paths = [
        f"/history/clients/{scene.client}/?limit=5",
        "/history/?actor=club",
        "/history/events/1/why/",
        f"/clients/{scene.client}/history/",
        f"/clients/{scene.client}/?as_of=1000000",
        f"/clients/{scene.client}/?as_of={await rest.club.ledger.head()}",
    ]
    for number, path in enumerate(paths, start=1):
        await rest.http.get(path, headers=scene.admin)
        assert len(await noted(rest)) == number, "also where there is nothing to be found"
    assert await noted(rest) == [(f"user-{scene.admin_id}", path) for path in paths]


async def test_nobody_is_answered_whose_asking_cannot_be_written_down(
    rest: Rest, scene: Scene
) -> None:
    rest.club.ledger.close()
    answer = await rest.http.get("/history/", headers=scene.admin)
    assert answer.status_code == 503
