"""Export and import: the same log again, all of it or nothing."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.exercises import AddExercise, ExerciseBody
from infra.bootstrap import Club, TablesUnfinished, import_club, open_club
from infra.faults import Fault
from infra.files import clear_drafts, whole_file
from infra.ledger.exporting import as_bytes, compressed, export, line_of, manifest_text
from infra.ledger.importing import NamesTaken, NotEmpty, NotFinished, import_from, make_room
from infra.ledger.postgres import Postgres
from infra.proofs.check import encode, leaf_hash, state_of
from infra.secrets.sealing_key import SealingKey
from infra.settings import Settings
from projections.catalogue import GROUPS
from tests.conftest import Rest
from tests.infra.ledger.scenes import look
from tests.infra.ledger.test_stock_library import loaded_by_the_library
from tests.infra.proofs.scenes import Sealed
from tests.projections.histories import every_row, record, rich

EVENTS = rich(120).events
TABLES = [table.name for group in GROUPS for table in group.tables]
STRANGE = (
    "INSERT INTO ledger_events VALUES"
    " ('thing-1', 1, E'thing.\\tnew', '\\xff00', {}, '1999-12-31 23:59:59.999999Z', '', 'ß\"', 'é',"
    " E'e\\u0301', E'\\u2028')"
)
"""An event that this release does not know, and that is not even text."""
UNREADABLE = (
    "INSERT INTO ledger_events VALUES ('client-1', 999, 'client.of-tomorrow', '{{}}', {},"
    " '2026-05-04Z', '', '', '', '', '')"
)


@pytest.fixture
def key(tmp_path: Path) -> SealingKey:
    return SealingKey.of(tmp_path / "key")


@pytest.fixture
async def ledger(database: str) -> str:
    """A ledger with all kinds of events in it."""
    await record(database, EVENTS)
    look(database, STRANGE.format(len(EVENTS) + 1))
    look(database, "SELECT setval('payments_id_seq', 777)")
    look(database, "INSERT INTO relay_positions VALUES ('club.events', 12), ('club.seals', 12)")
    return database


async def exported(database: str, key: SealingKey, *, zipped: bool = False) -> bytes:
    file = io.BytesIO()
    async with await Postgres(database).connect() as connection:
        with ExitStack() as opened:
            await export(connection, key, compressed(file, opened) if zipped else file)
    return file.getvalue()


async def imported(database: str, path: Path, key: SealingKey) -> int:
    async with await Postgres(database).connect(autocommit=True) as connection:
        await make_room(connection, TABLES)
        await connection.set_autocommit(False)
        return await import_from(connection, path, {key.name: key.public})


LEDGER = "SELECT * FROM ledger_events ORDER BY notification_id"


# --- the same again ----------------------------------------------------------------------------


async def test_an_export_is_the_same_to_the_byte_each_time(ledger: str, key: SealingKey) -> None:
    plain = await exported(ledger, key)
    assert plain == await exported(ledger, key)
    zipped = await exported(ledger, key, zipped=True)
    assert zipped == await exported(ledger, key, zipped=True)
    assert gzip.decompress(zipped) == plain
    lines = plain.splitlines(keepends=True)
    assert len(lines) == len(EVENTS) + 2
    assert [json.loads(line)["position"] for line in lines[:-1]] == [*range(1, len(EVENTS) + 2)]


@pytest.mark.parametrize("zipped", [False, True])
async def test_an_import_is_the_same_ledger(
    ledger: str, empty_database: str, key: SealingKey, tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "export"
    path.write_bytes(await exported(ledger, key, zipped=zipped))
    assert await imported(empty_database, path, key) == len(EVENTS) + 1
    assert look(empty_database, LEDGER) == look(ledger, LEDGER)
    assert await exported(empty_database, key) == await exported(ledger, key), "numbers and all"
    assert look(empty_database, "SELECT nextval('payments_id_seq')") == [(778,)]
    # What is published of heads is not of the new club's, which are all to go out.
    assert look(empty_database, "SELECT * FROM relay_positions") == [("club.events", 12)]
    with pytest.raises(NotFinished):
        await imported(empty_database, path, key)


async def test_a_club_from_an_export_has_the_same_tables_and_root_and_goes_on(
    rest: Rest, club: Club, database: str, empty_database: str, tmp_path: Path, settings: Settings
) -> None:
    await record(database, EVENTS, head=await club.ledger.head())
    key = SealingKey.of(settings.home)
    path = tmp_path / "export"
    path.write_bytes(await exported(database, key))
    other = settings.model_copy(update={"database_url": empty_database, "home": tmp_path / "new"})
    count = await import_club(other, path, {key.name: key.public}, lambda _: None)
    await rest.club.watch.reached(count, 30)

    ours, theirs = Sealed(database, tmp_path / "key"), Sealed(empty_database, tmp_path / "key")
    one, another = await ours.seal(), await theirs.seal()
    assert one is not None is not (another is None)
    assert another is not None
    assert (one.size, one.root) == (another.size, another.root)
    async with await ours.connect() as here, await theirs.connect() as there:
        assert await every_row(here) == await every_row(there) != []

    streams = [row[0] for row in look(database, "SELECT DISTINCT originator_id FROM ledger_events")]
    loaded = [
        await asyncio.to_thread(loaded_by_the_library, url, streams)
        for url in (database, empty_database)
    ]
    assert loaded[0] == loaded[1], "the stock library opens it, and loads every aggregate"

    highest = max(int(s.rpartition("-")[2]) for s in streams if s.startswith("exercise-"))
    async with open_club(other) as new:
        body = (await Rest(new, rest.http).do(AddExercise(ExerciseBody(title="One more")))).body
        assert body is not None
        assert body["id"] > highest
        assert await new.ledger.head() == count + 2, "the event, and its title"


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=20),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
)
def test_a_line_says_every_state_and_text_as_it_is(state: bytes, text: str) -> None:
    row = (7, text, 3, text, state, datetime(2026, 5, 4, tzinfo=UTC), *[text] * 5)
    line = line_of(row)
    again = json.loads(as_bytes(line))
    assert as_bytes(again) == as_bytes(line)
    event = {**again, "state_sha256": sha256(state).hexdigest()}
    assert state_of(event) == state
    assert leaf_hash(encode(event)).hex() == again["leaf"]


# --- what is refused ---------------------------------------------------------------------------

Change = Callable[[list[bytes]], list[bytes]]


def replaced(n: int, old: bytes, new: bytes) -> Change:
    def change(lines: list[bytes]) -> list[bytes]:
        assert old in lines[n]
        return [*lines[:n], lines[n].replace(old, new, 1), *lines[n + 1 :]]

    return change


END = len(EVENTS) + 2
"""The line of the manifest."""

REFUSED: dict[str, tuple[Change, str]] = {
    "a part": (lambda x: x[:50], "Line 51 of the export: the export ends before its manifest"),
    "without manifest": (lambda x: x[:-1], f"Line {END} of the export: the export ends before"),
    "without the first": (lambda x: x[1:], "Line 1 of the export: position 1 is expected"),
    "half a line": (lambda x: [*x[:9], x[9][:30]], "Line 10 of the export: the line is not"),
    "one missing": (lambda x: x[:9] + x[10:], "Line 10 of the export: position 10 is expected"),
    "the last missing": (lambda x: x[:-2] + x[-1:], "the manifest is that of another export"),
    "one twice": (lambda x: x[:10] + x[9:], "Line 11 of the export: position 11 is expected"),
    "two swapped": (
        lambda x: [*x[:9], x[10], x[9], *x[11:]], "Line 10 of the export: position 10 is expected",
    ),
    "a change": (replaced(9, b'"actor":"', b'"actor":"x'), "Line 10 of the export: the event was"),
    "a state": (replaced(9, b'"state":"{', b'"state":"{ '), "Line 10 of the export: the event was"),
    "a blank": (replaced(9, b'"actor":', b'"actor": '), "Line 10 of the export: it is not written"),
    "a member": (replaced(9, b'{"', b'{"more":1,"'), "Line 10 of the export: the event was"),
    "twice a member": (
        replaced(9, b'{"', b'{"position":9,"'), "Line 10 of the export: it is not written",
    ),
    "an empty line": (lambda x: [*x[:9], b"\n", *x[9:]], "Line 10 of the export: it is not JSON"),
    "no event": (lambda x: [*x[:9], b"{}\n", *x[9:]], "Line 10 of the export: position 10"),
    "no state": (
        replaced(9, b'"state":', b'"stage":'), "Line 10 of the export: it is not an event",
    ),
    "garbage": (lambda x: [*x[:9], b"\xff\xfe\n", *x[9:]], "Line 10 of the export: it is not JSON"),
    "depth": (lambda x: [*x[:9], b"[" * 99_999 + b"\n"], "Line 10 of the export: it is not JSON"),
    "a manifest": (
        replaced(-1, b'"count":1', b'"count":2'), f"Line {END} of the export: the manifest was",
    ),
    "more behind": (lambda x: [*x, x[0]], f"Line {END + 1} of the export: there is something"),
    "nothing": (lambda _: [], "Line 1 of the export: the export ends before its manifest"),
}  # fmt: skip


async def whats_wrong(database: str, path: Path, key: SealingKey) -> str:
    with pytest.raises(Fault) as refused:
        await imported(database, path, key)
    assert look(database, "SELECT count(*) FROM ledger_events") == [(0,)]
    return str(refused.value)


async def test_whatever_was_changed_is_refused_by_line_and_the_right_one_taken_after_it(
    ledger: str, empty_database: str, key: SealingKey, tmp_path: Path
) -> None:
    right = await exported(ledger, key)
    path = tmp_path / "export"
    for name, (change, said) in REFUSED.items():
        path.write_bytes(b"".join(change(right.splitlines(keepends=True))))
        assert said in await whats_wrong(empty_database, path, key), name
    path.write_bytes(gzip.compress(right)[:-100])
    assert "the compressed file is broken here" in await whats_wrong(empty_database, path, key)
    broken = bytearray(gzip.compress(right))
    broken[len(broken) // 2] ^= 1
    path.write_bytes(broken)
    assert "Line " in await whats_wrong(empty_database, path, key)
    path.write_bytes(right)
    assert await imported(empty_database, path, key) == len(EVENTS) + 1


async def test_a_compressed_export_that_is_cut_or_goes_on_anywhere_is_refused(
    ledger: str, empty_database: str, key: SealingKey, tmp_path: Path
) -> None:
    right = await exported(ledger, key, zipped=True)
    crc = bytearray(right)
    crc[-8] ^= 1
    path = tmp_path / "export"
    for wrong in (*(right[:-n] for n in range(1, 21)), bytes(crc), right + b"more"):
        path.write_bytes(wrong)
        said = await whats_wrong(empty_database, path, key)
        assert "the compressed file is broken here, or a part of one" in said
    path.write_bytes(right + right)
    assert "something after the manifest" in await whats_wrong(empty_database, path, key)


async def test_an_export_that_another_signed_is_refused(
    ledger: str, empty_database: str, key: SealingKey, tmp_path: Path
) -> None:
    forger = SealingKey.of(tmp_path / "forger")
    path = tmp_path / "export"
    path.write_bytes(await exported(ledger, forger))
    assert forger.name in await whats_wrong(empty_database, path, key)
    # Under the name of the right key, too.
    *events, last = path.read_bytes().splitlines(keepends=True)
    manifest = {**json.loads(last), "key": key.name}
    manifest["signature"] = base64.b64encode(forger.sign(manifest_text(manifest))).decode()
    path.write_bytes(b"".join([*events, as_bytes(manifest)]))
    assert "its signature does not fit" in await whats_wrong(empty_database, path, key)


async def test_an_event_that_the_ledger_does_not_take_is_refused(
    database: str, empty_database: str, key: SealingKey, tmp_path: Path
) -> None:
    # Twice the same version of an aggregate, in a ledger whose constraint somebody dropped.
    look(database, "ALTER TABLE ledger_events DROP CONSTRAINT ledger_events_pkey")
    for position in (1, 2):
        look(database, STRANGE.format(position))
    path = tmp_path / "export"
    path.write_bytes(await exported(database, key))
    assert "the ledger does not take it" in await whats_wrong(empty_database, path, key)


async def test_a_club_is_no_place_to_import_into(
    database: str, ledger: str, key: SealingKey, tmp_path: Path
) -> None:
    with pytest.raises(NotEmpty, match="There is a club in this database already"):
        await imported(database, tmp_path / "export", key)


async def test_what_is_not_as_sealed_is_not_exported(ledger: str, tmp_path: Path) -> None:
    sealed = Sealed(ledger, tmp_path)
    await sealed.seal()
    sealed.attack("UPDATE ledger_events SET actor = 'user-2' WHERE notification_id = 9")
    with pytest.raises(Fault, match="not what was sealed"):
        await exported(ledger, sealed.key)
    sealed.attack("DELETE FROM ledger_events WHERE notification_id = 50")
    with pytest.raises(Fault, match="no event at position 50"):
        await exported(ledger, sealed.key)
    sealed.attack("DELETE FROM ledger_events WHERE notification_id > 40")
    with pytest.raises(Fault, match="not what was sealed"):
        await exported(ledger, sealed.key)


@pytest.mark.parametrize(
    ("there", "names"),
    [
        ("CREATE TABLE clients (id int)", "clients"),
        ("CREATE VIEW trainings AS SELECT 1", "trainings"),
        ("CREATE TABLE ledger_receipts (id int)", "ledger_receipts"),
        ("CREATE SEQUENCE payments_id_seq", "payments_id_seq"),
    ],
)
async def test_what_bears_the_names_of_the_clubs_is_found_before_anything_is_made(
    empty_database: str, there: str, names: str
) -> None:
    look(empty_database, there)
    async with await Postgres(empty_database).connect(autocommit=True) as connection:
        with pytest.raises(NamesTaken, match=f"names of the club's: {names}"):
            await make_room(connection, TABLES)
    assert look(empty_database, "SELECT to_regclass('ledger_events')") == [(None,)]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("relay_positions", "'club.events', 12"),
        ("ledger_receipts", "'a', 'b', '', '{}'"),
        ("ledger_seals", "1, 1, '', now(), '', ''"),
        ("ledger_tree", "0, 0, ''"),
    ],
)
async def test_what_another_ledger_left_is_not_taken_over(
    empty_database: str, name: str, row: str
) -> None:
    async with await Postgres(empty_database).connect(autocommit=True) as connection:
        await make_room(connection, TABLES)
        await make_room(connection, TABLES)
        look(empty_database, f"INSERT INTO {name} VALUES ({row})")
        with pytest.raises(NamesTaken, match=name):
            await make_room(connection, TABLES)


async def test_what_finishes_an_import_that_was_killed_after_its_commit_is_said(
    ledger: str, empty_database: str, key: SealingKey, tmp_path: Path, settings: Settings
) -> None:
    path = tmp_path / "export"
    path.write_bytes(await exported(ledger, key))
    await imported(empty_database, path, key)
    other = settings.model_copy(update={"database_url": empty_database, "home": tmp_path / "new"})
    with pytest.raises(NotFinished, match="`club run` makes them"):
        await import_club(other, path, {key.name: key.public}, lambda _: None)


async def test_an_import_says_which_event_its_tables_cannot_be_made_from(
    database: str, empty_database: str, key: SealingKey, tmp_path: Path, settings: Settings
) -> None:
    await record(database, EVENTS)
    look(database, UNREADABLE.format(len(EVENTS) + 1))
    path = tmp_path / "export"
    path.write_bytes(await exported(database, key))
    other = settings.model_copy(update={"database_url": empty_database, "home": tmp_path / "new"})
    async with asyncio.timeout(30):
        with pytest.raises(TablesUnfinished, match=f"before position {len(EVENTS) + 1}"):
            await import_club(other, path, {key.name: key.public}, lambda _: None)
    assert look(empty_database, LEDGER) == look(database, LEDGER)


async def test_an_export_waits_for_a_pipe_that_stands(
    ledger: str, key: SealingKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ledger.exporting.BATCH", 10)
    file = io.BytesIO()
    impatient = {"idle_in_transaction_session_timeout": "100ms"}

    def stand(_: int) -> None:
        with psycopg.connect(ledger) as other:
            other.execute("SELECT pg_sleep(0.3)")

    async with await Postgres(ledger).connect(impatient) as connection:
        assert await export(connection, key, file, stand) == len(EVENTS) + 1


# --- what breaks -------------------------------------------------------------------------------

KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from infra.ledger import importing
    from infra.ledger.postgres import Connection, Postgres
    from infra.secrets.sealing_key import SealingKey

    url, path, home, at = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    done = 0

    def count():
        global done
        done += 1
        if done == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(real):
        async def counting(*args, **more):
            count()
            return await real(*args, **more)
        return counting

    Connection.execute = counted(Connection.execute)
    Connection.commit = counted(Connection.commit)
    line = importing.Reading._next

    def reading(self):
        if self._line % 60 == 0:
            count()
        return line(self)

    importing.Reading._next = reading

    async def main():
        key = SealingKey.of(home)
        async with await Postgres(url).connect(autocommit=True) as connection:
            await importing.make_room(connection)
            await connection.set_autocommit(False)
            await importing.import_from(connection, path, {key.name: key.public})

    asyncio.run(main())
"""


