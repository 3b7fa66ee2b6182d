"""Sealing: the tree follows the ledger, exactly once, and its heads are signed and kept."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from infra.faults import Fault
from infra.following.sealing import (
    SEALING_LOCK,
    HeadForged,
    KeyLost,
    LedgerRewritten,
    LedgerShorter,
    OtherKey,
    Sealing,
)
from infra.ledger.postgres import Connection, Postgres
from infra.proofs import heads, tree
from infra.proofs.check import check_head
from infra.proofs.heads import BesideTheKey, Head, Outside
from infra.proofs.merkle import Frontier
from infra.secrets.keys import UnreadableKey
from infra.secrets.sealing_key import SealingKey
from tests.infra.ledger.scenes import look
from tests.projections.histories import record, rich
from tests.waiting import until

EVENTS = rich(300).events


@dataclass
class Clock:
    """A clock that is moved by hand."""

    at: datetime = field(default_factory=lambda: datetime(2026, 5, 4, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def key(tmp_path: Path) -> SealingKey:
    return SealingKey.of(tmp_path)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    async with await Postgres(database).connect() as opened:
        yield opened


async def root_of_events(connection: Connection, size: int) -> bytes:
    """The root of what is in the table now, computed from nothing else."""
    frontier = Frontier()
    async for leaf in tree.leaves(connection, 1, size):
        frontier.add(leaf.hash)
    assert frontier.size == size
    return frontier.root()


async def stored(connection: Connection) -> Sequence[Head]:
    found = await heads.after(connection, 0)
    await connection.rollback()
    return found


async def steps(sealing: Sealing, connection: Connection) -> int:
    """Step until there is no more to take at once; how many steps that took."""
    taken = 1
    while await sealing.step(connection):
        taken += 1
    return taken


# --- what is sealed ----------------------------------------------------------------------------


async def test_everything_is_sealed_in_batches_under_one_signed_head(
    database: str, connection: Connection, key: SealingKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.sealing.BATCH", 50)
    await record(database, EVENTS)
    assert await steps(Sealing(Postgres(database), key, 60), connection) > 5
    (head,) = await stored(connection)
    assert head.size == len(EVENTS)
    assert head.root == await root_of_events(connection, head.size)
    assert head.root == await tree.root_at(connection, head.size)
    assert check_head(head.shown, key.public) == (head.size, head.root)
    assert Head.of(json.loads(json.dumps(head.shown))) == head


async def test_it_seals_at_most_every_so_often_and_only_what_is_new(
    database: str, connection: Connection, key: SealingKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.sealing.LOOK", 0)
    clock = Clock()
    sealing = Sealing(Postgres(database), key, 60, now=clock.now)
    await steps(sealing, connection)
    assert await stored(connection) == [], "there is nothing to seal"
    await record(database, EVENTS[:100])
    await steps(sealing, connection)
    clock.go(59)
    await record(database, EVENTS[100:], head=100)
    await steps(sealing, connection)
    assert [head.size for head in await stored(connection)] == [100]
    clock.go(1)
    await steps(sealing, connection)
    clock.go(600)
    await steps(sealing, connection)
    assert [head.size for head in await stored(connection)] == [100, len(EVENTS)]


async def test_a_clock_that_was_put_back_does_not_put_off_a_seal(
    database: str, connection: Connection, key: SealingKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.sealing.LOOK", 0)
    clock = Clock()
    sealing = Sealing(Postgres(database), key, 60, now=clock.now)
    await record(database, EVENTS[:10])
    await steps(sealing, connection)
    clock.go(-86_400)
    await record(database, EVENTS[10:20], head=10)
    await steps(sealing, connection)
    assert [head.size for head in await stored(connection)] == [10, 20]


async def test_a_seal_that_is_asked_for_does_not_wait(
    database: str, connection: Connection, key: SealingKey
) -> None:
    sealing = Sealing(Postgres(database), key, 3600)
    assert await sealing.seal_now(connection) is None
    for upto in (10, 20):
        await record(database, EVENTS[upto - 10 : upto], head=upto - 10)
        first, again = [await sealing.seal_now(connection) for _ in range(2)]
        assert first is not None
        assert (first.size, again) == (upto, first)


async def test_two_who_seal_at_once_take_turns(
    database: str, key: SealingKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.sealing.BATCH", 7)
    await record(database, EVENTS)
    postgres = Postgres(database)

    async def seal() -> Head | None:
        async with await postgres.connect() as own:
            return await Sealing(postgres, key, 60).seal_now(own)

    found = await asyncio.gather(*(seal() for _ in range(4)))
    async with await postgres.connect() as own:
        (head,) = await stored(own)
        assert set(found) == {head}
        assert head.root == await root_of_events(own, len(EVENTS))


async def test_whoever_has_no_turn_leaves_it_to_the_other(
    database: str, connection: Connection, key: SealingKey
) -> None:
    await record(database, EVENTS)
    async with await Postgres(database).connect() as other:
        await other.execute("SELECT pg_advisory_xact_lock(%s)", [SEALING_LOCK])
        assert not await Sealing(Postgres(database), key, 60).step(connection)
    assert await tree.size_of(connection) == 0


async def test_heads_are_never_changed(
    database: str, connection: Connection, key: SealingKey
) -> None:
    await record(database, EVENTS)
    await Sealing(Postgres(database), key, 60).seal_now(connection)
    for change in ("UPDATE ledger_seals SET key = ''", "DELETE FROM ledger_seals"):
        with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
            look(database, change)


# --- what breaks -------------------------------------------------------------------------------

KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from infra.following import sealing
    from infra.ledger.postgres import Connection, Postgres
    from infra.proofs.heads import Outside
    from infra.secrets.sealing_key import SealingKey

    url, home, at = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    sealing.BATCH = 60
    done = 0

    def counted(real):
        async def counting(*args, **more):
            global done
            done += 1
            if done == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return await real(*args, **more)
        return counting

    Connection.execute = counted(Connection.execute)
    Connection.commit = counted(Connection.commit)

    async def main():
        async with await Postgres(url).connect() as connection:
            key, outside = SealingKey.of(home), Outside(home / "outside")
            await sealing.Sealing(Postgres(url), key, 60, outside).seal_now(connection)

    asyncio.run(main())
"""


