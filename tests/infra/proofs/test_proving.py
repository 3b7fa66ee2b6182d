"""Proofs that are handed out: what they prove, to whom, and what they do not say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from infra.proofs import check as checker
from infra.proofs import heads
from infra.proofs.check import Refused, check
from infra.proofs.heads import Head
from infra.proofs.proving import (
    LaterHead,
    NoSuchEvent,
    NotAsSealed,
    NothingSealed,
    NotSealed,
    prove_continuation,
    prove_event,
)
from infra.secrets.sealing_key import SealingKey
from tests.infra.ledger.scenes import look
from tests.infra.proofs.scenes import ALL, EVENTS, SEALED, Sealed, sealed
from tests.projections.histories import record


@pytest.fixture
async def ledger(database: str, tmp_path: Path) -> Sealed:
    return await sealed(database, tmp_path)


async def proof_of(ledger: Sealed, name: object, *, withheld: bool = False) -> dict[str, Any]:
    """The proof as it is in a file."""
    async with await ledger.connect() as connection:
        proof = await prove_event(connection, str(name), withheld=withheld)
    read: dict[str, Any] = json.loads(json.dumps(proof))
    return read


async def continuation(ledger: Sealed, first: Head) -> dict[str, Any]:
    async with await ledger.connect() as connection:
        return await prove_continuation(connection, first)


async def test_every_sealed_event_can_be_proved(ledger: Sealed) -> None:
    key, path_of = ledger.key.public, {}
    async with await ledger.connect() as connection:
        for position in range(1, SEALED[-1] + 1):
            proof = await prove_event(connection, str(position), withheld=False)
            assert f"is at position {position} of the ledger" in check(proof, key)
            path_of[position] = len(proof["path"])
    assert max(path_of.values()) <= 9


async def test_every_head_continues_every_earlier_one(ledger: Sealed) -> None:
    for first in ledger.outside.all():
        proof = await continuation(ledger, first)
        assert f"begins with what was sealed up to {first.size}," in check(proof, ledger.key.public)


async def test_an_event_is_named_by_its_position_or_by_its_version(ledger: Sealed) -> None:
    ((stream, version),) = look(
        ledger.database,
        "SELECT originator_id, originator_version FROM ledger_events WHERE notification_id = 9",
    )
    assert await proof_of(ledger, f"{stream}/{version}") == await proof_of(ledger, 9)


@pytest.mark.parametrize("name", ["0", "301", "client-99999/1", "client-1", "", "-1", "1" * 30])
async def test_an_event_that_is_not_there_is_said(ledger: Sealed, name: str) -> None:
    with pytest.raises(NoSuchEvent, match="There is no event"):
        await proof_of(ledger, name)


async def test_what_is_not_sealed_yet_cannot_be_proved(ledger: Sealed, tmp_path: Path) -> None:
    with pytest.raises(NotSealed, match=f"position {ALL} is not sealed yet"):
        await proof_of(ledger, ALL)
    later = heads.sign(ledger.key, 1000, b"1" * 32, next(ledger.outside.all()).moment)
    with pytest.raises(LaterHead, match="of position 1000, and the last one here is of 290"):
        await continuation(ledger, later)


async def test_nothing_can_be_proved_where_nothing_is_sealed(database: str, tmp_path: Path) -> None:
    with pytest.raises(NothingSealed):
        await continuation(
            Sealed(database, tmp_path),
            Head.of({**EXAMPLE, "key": "k", "signature": ""}),
        )


EXAMPLE = {
    "position": 1,
    "size": 1,
    "root": "11" * 32,
    "moment": "2026-05-04T00:00:00.000000Z",
}


async def test_what_differs_from_what_was_sealed_cannot_be_proved(ledger: Sealed) -> None:
    before = list(ledger.outside.all())
    ledger.attack("UPDATE ledger_events SET actor = 'user-2' WHERE notification_id = 60")
    with pytest.raises(NotAsSealed):
        await proof_of(ledger, 60)
    ledger.attack("DELETE FROM ledger_tree WHERE level = 0")
    with pytest.raises(NotAsSealed):
        await proof_of(ledger, 61)
    ledger.attack("TRUNCATE ledger_tree", "TRUNCATE ledger_seals")
    await ledger.seal()
    with pytest.raises(NotAsSealed):
        await continuation(ledger, before[-1])
    # What was the same then, and is now, still is.
    check(await continuation(ledger, before[1]), ledger.key.public)


# --- what is withheld --------------------------------------------------------------------------


async def test_an_event_is_proved_without_what_it_says(ledger: Sealed) -> None:
    whole, withheld = await proof_of(ledger, 9), await proof_of(ledger, 9, withheld=True)
    said = whole["event"].pop("state")
    assert whole == withheld
    assert json.loads(said)
    assert "Its state is withheld" in check(withheld, ledger.key.public)


async def test_a_secret_is_withheld_in_any_case(ledger: Sealed) -> None:
    positions = look(
        ledger.database,
        "SELECT notification_id FROM ledger_events WHERE state::text ~ encode('hash', 'hex')"
        f" AND notification_id <= {SEALED[-1]}",
    )
    assert positions
    for (position,) in positions:
        proof = await proof_of(ledger, position)
        assert "state" not in proof["event"]
        check(proof, ledger.key.public)


async def test_an_event_that_cannot_be_read_is_proved_without_what_it_says(
    database: str, tmp_path: Path
) -> None:
    look(
        database,
        "INSERT INTO ledger_events VALUES ('thing-1', 1, 'thing.of-tomorrow', '\\xff00', 1,"
        " '2026-05-04Z', '', '', '', '', '')",
    )
    ledger = Sealed(database, tmp_path)
    await ledger.seal()
    proof = await proof_of(ledger, 1)
    assert "state" not in proof["event"]
    check(proof, ledger.key.public)
    given = {**proof, "event": {**proof["event"], "state": {"base64": "/wA="}}}
    check(given, ledger.key.public)


async def test_from_where_somebody_signed_in_is_withheld_in_any_case(ledger: Sealed) -> None:
    origin = b'"origin":"'.hex()
    positions = look(
        ledger.database,
        f"SELECT notification_id FROM ledger_events WHERE state::text ~ '{origin}'"
        f" AND notification_id <= {SEALED[-1]}",
    )
    assert positions
    for (position,) in positions:
        assert "state" not in (await proof_of(ledger, position))["event"]


async def test_a_fact_that_its_class_does_not_declare_is_withheld(
    database: str, tmp_path: Path
) -> None:
    await record(database, EVENTS[:1])
    without_a_word = "convert_to(replace(convert_from(state, 'UTF8'), '{', '{\"more\":1,'), 'UTF8')"
    ledger = Sealed(database, tmp_path)
    ledger.attack(f"UPDATE ledger_events SET state = {without_a_word}")
    ledger.attack(CHANGE)
    await ledger.seal()
    for position in (1, 2):
        assert "state" not in (await proof_of(ledger, position))["event"]


CHANGE = """
INSERT INTO ledger_events VALUES ('client-7', 2, 'client.changed', '{"changes":{"more":1}}', 2,
    '2026-05-04Z', '', '', '', '', '')
