"""Each thing as it was: at a position, or at a moment, which means one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from application.access import THE_CLUB, Caller
from application.bus import Outcome
from application.clients import ChangeClient, DeleteClient
from application.command import Context
from application.history import LAST, LiesAhead
from application.memberships import AddMembership, ChangeMembership, MembershipBody
from application.payments import ChangePayment, PaymentBody
from application.ports.ledger import LedgerUnavailable
from application.reports import DrawUpDailyReport
from application.rules import ChangeRules
from application.sessions import UnbindTelegram
from application.subscriptions import BeginDelivery, Subscribe
from application.training_plans import ChangePlan
from application.trainings import ChangeTraining
from application.users import ChangeUser, DeleteUser, UserChanges
from domain.aggregate import text_time, time_text
from domain.clients import Client
from domain.values import Role
from infra.ledger.schema import LOCK
from tests.conftest import Rest
from tests.interfaces.rest.scenes import Scene, furnished, new_client, new_session

TELEGRAM = 4711
NOBODYS = ("/memberships/", "/exercises/", "/reports/")


@pytest.fixture
async def scene(rest: Rest) -> Scene:
    return await furnished(rest)


def rows_of(scene: Scene) -> list[str]:
    """Every row that there is to be read."""
    return [
        f"/users/{scene.user}/",
        f"/memberships/{scene.membership}/",
        f"/clients/{scene.client}/",
        f"/clients/{scene.client}/admission/",
        f"/clients/{scene.client}/user/",
        f"/clients/{scene.client}/membership/",
        f"/exercises/{scene.exercise}/",
        f"/trainings/{scene.training}/",
        f"/trainings/exercice-ids/{scene.training}/",
        f"/trainings-exercises/{scene.training}/{scene.exercise}/",
        f"/training-plans/{scene.plan}/",
        f"/payments/{scene.payment}/",
        f"/reports/{scene.report}/",
    ]


async def shown(rest: Rest, scene: Scene, path: str, as_of: object = None) -> Any:
    query = {} if as_of is None else {"as_of": str(as_of)}
    answer = await rest.http.get(path, params=query, headers=scene.admin)
    return answer.json() if answer.status_code == 200 else answer.status_code


async def head(rest: Rest) -> int:
    return await rest.club.ledger.head()


async def test_as_of_now_every_row_is_what_it_is_to_the_byte(rest: Rest, scene: Scene) -> None:
    await new_session(rest, scene.user, TELEGRAM)
    await rest.do(UnbindTelegram(scene.user))
    for path in rows_of(scene):
        now = await rest.http.get(path, headers=scene.admin)
        then = await rest.http.get(path, params={"as_of": await head(rest)}, headers=scene.admin)
        assert then.status_code == now.status_code == 200, then.text
        assert then.content == now.content, path
        assert then.headers["ETag"] == now.headers["ETag"], path
    me = await rest.http.get("/users/me/", headers=scene.owner)
    was = await rest.http.get("/users/me/", params={"as_of": await head(rest)}, headers=scene.owner)
    assert was.content == me.content


async def test_what_was_not_there_is_not_found_and_what_is_gone_is_there(
    rest: Rest, scene: Scene
) -> None:
    before = await head(rest)
    as_they_were = [await shown(rest, scene, path) for path in rows_of(scene)]
    await rest.do(DeleteClient(scene.client))
    await rest.do(DeleteUser(scene.user))
    for path, row in zip(rows_of(scene), as_they_were, strict=True):
        assert await shown(rest, scene, path, 0) == 404, path
        assert await shown(rest, scene, path, before) == row, path
    gone = f"/clients/{scene.client}/"
    assert await shown(rest, scene, gone, await head(rest)) == 404
    assert await shown(rest, scene, f"/users/{scene.user}/", before) == as_they_were[0]


async def test_a_thing_is_what_it_was_after_each_of_its_events(rest: Rest, scene: Scene) -> None:
    path = f"/memberships/{scene.membership}/"
    then: list[tuple[int, str]] = []
    for number in range(5):
        outcome = await rest.do(ChangeMembership(scene.membership, {"price": f"{number}.00"}))
        then.append((outcome.position, f"{number}.00"))
    for position, price in then:
        assert (await shown(rest, scene, path, position))["price"] == price
    version = await rest.http.get(path, params={"as_of": then[1][0]}, headers=scene.admin)
    assert version.headers["ETag"] == '"3"'
    headers = {**scene.admin, "If-None-Match": '"3"'}
    again = await rest.http.get(path, params={"as_of": then[1][0]}, headers=headers)
    assert again.status_code == 304


async def test_of_a_delivery_is_shown_what_was_said_by_then(rest: Rest) -> None:
    user_id, headers = await rest.user(Role.ANALYST)
    await rest.do(Subscribe({"daily": True}), Caller.user(user_id, Role.ANALYST))
    await rest.do(ChangeRules({"daily_report_at": "00:00"}))
    report = ((await rest.do(DrawUpDailyReport())).body or {})["id"]
    last = (await rest.do(BeginDelivery(user_id, report, has_bot=False))).position

    async def deliveries(**query: int) -> list[dict[str, str]]:
        answer = await rest.http.get("/reports/subscriptions/", params=query, headers=headers)
        return list(answer.json()["deliveries"])

    now = await deliveries()
    assert [step["state"] for step in now] == ["undeliverable", "sending"]
    assert await deliveries(as_of=last) == now
    assert await deliveries(as_of=last - 1) == now[1:], "both were said at one moment"
    assert await deliveries(as_of=last - 2) == []


async def test_a_moment_is_the_last_event_recorded_by_then(rest: Rest, scene: Scene) -> None:
    outcomes = [
        await rest.do(ChangeMembership(scene.membership, {"price": f"{price}.00"}))
        for price in range(5)
    ]
    recorded = dict(
        await rest.club.postgres.rows("SELECT notification_id, recorded_at FROM ledger_events")
    )
    for position, at in recorded.items():
        by_then = max(p for p, moment in recorded.items() if moment <= at)
        assert await rest.club.past.position(at) == by_then >= position
        before = [p for p, moment in recorded.items() if moment < at]
        just_before = at - timedelta(microseconds=1)
        assert await rest.club.past.position(just_before) == max(before, default=0)
    moment = time_text(recorded[outcomes[2].position])
    row = await shown(rest, scene, f"/memberships/{scene.membership}/", moment)
    assert row["price"] == "2.00"


@pytest.mark.parametrize("large", [1000, 0], ids=["a command", "a large command"])
async def test_the_clock_may_be_put_back_and_moments_go_on(
    rest: Rest, scene: Scene, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another server's clock, or a person, may do it: recorded an hour ahead of what follows."""
    monkeypatch.setattr("infra.ledger.bulk.LARGE", large)
    async with await psycopg.AsyncConnection.connect(
        rest.club.postgres.url, autocommit=True
    ) as connection:
        await connection.execute(
            "INSERT INTO ledger_events (originator_id, originator_version, topic, state, "
            "notification_id, recorded_at, actor, command, command_id, correlation_id, "
            "causation_id) SELECT 'thing-1', 1, 'thing.made', '{}', max(notification_id) + 1, "
            "clock_timestamp() + interval '1 hour', 'a', 'b', 'c', 'd', 'e' FROM ledger_events"
        )
    changed: list[Outcome] = [
        await rest.club.bus.execute(
            ChangeMembership(scene.membership, {"price": f"{price}.00"}),
            Context(THE_CLUB, "later", visible=False),
        )
        for price in range(2)
    ]
    ((monotone,),) = await rest.club.postgres.rows(
        "SELECT bool_and(recorded_at >= before) FROM (SELECT recorded_at, lag(recorded_at) "
        "OVER (ORDER BY notification_id) AS before FROM ledger_events) AS pairs"
    )
    assert monotone
    found = await rest.club.past.was(f"membership-{scene.membership}", changed[0].position)
    assert found is not None
    assert found.facts["price"] == "0.00"


