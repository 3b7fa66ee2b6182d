"""A club that cannot go on stands still for itself, and says why; all others go on."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import psycopg
from psycopg.conninfo import make_conninfo

from infra.chain.projecting import Projection
from infra.chain.store import InChain
from infra.following.follower import standstill_of
from infra.ledger.postgres import Postgres
from infra.standstill import Standstill
from projections.catalogue import DOCUMENTED, FIGURES
from tests.conftest import WORKER
from tests.infra.chain.scenes import Chain, Member, admin, arrived, ask, copy

POISON = """
INSERT INTO ledger_events (originator_id, originator_version, topic, state, notification_id,
    actor, command, command_id, correlation_id, causation_id)
SELECT %s, 1, %s, '{}', max(notification_id) + 1, '', '', '', '', '' FROM ledger_events
"""
CUT = """
SET session_replication_role = replica;
DELETE FROM ledger_events WHERE notification_id > {};
"""


async def stands(
    chain: Chain, club: Member, *words: str
) -> dict[str, tuple[str, int | None, str | None]]:
    """Wait until all groups say these words."""
    async with asyncio.timeout(30):
        while True:
            found = await chain.standing(club)
            if len(found) == len(chain.groups) and all(
                all(word in said for word in words) for said, *_ in found.values()
            ):
                return found
            await asyncio.sleep(0.1)


async def retry_at_once(chain: Chain) -> None:
    await ask(chain.url, "UPDATE chain_positions SET again_at = now()")


async def test_an_event_that_cannot_be_read_holds_one_group_of_one_club(chain: Chain) -> None:
    north, south = chain.clubs
    head = await north.head()
    await ask(north.url, POISON, "session-999", "session.of-tomorrow")
    await north.more(40, head)
    records = await north.records(size=60)
    async with chain.intake() as intake:
        await intake.take(arrived(*records, *await south.records()))
        assert await chain.standing(north) == {
            "documented": (
                "this release does not know such an event",
                head + 1,
                "session.of-tomorrow",
            )
        }
        end = await north.head()
        assert await chain.positions(north) == {"documented": head, "figures": end}
        await chain.is_as_its_club(south)
        await chain.is_as_its_club(north, [FIGURES])


async def test_what_the_tables_refuse_is_found_among_thousands(chain: Chain) -> None:
    north, south = chain.clubs
    exercises = f"{InChain.of(DOCUMENTED).schema}.exercises"
    await ask(chain.url, f"ALTER TABLE {exercises} ADD CHECK (title <> 'Exercise 3')")
    async with chain.intake() as intake:
        await intake.take(arrived(*await north.records(size=200), *await south.records()))
        (standing,) = (await chain.standing(north)).items()
        group, (reason, at, topic) = standing
        assert (group, topic) == ("documented", "exercise.added")
        assert "check constraint" in reason
        assert at is not None
        assert await chain.positions(north) == {"documented": at - 1, "figures": await north.head()}
        # Not tried again before its time, and then it goes on, with nothing twice.
        await ask(chain.url, f"ALTER TABLE {exercises} DROP CONSTRAINT exercises_title_check")
        await ask(chain.url, "UPDATE chain_positions SET again_at = now() + interval '1 h'")
        await intake.take(arrived(*await north.records(size=50)))
        assert (await chain.positions(north))["documented"] == at - 1
        await retry_at_once(chain)
        await intake.take(arrived(*await north.records(size=50)))
    assert await chain.standing(north) == {}
    await chain.is_as_its_club(north)


async def test_a_ledger_that_was_shortened_or_went_another_way_is_named(
    chain: Chain, server: str
) -> None:
    north, south = chain.clubs
    name = f"copy_of_club_{WORKER}"
    head, records = await north.head(), await north.records()
    twin = Member(
        "twin", copy(server, north.url, name), north.ledger, north.secret, seed=north.seed
    )
    await twin.more(60)
    await north.more(30)
    end = head + 30
    async with chain.worker() as intake:
        await intake.take(arrived(*records))
        await chain.reaches(north, end)
        # What the other one says is a repeat, or follows what is not there.
        await intake.take(arrived(*await twin.records(size=head)))
        assert "it does not follow what its ledger has" in await chain.kept_out()
        assert await chain.standing(north) == {}
        await chain.is_as_its_club(north)
        # Now the club itself is restored, to before, and grows again.
        await ask(north.url, CUT.format(head - 5))
        await stands(chain, north, "shortened")
        await north.more(60)
        await retry_at_once(chain)
        await stands(chain, north, "went another way")
        assert await chain.positions(north) == {"documented": end, "figures": end}
        await chain.reaches(south, await south.head())
    await chain.is_as_its_club(south)
    admin(server, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_ledger_that_is_away_or_another_is_named_and_the_topic_goes_on(
    chain: Chain,
) -> None:
    north, south = chain.clubs
    await ask(
        chain.url,
        "UPDATE chain_clubs SET url = %s WHERE number = %s",
        *(make_conninfo(north.url, dbname="nothing_there"), north.number),
    )
    records = await north.records(size=60)
    async with chain.worker() as intake:
        await stands(chain, north, "cannot be reached")
        await intake.take(arrived(*records[:2]))
        assert await chain.positions(north) == {"documented": 120, "figures": 120}
        assert await chain.standing(north) == {}
        await ask(
            chain.url, "UPDATE chain_clubs SET url = %s WHERE number = %s", south.url, north.number
        )
        await stands(chain, north, "another ledger")
        await ask(
            chain.url, "UPDATE chain_clubs SET url = %s WHERE number = %s", north.url, north.number
        )
        await retry_at_once(chain)
        for club in chain.clubs:
            await chain.reaches(club, await club.head())
            await chain.is_as_its_club(club)
            assert await chain.standing(club) == {}


async def test_a_new_generation_grows_beside_the_old_one(chain: Chain) -> None:
    """Each worker writes its own; tables that another made of the same number it leaves alone."""
    north, south = chain.clubs
    newer = replace(FIGURES, generation=2)
    other = replace(FIGURES, models=FIGURES.models[:2])
    records = await north.records(size=50)
    async with chain.worker() as old, chain.worker([newer]) as new, chain.intake([other]) as third:
        await third.take(arrived(*records))
        assert "another release" in third.directory.aside["figures"]
        await old.take(arrived(*records[:3]))
        await new.take(arrived(*records))
        for club in chain.clubs:
            await chain.reaches(club, await club.head())
    for generation in (1, 2):
        found = await ask(
            chain.url,
            "SELECT club, position FROM chain_positions"
            " WHERE (group_name, generation) = ('figures', %s) ORDER BY 1",
            generation,
        )
        assert found == [(club.number, await club.head()) for club in (north, south)]
    for club in chain.clubs:
        await chain.is_as_its_club(club)
        await chain.is_as_its_club(club, [newer], projected=True)


async def test_a_fault_of_the_tables_ends_no_take(chain: Chain) -> None:
    north, south = chain.clubs
    await ask(chain.url, "DROP TABLE documented_3.exercises CASCADE")
    async with chain.intake() as intake:
        await intake.take(arrived(*await north.records(), *await south.records()))
    for club in chain.clubs:
        assert "does not exist" in (await chain.standing(club))["documented"][0]
        assert (await chain.positions(club))["figures"] == await club.head()


async def test_what_is_in_an_event_gets_into_no_reason_and_into_nobodys_way(chain: Chain) -> None:
    north, south = chain.clubs
    head = await north.head()
    moment = {"_type_": "datetime_iso", "_data_": "2026-01-01T00:00:00+00:00"}
    state = json.dumps({"class_version": "\0 Ms Miller", "timestamp": moment}).encode()
    topic = "client.registered"
    await ask(north.url, POISON.replace("'{}'", "%s"), "client-999", topic, state)
    async with chain.intake() as intake:
        await intake.take(arrived(*await north.records(), *await south.records()))
        why = "the version that it is stored in is no number"
        expected = (why, head + 1, topic)
        assert await chain.standing(north) == {"documented": expected, "figures": expected}
        await chain.is_as_its_club(south)
    said = psycopg.DataError('invalid input syntax: "Ms Miller"')
    assert "Miller" not in standstill_of(said).reason
    # Whatever a club's own database says of itself.
    async with await Postgres(chain.url).connect() as connection:
        projection = Projection(connection, InChain.of(FIGURES), north.number)
        await projection.stands(Standstill("\0" + "x" * 10_000, topic="\0"), head)
    assert (await chain.standing(north))["figures"] == ("?" + "x" * 299, None, "?")


REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.club = {} AND NEW.title = 'Exercise 3' THEN
        RAISE 'index row size 2712 exceeds maximum 2704' USING ERRCODE = '54000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON documented_3.exercises FOR EACH ROW EXECUTE FUNCTION refuse()
"""


