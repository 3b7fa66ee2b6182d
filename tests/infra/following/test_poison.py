"""One event that cannot be taken: its group stands still there, and nothing else does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from application.access import THE_CLUB
from application.clients import ChangeClient, ClientBody, RegisterClient
from application.command import Context
from application.memberships import AddMembership, DeleteMembership, MembershipBody
from application.ports.ledger import UnreadableHistory
from domain.clients import STATUS_AFTER, Client, StatusEvent
from domain.refusals import Busy
from domain.values import ClientStatus, Role
from infra.bootstrap import Club, open_club
from infra.following.projecting import Projecting, Projector
from infra.following.rebuilding import RebuildStopped, make_missing, rebuild
from infra.following.relaying import Relay
from infra.following.watch import Watch
from infra.ledger import feed
from infra.ledger.postgres import Postgres
from infra.settings import Settings
from projections.catalogue import DOCUMENTED
from projections.engine.model import Group, ReadModel
from projections.engine.table import Add, Table
from tests.conftest import Rest
from tests.infra.following.poison import POISONS, Poison, put
from tests.waiting import until

UNREADABLE = [name for name in POISONS if not name.startswith("that ")]
each_poison = pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS.keys())

COUNTED = Table("test_counted", ("kind",), "kind text NOT NULL, events integer NOT NULL")
ELSEWHERE = Group(
    "elsewhere",
    1,
    (
        ReadModel(
            "counted",
            ("exercise", "user"),
            (COUNTED,),
            lambda recorded: [Add(COUNTED, (recorded.event.kind,), {"events": 1})],
        ),
    ),
)
"""A group that listens to others than clients."""


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for tables that stand still."""
    monkeypatch.setattr("infra.following.read_side.LONGEST_WAIT", 0.1)
    monkeypatch.setattr("infra.following.follower.LONGEST_PAUSE", 1.0)


async def client_of(rest: Rest) -> tuple[int, int, dict[str, str]]:
    """A new client; its number, its user's number, and the user's token."""
    user_id, token = await rest.user()
    membership = await rest.do(AddMembership(MembershipBody(price="10")))
    assert membership.body is not None
    body = ClientBody(
        user_id=user_id,
        membership_id=membership.body["id"],
        first_name="Ada",
        last_name="Lovelace",
        phone_number="+44 20 7946 0000",
        date_of_birth="1990-12-10",
    )
    outcome = await rest.do(RegisterClient(body))
    assert outcome.body is not None
    return outcome.body["id"], user_id, token


async def health(rest: Rest) -> dict[str, Any]:
    """What /health/ tells an ADMIN."""
    return (await rest.club.health()).report


async def standing(rest: Rest, position: int) -> dict[str, Any]:
    """What /health/ says of the documented tables once they stand still before the position."""

    async def said() -> dict[str, Any] | None:
        group: dict[str, Any] = (await health(rest))["projectors"]["documented"]
        return group if f"position {position} " in group.get("detail", "") else None

    return await until(said, "its health names the position")


@each_poison
async def test_the_group_stands_still_there_and_all_else_goes_on(
    rest: Rest, club: Club, database: str, poison: Poison
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    client_id, user_id, token = await client_of(rest)
    position = put(database, poison, f"client-{client_id}")
    created = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=admin)
    assert created.status_code == 201, created.text

    group = await standing(rest, position)
    assert group["position"] == position - 1, "all that came before is there"
    assert poison.topic in group["detail"]
    assert poison.why in group["detail"]
    assert group["since"]
    said = (await rest.http.get("/health/")).json()["projectors"]["documented"]
    assert (said["status"], said["since"]) == ("standing", group["since"])
    assert "detail" not in said
    found = await health(rest)
    assert found["status"] == "degraded"
    assert found["components"]["projector"]["detail"] == group["detail"]
    assert found["ledger"]["writable"]

    # Reads go on, and so do the commands of everything and everybody else.
    assert (await rest.http.get(f"/users/{user_id}/", headers=token)).status_code == 200
    assert (await rest.http.get("/memberships/", headers=admin)).status_code == 200
    renamed = await rest.http.patch(f"/users/{user_id}/", json={"username": "x"}, headers=token)
    assert renamed.status_code == 200
    assert renamed.json()["username"] == "x"