async def test_killed_at_any_statement_it_goes_on_as_if_nothing_had_been(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    await record(database, EVENTS)
    killed = 0
    for at in range(2, 60):
        code = textwrap.dedent(KILLED)
        arguments = [sys.executable, "-c", code, database, str(tmp_path), str(at)]
        ended = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, timeout=60)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        killed += 1
        size = await tree.size_of(connection)
        assert await tree.root_at(connection, size) == await root_of_events(connection, size)
        await connection.rollback()
    assert killed > 5
    (head,) = await stored(connection)
    assert head.size == len(EVENTS)
    assert list(Outside(tmp_path / "outside").all()) == [head]
    check_head(head.shown, SealingKey.of(tmp_path).public)


async def test_it_stands_still_before_a_gap(
    database: str, connection: Connection, key: SealingKey
) -> None:
    await record(database, EVENTS[:10])
    await record(database, EVENTS[11:20], head=11)
    sealing = Sealing(Postgres(database), key, 60)
    task = asyncio.create_task(sealing.run())

    async def stands() -> bool:
        return sealing.standstill is not None

    await until(stands, "it says that it stands")
    task.cancel()
    assert sealing.standstill is not None
    assert "no event at position 11" in sealing.standstill.reason
    assert await stored(connection) == []


def without_trigger(database: str, *changes: str) -> None:
    """What a superuser can do."""
    look(database, "ALTER TABLE ledger_events DISABLE TRIGGER USER")
    for change in changes:
        look(database, change)
    look(database, "ALTER TABLE ledger_events ENABLE TRIGGER USER")


async def test_it_does_not_sign_a_ledger_that_was_cut_or_cut_and_grown_again(
    database: str, connection: Connection, key: SealingKey
) -> None:
    await record(database, EVENTS[:100])
    sealing = Sealing(Postgres(database), key, 60)
    await sealing.seal_now(connection)
    without_trigger(database, "DELETE FROM ledger_events WHERE notification_id > 90")
    with pytest.raises(Exception, match=r"ends at position 90, and was sealed up to 100"):
        await sealing.seal_now(connection)
    await connection.rollback()
    await record(database, EVENTS[100:130], head=90)
    with pytest.raises(Exception, match="not the one that was sealed at position 100"):
        await sealing.seal_now(connection)


async def test_it_does_not_sign_another_history_than_the_one_that_is_told_outside(
    database: str, connection: Connection, key: SealingKey, tmp_path: Path
) -> None:
    await record(database, EVENTS[:100])
    outside = Outside(tmp_path / "outside")
    sealing = Sealing(Postgres(database), key, 60, outside)
    await sealing.seal_now(connection)
    without_trigger(
        database,
        "UPDATE ledger_events SET actor = 'nobody' WHERE notification_id = 50",
        "TRUNCATE ledger_tree",
        "ALTER TABLE ledger_seals DISABLE TRIGGER USER",
        "TRUNCATE ledger_seals",
    )
    with pytest.raises(Exception, match="not the one that was sealed at position 100"):
        await sealing.seal_now(connection)
    await connection.rollback()
    without_trigger(database, "DELETE FROM ledger_events WHERE notification_id > 90")
    with pytest.raises(Exception, match=r"ends at position 90, and was sealed up to 100"):
        await sealing.seal_now(connection)
    assert [head.size for head in outside.all()] == [100]