async def test_what_is_being_recorded_while_one_asks_is_waited_for(
    rest: Rest, scene: Scene
) -> None:
    """Its moment has passed, so it would be missing in the answer, and be there in the next."""
    async with await psycopg.AsyncConnection.connect(rest.club.postgres.url) as writer:
        await writer.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        ((now,),) = await rest.club.postgres.rows("SELECT clock_timestamp()")
        asked = asyncio.create_task(rest.club.past.position(now))
        await asyncio.wait({asked}, timeout=0.3)
        assert not asked.done()
        await writer.execute(
            "INSERT INTO ledger_events (originator_id, originator_version, topic, state, "
            "notification_id, recorded_at, actor, command, command_id, correlation_id, "
            "causation_id) SELECT 'thing-1', 1, 'thing.made', '{}', max(notification_id) + 1, "
            "%s, 'a', 'b', 'c', 'd', 'e' FROM ledger_events",
            [now],
        )
        await writer.commit()
    assert await asked == await head(rest)


async def test_what_is_recorded_after_a_moment_was_asked_about_is_of_a_later_moment(
    rest: Rest, scene: Scene
) -> None:
    """Not before the answer, either: at whatever point it comes, what is answered stays so."""
    answered: list[tuple[datetime, int]] = []
    is_over = asyncio.Event()

    async def ask() -> None:
        while not is_over.is_set():
            ((now,),) = await rest.club.postgres.rows("SELECT clock_timestamp()")
            # Comes in the middle of the question, where it was not over when that was begun.
            moment = now + timedelta(milliseconds=len(answered) % 7 / 2)
            try:
                answered.append((moment, await rest.club.past.position(moment)))
            except LiesAhead:
                continue

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(ask())
        for price in range(100):
            await rest.do(ChangeMembership(scene.membership, {"price": f"{price}.00"}))
        is_over.set()
    assert len(answered) > 5
    for moment, position in answered:
        assert await rest.club.past.position(moment) == position