async def test_faults_of_one_clubs_rows_are_not_those_of_the_database(chain: Chain) -> None:
    """Rows that are too long for an index, and rows that somebody holds for hours."""
    north, south = chain.clubs
    await ask(chain.url, REFUSE.format(north.number))
    async with (
        chain.intake() as intake,
        await psycopg.AsyncConnection.connect(chain.url) as holder,
    ):
        await intake.take(arrived(*await north.records(size=200)))
        reason, at, topic = (await chain.standing(north))["documented"]
        assert ("exceeds maximum" in reason, topic) == (True, "exercise.added")
        assert (await chain.positions(north))["documented"] == (at or 0) - 1
        await ask(chain.url, "DROP FUNCTION refuse CASCADE")
        await retry_at_once(chain)
        await holder.execute("LOCK TABLE documented_3.exercises IN SHARE MODE")
        begun = time.monotonic()
        await intake.take(arrived(*await north.records(), *await south.records()))
        assert time.monotonic() - begun < 25
        for club in chain.clubs:
            assert "held by somebody else" in (await chain.standing(club))["documented"][0]
            assert (await chain.positions(club))["figures"] == await club.head()
        await holder.rollback()
        await retry_at_once(chain)
        await intake.take(arrived(*await north.records(), *await south.records()))
    for club in chain.clubs:
        assert await chain.standing(club) == {}
        await chain.is_as_its_club(club)