REWRITTEN = (
    "UPDATE ledger_events SET actor = 'nobody' WHERE notification_id = 50",
    "TRUNCATE ledger_tree",
    "ALTER TABLE ledger_seals DISABLE TRIGGER USER",
    "TRUNCATE ledger_seals",
)


async def test_it_does_not_sign_another_history_than_the_one_that_is_told_beside_the_key(
    database: str, connection: Connection, key: SealingKey, tmp_path: Path
) -> None:
    await record(database, EVENTS[:100])
    sealing = Sealing(Postgres(database), key, 60, beside=BesideTheKey(tmp_path))
    sealed = await sealing.seal_now(connection)
    assert BesideTheKey(tmp_path).last() == sealed
    without_trigger(database, *REWRITTEN)
    for _ in range(2):
        with pytest.raises(LedgerRewritten, match="not the one that was sealed at position 100"):
            await sealing.seal_now(connection)
        await connection.rollback()
    assert BesideTheKey(tmp_path).last() == sealed
    assert await stored(connection) == []


async def test_a_head_that_its_key_did_not_sign_is_not_built_on(
    database: str, connection: Connection, key: SealingKey
) -> None:
    await record(database, EVENTS[:100])
    sealing = Sealing(Postgres(database), key, 60)
    await sealing.seal_now(connection)
    look(database, "ALTER TABLE ledger_seals DISABLE TRIGGER USER")
    look(database, "UPDATE ledger_seals SET moment = moment + interval '1 day'")
    await record(database, EVENTS[100:110], head=100)
    with pytest.raises(HeadForged, match=f"not signed by the key {key.name}"):
        await sealing.seal_now(connection)


async def test_a_torn_tree_is_told_in_a_sentence(
    database: str, connection: Connection, key: SealingKey
) -> None:
    await record(database, EVENTS)
    sealing = Sealing(Postgres(database), key, 60)
    await sealing.seal_now(connection)
    look(database, "DELETE FROM ledger_tree WHERE level = 1")
    with pytest.raises(Fault, match="`club audit verify` says more"):
        await sealing.seal_now(connection)


# --- another key -------------------------------------------------------------------------------


async def test_a_key_that_is_lost_is_not_replaced_in_silence(
    database: str, connection: Connection, key: SealingKey, tmp_path: Path
) -> None:
    await record(database, EVENTS[:100])
    await Sealing(Postgres(database), key, 60).seal_now(connection)
    await record(database, EVENTS[100:110], head=100)
    with pytest.raises(KeyLost):
        await Sealing(Postgres(database), None, 60).seal_now(connection)
    await connection.rollback()
    beside, other = BesideTheKey(tmp_path / "new"), SealingKey.of(tmp_path / "new")
    sealing = Sealing(Postgres(database), other, 60, beside=beside)
    with pytest.raises(OtherKey, match=f"is of the key {key.name}"):
        await sealing.seal_now(connection)
    await connection.rollback()
    await sealing.sign_again(connection)
    again = beside.last()
    assert again is not None
    assert check_head(again.shown, other.public)[0] == 100
    head = await sealing.seal_now(connection)
    assert head is not None
    assert (head.size, head.key) == (110, other.name)


async def test_another_key_does_not_stand_for_what_was_rewritten(
    database: str, connection: Connection, key: SealingKey, tmp_path: Path
) -> None:
    await record(database, EVENTS[:100])
    beside = BesideTheKey(tmp_path)
    sealed = await Sealing(Postgres(database), key, 60, beside=beside).seal_now(connection)
    without_trigger(database, *REWRITTEN)
    other = SealingKey.of(tmp_path / "new")
    await Sealing(Postgres(database), other, 60).seal_now(connection)
    with pytest.raises(LedgerRewritten):
        await Sealing(Postgres(database), other, 60, beside=beside).sign_again(connection)
    assert beside.last() == sealed


# --- outside -----------------------------------------------------------------------------------


async def test_every_head_is_put_outside_also_what_was_sealed_without(
    database: str, connection: Connection, key: SealingKey, tmp_path: Path
) -> None:
    folder = tmp_path / "a" / "b"
    for upto, outside in ((10, None), (20, None), (30, Outside(folder)), (40, Outside(folder))):
        await record(database, EVENTS[upto - 10 : upto], head=upto - 10)
        await Sealing(Postgres(database), key, 60, outside).seal_now(connection)
    assert [h.size for h in Outside(folder).all()] == [10, 20, 30, 40]
    assert list(Outside(folder).all()) == await stored(connection)
    assert min(p.name for p in folder.iterdir()) == "00000000000000000010.json"
    (folder / "00000000000000000010.json").write_text("{}")
    with pytest.raises(Exception, match="not a head as the club wrote it"):
        list(Outside(folder).all())