async def test_the_whole_of_a_command_is_found_from_wherever_in_it(
    rest: Rest, scene: Scene
) -> None:
    await rest.do(DeleteClient(scene.client))
    await rest.do(ChangeMembership(scene.membership, {"price": "1.00"}))
    rows = await rest.club.postgres.rows("SELECT notification_id, command_id FROM ledger_events")
    ends = {command: position for position, command in sorted(rows)}
    assert len(rows) > len(ends) + 3
    for position, command in rows:
        assert await rest.club.past.whole(position) == ends[command]
    assert await rest.club.past.whole(0) == 0


async def test_whoever_waits_for_a_long_command_is_told_to_come_again_and_keeps_no_list_waiting(
    rest: Rest, scene: Scene
) -> None:
    async with await psycopg.AsyncConnection.connect(rest.club.postgres.url) as writer:
        await writer.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        moment = time_text(datetime.now(UTC))
        asked = [asyncio.create_task(rest.club.past.position(text_time(moment))) for _ in range(6)]
        listed = await rest.http.get("/exercises/", headers=scene.owner)
        assert listed.status_code == 200
        assert not any(one.done() for one in asked)
        for one in asked:
            with pytest.raises(LedgerUnavailable):
                await one


@pytest.mark.parametrize(
    ("as_of", "status"),
    [
        ("1000000", 422),
        ("2199-01-01T00:00:00Z", 422),
        ("yesterday", 422),
        ("-1", 422),
        ("1.5", 422),
        ("9" * 30, 422),
        ("2026-01-01", 422),
        ("1999-01-01T00:00:00Z", 422),
        ("2001-01-01T00:00:00Z", 404),
        ("2001-01-01T00:00:00+01:00", 404),
        ("0", 404),
    ],
)
async def test_what_has_not_come_yet_or_is_no_moment_is_refused(
    rest: Rest, scene: Scene, as_of: str, status: int
) -> None:
    assert await shown(rest, scene, f"/clients/{scene.client}/", as_of) == status
    twice = f"/clients/{scene.client}/?as_of=1&as_of=2"
    assert (await rest.http.get(twice, headers=scene.admin)).status_code == 422


async def test_access_is_judged_by_whose_it_is_today(rest: Rest, scene: Scene) -> None:
    """Owners and ADMINs get there; who may read the present only does not; nor does a stranger."""
    new_user, new_owner = await rest.user()
    _, trainer = await rest.user(Role.TRAINER)
    before = {"as_of": await head(rest)}
    path = f"/clients/{scene.client}/"

    async def status(headers: dict[str, str]) -> int:
        return (await rest.http.get(path, params=before, headers=headers)).status_code

    assert [await status(h) for h in (scene.owner, new_owner, trainer)] == [200, 404, 403]
    await rest.do(ChangeClient(scene.client, {"user_id": new_user}))
    assert [await status(h) for h in (scene.owner, new_owner, trainer)] == [404, 404, 403]
    before = {"as_of": await head(rest)}
    assert [await status(h) for h in (scene.owner, new_owner, trainer)] == [404, 200, 403]
    await rest.do(DeleteClient(scene.client))
    assert [await status(h) for h in (scene.owner, new_owner, trainer)] == [404, 200, 403]
    exercise = f"/exercises/{scene.exercise}/"
    answers = [
        (await rest.http.get(exercise, params=before, headers=h)).status_code
        for h in (scene.owner, trainer, scene.admin)
    ]
    assert answers == [403, 403, 200]