"""


@pytest.mark.parametrize("size", [True, 0, -1, 1.0, "1"])
async def test_a_head_of_no_size_is_none(size: object) -> None:
    with pytest.raises(Refused, match="not written as a head is"):
        Head.of({**EXAMPLE, "position": size, "size": size, "key": "k", "signature": ""})


# --- what is not believed ----------------------------------------------------------------------


def changed(proof: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The proof with another value there."""
    copy = json.loads(json.dumps(proof))
    there = copy
    for step in at[:-1]:
        there = there[step]
    there[at[-1]] = value
    return copy


def every_place(value: Any, *above: Any) -> list[tuple[Any, ...]]:
    """The path to every value in some JSON."""
    if isinstance(value, dict):
        return [at for name, each in value.items() for at in every_place(each, *above, name)]
    if isinstance(value, list):
        return [at for n, each in enumerate(value) for at in every_place(each, *above, n)]
    return [above]


NONSENSE: list[Any] = [
    *(None, True, -1, 0, 2**70, 1.5, "", "x", "é" * 64, "\ud800", "0" * 64),
    *([], {}, [[]], {"base64": 7}),
]


async def test_no_value_in_a_proof_may_be_another(ledger: Sealed) -> None:
    key = ledger.key.public
    first = next(ledger.outside.all())
    for proof in (await proof_of(ledger, 9), await continuation(ledger, first)):
        for at in every_place(proof):
            for value in NONSENSE:
                if at[-1] in {"key", "state"} and not isinstance(value, str):
                    continue  # named for people, or withheld
                if at[-1] == "key":
                    continue
                with pytest.raises(Refused):
                    check(changed(proof, at, value), key)
        for name in proof:
            with pytest.raises(Refused):
                check({k: v for k, v in proof.items() if k != name}, key)
        for value in NONSENSE:
            for name in proof:
                with pytest.raises(Refused):
                    check({**proof, name: value}, key)
            with pytest.raises(Refused):
                check(value, key)