async def test_an_import_that_is_killed_leaves_nothing_and_can_be_made_again(
    ledger: str, empty_database: str, key: SealingKey, tmp_path: Path
) -> None:
    path = tmp_path / "export"
    path.write_bytes(await exported(ledger, key))
    seen = []
    for at in range(2, 200, 3):
        code = textwrap.dedent(KILLED)
        arguments = [empty_database, str(path), str(tmp_path / "key"), str(at)]
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            timeout=60,
        )
        if ended.returncode != -signal.SIGKILL:
            break
        there = look(empty_database, "SELECT to_regclass('ledger_events') IS NOT NULL")
        rows = look(empty_database, "SELECT count(*) FROM ledger_events") if there[0][0] else [(0,)]
        seen.append(rows[0][0])
        if rows[0][0]:
            break
    assert set(seen[:-1]) == {0}
    assert len(seen) > 5
    assert look(empty_database, LEDGER) == look(ledger, LEDGER)


def test_an_export_that_is_killed_leaves_no_file_of_its_name_and_the_next_clears_up(
    tmp_path: Path,
) -> None:
    code = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from infra.files import whole_file
        with whole_file(Path(sys.argv[1])) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"the one before")
    ended = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"the one before"
    (left,) = {*tmp_path.iterdir()} - {path}
    with whole_file(path) as file:
        (beside,) = {*tmp_path.iterdir()} - {path, left}
        clear_drafts(path)
        assert {*tmp_path.iterdir()} == {path, beside}, "what somebody writes now stays"
        file.write(b"the next")
    assert path.read_bytes() == b"the next"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_full_disk_is_said_and_nothing_half_is_left(
    ledger: str, key: SealingKey, tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    path = folder / "export.jsonl"
    path.write_bytes(b"the one before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with await Postgres(ledger).connect() as connection:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            with pytest.raises(OSError, match="File too large"), whole_file(path) as file:
                await export(connection, key, file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"the one before"
    assert list(folder.iterdir()) == [path]