@pytest.mark.parametrize("name", UNREADABLE)
async def test_only_commands_about_it_are_refused_with_a_sentence(
    rest: Rest, club: Club, database: str, name: str
) -> None:
    _, admin = await rest.user(Role.ADMIN)
    client_id, _, _ = await client_of(rest)
    other_id, other_user, other_token = await client_of(rest)
    put(database, POISONS[name], f"client-{client_id}")
    stream = Client.stream(client_id)
    # Both are asked for in one query, as two requests at once would.
    both = await asyncio.gather(
        club.ledger.streams([stream]),
        club.ledger.streams([Client.stream(other_id)]),
        return_exceptions=True,
    )
    assert isinstance(both[0], UnreadableHistory)
    assert isinstance(both[1], dict)
    answers = await asyncio.gather(
        rest.http.patch(f"/clients/{client_id}/", json={"first_name": "B"}, headers=admin),
        rest.http.patch(f"/clients/{other_id}/", json={"first_name": "C"}, headers=admin),
        rest.http.patch(f"/users/{other_user}/", json={"username": "d"}, headers=other_token),
    )
    assert [answer.status_code for answer in answers] == [503, 200, 200]
    problem = answers[0].json()
    assert problem["type"] == "/problems/unreadable-history"
    assert "newer release" in problem["detail"]