async def test_a_proof_of_another_head_another_event_or_another_key_is_none(
    ledger: Sealed, tmp_path: Path
) -> None:
    key = ledger.key.public
    one, other = await proof_of(ledger, 9), await proof_of(ledger, 290)
    for proof in ({**one, "head": other["head"]}, {**one, "event": other["event"]}):
        with pytest.raises(Refused, match="is not at position"):
            check(proof, key)
    with pytest.raises(Refused, match="It names another key"):
        check(one, SealingKey.of(tmp_path / "another").public)
    # The same numbers under other names are no other head.
    assert check({**one, "head": {**one["head"], "more": 1}}, key)


def run_alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The checker as a single file, away from the club, without a network to reach."""
    alone = folder / "check.py"
    alone.write_bytes(Path(checker.__file__).read_bytes())
    return subprocess.run(
        [sys.executable, "-I", str(alone), *arguments],
        capture_output=True, text=True, cwd=folder, env={}, timeout=60,
    )  # fmt: skip


async def test_the_checker_is_one_file_that_needs_nothing_of_the_club(
    ledger: Sealed, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "proof.json").write_text(json.dumps(await proof_of(ledger, 9)))
    (folder / "key.pem").write_text(ledger.key.public_pem)
    held = run_alone(folder, "proof.json", "--key", "key.pem")
    assert (held.returncode, held.stderr) == (0, "")
    assert "is at position 9 of the ledger" in held.stdout
    proof = json.loads((folder / "proof.json").read_text())
    (folder / "proof.json").write_text(json.dumps(changed(proof, ("event", "position"), 10)))
    refused = run_alone(folder, "proof.json", "--key", "key.pem")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "The event is not at position 10 of what was sealed.\n"


@pytest.mark.parametrize(
    ("proof", "key", "said"),
    [
        (b"{", "pem", "The file is not JSON, or a member is in it twice."),
        (b"\xff\xfe", "pem", "The file is not JSON, or a member is in it twice."),
        (b"[" * 100_000, "pem", "The file is not JSON, or a member is in it twice."),
        (b"7", "pem", "This is not a proof: neither of inclusion nor of consistency."),
        (None, "pem", "proof.json: No such file or directory."),
        (b"{}", None, "key.pem: No such file or directory."),
        (b"{}", "nonsense", "The key is not a public key in PEM, as `club audit key` prints it."),
        (b"{}", "rsa", "The key is not an Ed25519 key, as `club audit key` prints it."),
    ],
)
def test_what_cannot_be_checked_is_said_in_a_sentence(
    tmp_path: Path, signing_key: Path, proof: bytes | None, key: str | None, said: str
) -> None:
    if proof is not None:
        (tmp_path / "proof.json").write_bytes(proof)
    texts = {"pem": SealingKey.of(tmp_path).public_pem, "rsa": rsa(signing_key)}
    if key is not None:
        (tmp_path / "key.pem").write_text(texts.get(key, key))
    refused = run_alone(tmp_path, "proof.json", "--key", "key.pem")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", f"{said}\n")


def rsa(home: Path) -> str:
    loaded = serialization.load_pem_private_key((home / "keys/signing.pem").read_bytes(), None)
    return (
        loaded.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