async def test_a_head_that_could_not_be_put_outside_is_told_and_put_there_as_soon_as_it_can_be(
    database: str, key: SealingKey, tmp_path: Path
) -> None:
    folder = tmp_path / "outside"
    folder.write_text("in its place")
    await record(database, EVENTS)
    outside = Outside(folder)
    sealing = Sealing(Postgres(database), key, 3600, outside)
    task = asyncio.create_task(sealing.run())

    async def stands() -> bool:
        return sealing.standstill is not None

    async def goes_on() -> bool:
        return sealing.standstill is None and len(list(outside.all())) == 1

    await until(stands, "it says that it stands")
    assert sealing.standstill is not None
    assert "File exists" in sealing.standstill.reason
    assert look(database, "SELECT position FROM ledger_seals") == [(len(EVENTS),)]
    folder.unlink()
    await until(goes_on, "it is put there, long before the next seal")
    task.cancel()


async def test_a_ledger_that_was_restored_is_told_at_once(
    database: str, connection: Connection, key: SealingKey, tmp_path: Path
) -> None:
    await record(database, EVENTS[:100])
    outside = Outside(tmp_path / "outside")
    await Sealing(Postgres(database), key, 3600, outside).seal_now(connection)
    later = heads.sign(key, 200, b"1" * 32, datetime(2026, 5, 4, tzinfo=UTC))
    outside.put(later)
    with pytest.raises(LedgerShorter, match="ends at position 100, and was sealed up to 200"):
        await Sealing(Postgres(database), key, 3600, outside).step(connection)


async def test_a_folder_that_was_emptied_is_filled_again_and_that_is_told(
    database: str, connection: Connection, key: SealingKey, tmp_path: Path
) -> None:
    outside = Outside(tmp_path / "outside")
    sealing = Sealing(Postgres(database), key, 60, outside)
    for upto in (10, 20):
        await record(database, EVENTS[upto - 10 : upto], head=upto - 10)
        with capture_logs() as logs:
            await sealing.seal_now(connection)
        assert logs == []
    for path in (tmp_path / "outside").iterdir():
        path.unlink()
    with capture_logs() as logs:
        await sealing.seal_now(connection)
    assert [(log["event"], log["put"]) for log in logs] == [("seals.none-outside", 2)]
    assert [head.size for head in outside.all()] == [10, 20]


def test_the_folder_is_not_looked_through_for_each_seal(
    key: SealingKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = Outside(tmp_path)
    one, two = (heads.sign(key, n, b"1" * 32, datetime(2026, 5, 4, tzinfo=UTC)) for n in (7, 8))
    outside.put(one)
    monkeypatch.delattr(Path, "glob")
    assert outside.last() == one
    outside.put(two)
    assert outside.last() == two


@pytest.mark.parametrize("why", [errno.EPERM, errno.ENOTSUP])
def test_heads_and_keys_are_put_also_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "link", refused)
    key = SealingKey.of(tmp_path)
    assert SealingKey.of(tmp_path).name == key.name
    outside = Outside(tmp_path / "outside")
    one, other = (
        heads.sign(key, 7, r * 32, datetime(2026, 5, 4, tzinfo=UTC)) for r in (b"1", b"2")
    )
    for _ in range(2):
        outside.put(one)
    with pytest.raises(Exception, match="is another head"):
        outside.put(other)
    assert list(outside.all()) == [one]
    assert [p.name for p in (tmp_path / "outside").iterdir()] == [f"{7:020}.json"]


def test_a_head_outside_is_never_overwritten(key: SealingKey, tmp_path: Path) -> None:
    folder = tmp_path / "outside"
    outside = Outside(folder)
    one = heads.sign(key, 7, b"1" * 32, datetime(2026, 5, 4, tzinfo=UTC))
    outside.put(one)
    outside.put(one)
    with pytest.raises(Exception, match="is another head"):
        outside.put(heads.sign(key, 7, b"2" * 32, datetime(2026, 5, 4, tzinfo=UTC)))
    assert list(outside.all()) == [one]
    assert [p.name for p in folder.iterdir()] == [f"{7:020}.json"], "no draft is left"


# --- the key -----------------------------------------------------------------------------------


def test_processes_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from infra.secrets.sealing_key import SealingKey
        sys.stdin.readline()
        print(SealingKey.of(Path(sys.argv[1])).name)
    """)
    started: list[Any] = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    names = {one.communicate("now\n", timeout=60)[0] for one in started}
    assert len(names) == 1
    path = tmp_path / "keys" / "heads.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    path.write_text("garbage")
    with pytest.raises(UnreadableKey, match=r"heads\.pem"):
        SealingKey.of(tmp_path)