async def test_a_restart_changes_nothing_and_the_release_that_can_read_it_goes_on(
    rest: Rest,
    club: Club,
    settings: Settings,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client_id, _, _ = await client_of(rest)
    poison = Poison("client.thawed", POISONS["of a newer release"].state, "does not know")
    position = put(database, poison, f"client-{client_id}")
    await rest.do(AddMembership(MembershipBody(price="11")))
    await standing(rest, position)
    async with open_club(settings) as again:

        async def stands() -> bool:
            return again.projecting.projectors[0].follower.standstill is not None

        await until(stands, "it stands still there again")
        assert again.watch.position == position - 1
        await club.bus.execute(
            AddMembership(MembershipBody(price="12")), Context(THE_CLUB, "test", visible=False)
        )

    class Thawed(StatusEvent):
        """What the next release knows."""

        TOPIC = "client.thawed"

        def apply(self, aggregate: Client) -> None:
            """The client is there again."""

    after: dict[Any, Any] = STATUS_AFTER
    monkeypatch.setitem(after, Thawed, ClientStatus.ACTIVE)
    head = await club.ledger.head()
    assert await club.watch.reached(head, 30), "the group goes on from there"
    await rest.do(ChangeClient(client_id, {"first_name": "Grace"}))
    del Thawed
    gc.collect()


@pytest.mark.parametrize("name", POISONS)
async def test_other_groups_pass_it_by(rest: Rest, club: Club, database: str, name: str) -> None:
    client_id, _, _ = await client_of(rest)
    position = put(database, POISONS[name], f"client-{client_id}")
    await rest.user()
    postgres = Postgres(database)
    await make_missing(postgres, [ELSEWHERE])
    watch = Watch()
    async with following(postgres, Projector(postgres, ELSEWHERE, watch)):
        assert await watch.reached(position + 1, 30)
    rows = await club.postgres.rows("SELECT kind, events FROM test_counted")
    assert dict(rows) == {"user": 2}


@asynccontextmanager
async def following(postgres: Postgres, projector: Projector) -> AsyncIterator[None]:
    task = asyncio.create_task(Projecting(postgres, (projector,)).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("name", POISONS)
async def test_a_rebuild_says_where_it_stopped_and_changes_nothing(
    rest: Rest, database: str, name: str
) -> None:
    client_id, _, _ = await client_of(rest)
    position = put(database, POISONS[name], f"client-{client_id}")
    rows = await rest.club.postgres.rows("SELECT count(*) FROM users")
    if name == "that the table refuses":
        with pytest.raises((RebuildStopped, psycopg.DataError), match="too long"):
            await rebuild(Postgres(database), DOCUMENTED)
    else:
        with pytest.raises(RebuildStopped, match=rf"position {position - 1} |position {position} "):
            await rebuild(Postgres(database), DOCUMENTED)
    assert await rest.club.postgres.rows("SELECT count(*) FROM users") == rows


@pytest.mark.parametrize("name", UNREADABLE)
async def test_the_relay_stands_still_there_and_leaves_its_turn(
    rest: Rest, club: Club, database: str, name: str
) -> None:
    """Order and facts are what it promises; a relay of the newer release keeps both."""
    client_id, _, _ = await client_of(rest)
    position = put(database, POISONS[name], f"client-{client_id}")
    heard: list[int] = []

    async def publish(events: Any) -> None:
        heard.extend(one.position for one in events)

    relay = Relay(club.postgres, publish)
    task = asyncio.create_task(relay.run())

    async def stands() -> bool:
        why = relay.follower.standstill
        return why is not None and why.position == position

    await until(stands, "it stands still there")
    assert heard == list(range(1, position))

    async def has_the_turn() -> bool:
        return await club.postgres.rows(_TRY_FOR_THE_TURN) == [(True,)]

    await until(has_the_turn, "whoever can read it may have the turn")
    task.cancel()
    await asyncio.wait([task])


_TRY_FOR_THE_TURN = """
SELECT pg_try_advisory_lock(hashtextextended('club relay club.events', 0))
"""


async def test_a_decision_on_who_refers_to_what_needs_no_tables(
    rest: Rest, club: Club, database: str
) -> None:
    """They stand still before a client came to a membership that is to be deleted."""
    client_id, _, _ = await client_of(rest)
    put(database, POISONS["of a newer release"], f"client-{client_id}")
    other, _, _ = await client_of(rest)
    assert other != client_id
    _, admin = await rest.user(Role.ADMIN)
    rows = await club.postgres.rows("SELECT count(*) FROM clients")
    assert rows == [(1,)], "the tables do not show it"
    refused = await rest.http.delete("/memberships/2/", headers=admin)
    assert refused.status_code == 409, refused.text
    assert (await rest.http.delete(f"/clients/{other}/", headers=admin)).status_code == 204
    deleted = await rest.http.delete("/memberships/2/", headers=admin)
    assert deleted.status_code == 204, deleted.text


async def test_a_batch_is_handed_out_up_to_what_cannot_be_read(
    rest: Rest, club: Club, database: str
) -> None:
    client_id, _, _ = await client_of(rest)
    position = put(database, POISONS["of a newer release"], f"client-{client_id}")
    await rest.user()
    async with await club.postgres.connect() as connection:
        batch = await feed.after(connection, 0, 1000)
        assert (batch.position, len(batch.events)) == (position - 1, position - 1)
        with pytest.raises(feed.Unreadable) as unreadable:
            await feed.after(connection, position - 1, 1000)
        assert unreadable.value.position == position
        others = await feed.after(connection, 0, 1000, kinds={"user"})
        assert others.position > position
        assert {one.event.kind for one in others.events} == {"user"}


async def test_a_condition_on_what_cannot_be_read_does_not_fail_others(
    rest: Rest, club: Club, database: str
) -> None:
    """An event of a topic that decisions rest on, with nothing readable in it."""
    client_id, _, _ = await client_of(rest)
    broken = Poison("client.membership-changed", b"\xff", "while it was read")
    put(database, broken, f"client-{client_id}")
    membership = await rest.do(AddMembership(MembershipBody(price="10")))
    assert membership.body is not None
    with pytest.raises((UnreadableHistory, Busy)):
        await rest.do(DeleteMembership(membership.body["id"]))
    exercise = await rest.do(AddMembership(MembershipBody(price="12")))
    assert exercise.position