async def _then_and_now(
    rest: Rest, paths: list[str], then: int, headers: dict[str, str]
) -> set[tuple[int, int]]:
    """How each path is answered as of then, and as of now; of Ada, nothing is said."""
    positions, statuses = (then, await head(rest)), set()
    for path in paths:
        was, is_now = [
            await rest.http.get(path, params={"as_of": position}, headers=headers)
            for position in positions
        ]
        assert "Ada" not in was.text + is_now.text
        statuses.add((was.status_code, is_now.status_code))
    return statuses


async def test_what_somebody_got_from_another_is_not_told_as_it_was_before(
    rest: Rest, scene: Scene
) -> None:
    """Neither the client nor whose user that was, and nothing that came with it."""
    new_user, new_owner = await rest.user()
    before = await head(rest)
    await rest.do(ChangeClient(scene.client, {"user_id": new_user, "first_name": "Grace"}))
    await rest.do(ChangePlan(scene.plan, {"user_id": new_user}))
    theirs = [path for path in rows_of(scene) if not path.startswith(NOBODYS)]
    theirs.remove(f"/users/{scene.user}/")
    assert len(theirs) == 9
    assert await _then_and_now(rest, theirs, before, new_owner) == {(404, 200)}
    client = f"/clients/{scene.client}/"
    assert await _then_and_now(rest, [client], before + 1, new_owner) == {(404, 200)}, (
        "where the command has made it theirs and not given it their name yet"
    )


async def test_what_was_another_clients_is_not_told_as_it_was_before(
    rest: Rest, scene: Scene
) -> None:
    user, owner = await rest.user()
    client = await new_client(rest, user)
    held = await rest.club.past.was(f"client-{client}", LAST)
    assert isinstance(held, Client)
    before = await head(rest)
    await rest.do(ChangeTraining(scene.training, {"client_id": client}))
    moved = PaymentBody(client_id=client, membership_id=held.membership_id)
    await rest.do(ChangePayment(scene.payment, moved))
    theirs = [path for path in rows_of(scene) if path.startswith(("/trainings", "/payments"))]
    assert len(theirs) == 4
    assert await _then_and_now(rest, theirs, before, owner) == {(404, 200)}


async def test_rules_are_what_they_were_and_a_password_is_never_shown(
    rest: Rest, scene: Scene
) -> None:
    changes = UserChanges.model_validate({"password": "another one"})
    await rest.do(ChangeUser(scene.user, changes))
    answer = await rest.http.get(
        f"/users/{scene.user}/", params={"as_of": await head(rest)}, headers=scene.admin
    )
    assert "hash" not in answer.text
    missing = await rest.http.get("/rules/", params={"as_of": 1}, headers=scene.admin)
    assert missing.status_code == 404


async def test_a_thing_of_a_thousand_events_is_found_as_it_was_wherever(
    rest: Rest, scene: Scene
) -> None:
    outcome = await rest.do(AddMembership(MembershipBody(price="0.50")))
    assert outcome.body is not None
    number = outcome.body["id"]
    positions: dict[int, int] = {0: outcome.position}
    for price in range(1, 1102):
        change: dict[str, str | None] = {"price": f"{price}.00"}
        done = await rest.club.bus.execute(
            ChangeMembership(number, change), Context(THE_CLUB, "many", visible=False)
        )
        positions[price] = done.position
    past = rest.club.past
    for price in (1101, 1000, 999, 998, 501, 500, 499, 498, 2):
        for _ in range(2):
            was = await past.was(f"membership-{number}", positions[price])
            assert was is not None
            assert was.facts["price"] == f"{price}.00"
    latest = await past.was(f"membership-{number}", LAST)
    assert latest is not None
    assert latest.version == 1102
