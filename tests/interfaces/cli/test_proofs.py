"""`club audit seal`, `verify`, `prove`, `check` and `key`, as somebody at the machine sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from infra.ledger.numbers import put_right
from infra.ledger.postgres import Postgres
from infra.proofs.heads import Outside
from infra.settings import Settings
from tests.infra.ledger.scenes import look
from tests.infra.proofs.scenes import EVENTS, Sealed
from tests.projections.histories import record

Command = Callable[..., Result]


@pytest.fixture
def ledger(
    settings: Settings, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Sealed:
    """A ledger of 40 events, 30 of them sealed, for the command line to work on."""
    monkeypatch.setenv("CLUB_HOME", str(settings.home))
    monkeypatch.setenv("CLUB_DATABASE_URL", database)
    monkeypatch.setenv("CLUB_SEALS_DIR", str(settings.home / "outside"))
    ledger = Sealed(database, settings.home)

    async def fill() -> None:
        await record(database, EVENTS[:30])
        await ledger.seal(ledger.outside)
        await record(database, EVENTS[30:40], head=30)
        async with await Postgres(database).connect(autocommit=True) as connection:
            await put_right(connection)

    asyncio.run(fill())
    return ledger


def test_what_is_there_is_sealed_now(command: Command, ledger: Sealed) -> None:
    first, again = command("audit", "seal"), command("audit", "seal")
    assert first.exit_code == again.exit_code == 0, first.output
    *_, head = ledger.outside.all()
    sealed, said = first.stdout.splitlines()
    assert first.stdout == again.stdout
    assert sealed == f"Sealed up to position 40: {head.root.hex()}"
    assert "`club audit verify` looks at every event" in said
    ledger.attack("UPDATE ledger_events SET actor = 'user-2' WHERE notification_id = 17")
    assert command("audit", "seal").stdout == first.stdout, "sealing looks at the end alone"
    assert command("audit", "verify").exit_code == 1
    assert [h.size for h in ledger.outside.all()] == [30, 40]


def test_an_empty_club_has_nothing_to_seal(
    command: Command, ledger: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.attack("TRUNCATE ledger_events, ledger_tree, ledger_seals")
    monkeypatch.delenv("CLUB_SEALS_DIR")
    assert command("audit", "seal").stdout == "There is nothing to seal yet.\n"
    assert command("audit", "verify").exit_code == 0
    refused = command("audit", "prove", "--from", "1")
    assert refused.stderr.startswith("Nothing is sealed yet")


def test_everything_is_verified_and_what_is_not_sealed_said(
    command: Command, ledger: Sealed
) -> None:
    held = command("audit", "verify")
    assert held.exit_code == 0, held.output
    assert held.stdout == (
        "40 events, compared with heads: 1 of the database, 0 of the home, 1 of outside.\n"
        "All of it is as it was sealed.\n10 of them are not sealed yet.\n"
    )


def test_what_was_compared_with_nothing_is_not_called_sealed(
    command: Command, ledger: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.attack("TRUNCATE ledger_tree, ledger_seals")
    monkeypatch.delenv("CLUB_SEALS_DIR")
    found = command("audit", "verify")
    assert found.exit_code == 1
    assert "0 of the database, 0 of the home, 0 of outside" in found.stdout
    assert "Nothing is sealed, so nothing can be said of it" in found.stdout
    (tmp_path / "emptied").mkdir()
    emptied = command("audit", "verify", "--seals", str(tmp_path / "emptied"))
    assert emptied.exit_code == 1
    assert emptied.stderr.startswith(f"There is no head in {tmp_path / 'emptied'}")


def test_the_home_alone_remembers_what_was_sealed(
    command: Command, ledger: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLUB_SEALS_DIR")
    assert command("audit", "seal").exit_code == 0
    ledger.attack(
        "UPDATE ledger_events SET actor = 'user-2' WHERE notification_id = 17",
        "TRUNCATE ledger_tree, ledger_seals",
    )
    refused = command("audit", "seal")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "The ledger is not the one that was sealed at position 40" in refused.stderr
    refused = command("audit", "export")
    assert refused.exit_code == 1
    assert "not what was sealed" in refused.stderr
    found = command("audit", "verify")
    assert found.exit_code == 1
    assert "position 40: what was sealed up to here is not what is there" in found.stdout
    assert "0 of the database, 1 of the home" in found.stdout


def test_a_person_decides_that_another_key_takes_the_place_of_one_that_is_lost(
    command: Command, ledger: Sealed
) -> None:
    path, before = ledger.home / "keys" / "heads.pem", command("audit", "key").stdout
    path.unlink()
    for asked in (("seal",), ("key",), ("export",)):
        refused = command("audit", *asked)
        assert refused.exit_code == 1
        assert "the key that signed it, `keys/heads.pem`, is not there" in refused.stderr
        assert not path.exists()
    made = command("audit", "key", "--new")
    assert made.exit_code == 0, made.output
    assert made.stdout == command("audit", "key").stdout != before
    assert command("audit", "seal").stdout.startswith("Sealed up to position 40")
    (ledger.home / "before.pem").write_text(before)
    held = command("audit", "verify", "--key", str(ledger.home / "before.pem"))
    assert held.exit_code == 0, held.output


def test_an_auditor_verifies_with_the_public_half_of_a_home_that_has_no_other_key(
    command: Command, ledger: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "auditor" / "keys"
    keys.mkdir(parents=True)
    (keys / "heads.pem").write_bytes((ledger.home / "keys" / "heads.pem").read_bytes())
    monkeypatch.setenv("CLUB_HOME", str(keys.parent))
    assert command("audit", "verify").exit_code == 0


def test_a_moment_that_cannot_be_read_is_said_in_a_sentence(
    command: Command, ledger: Sealed
) -> None:
    ledger.attack("UPDATE ledger_events SET recorded_at = 'infinity' WHERE notification_id = 17")
    for asked in (("export",), ("prove", "17")):
        refused = command("audit", *asked)
        assert refused.exit_code == 1
        assert "The database holds what cannot be read" in refused.stderr
        assert "`club audit verify` says more" in refused.stderr
    found = command("audit", "verify")
    assert "position 17: the event was changed" in found.stdout


def test_a_torn_tree_is_said_and_who_says_more(command: Command, ledger: Sealed) -> None:
    ledger.attack("DELETE FROM ledger_tree")
    ledger.attack("INSERT INTO ledger_tree VALUES (0, 5, '\\x00')")
    refused = command("audit", "seal")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "`club audit verify` says more" in refused.stderr


def test_what_differs_is_told_with_its_position_and_exit_status_1(
    command: Command, ledger: Sealed, tmp_path: Path
) -> None:
    Outside(tmp_path / "notary").put(next(ledger.outside.all()))
    ledger.attack(
        "UPDATE ledger_events SET actor = 'user-2' WHERE notification_id = 17",
        "TRUNCATE ledger_tree, ledger_seals",
    )
    found = command("audit", "verify", "--seals", str(tmp_path / "notary"))
    assert found.exit_code == 1
    assert "Not all of it is what was sealed. Findings: 2." in found.stdout
    assert "position 30: what was sealed up to here is not what is there" in found.stdout
    refused = command("audit", "verify", "--seals", str(tmp_path / "nowhere"))
    assert (refused.exit_code, refused.stderr) == (1, f"{tmp_path / 'nowhere'} is not a folder.\n")


def test_a_proof_is_made_and_checked_where_there_is_no_club(
    command: Command, ledger: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, proof, later = (tmp_path / name for name in ("key.pem", "proof.json", "later.json"))
    key.write_text(command("audit", "key").stdout)
    assert command("audit", "prove", "17", "--out", str(proof)).exit_code == 0
    noted = look(ledger.database, "SELECT topic, actor FROM ledger_events OFFSET 40")
    assert noted == [("audit-reading.made", "club")]
    assert command("audit", "seal").exit_code == 0
    assert command("audit", "prove", "--from", "30", "--out", str(later)).exit_code == 0
    head = next((ledger.home / "outside").iterdir())
    assert json.loads(command("audit", "prove", "--from", str(head)).stdout)["format"]

    for name in ("CLUB_HOME", "CLUB_DATABASE_URL"):
        monkeypatch.setenv(name, "/nowhere")
    held = command("audit", "check", str(proof), "--key", str(key))
    assert held.exit_code == 0, held.output
    assert "is at position 17 of the ledger" in held.stdout
    held = command("audit", "check", str(later), "--key", str(key))
    assert "up to position 41 begins with what was sealed up to 30," in held.stdout
    proof.write_text(proof.read_text().replace('"position": 17', '"position": 18'))
    refused = command("audit", "check", str(proof), "--key", str(key))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "The event is not at position 18 of what was sealed.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prove"], "What is to be proved? Name an event, or an earlier head with --from."),
        (["prove", "1", "--from", "30"], "What is to be proved? Name an event, or an"),
        (["prove", "35"], "The event at position 35 is not sealed yet: `club audit seal` seals"),
        (["prove", "client-1"], "There is no event client-1: a position (17) names one"),
        (["prove", "--from", "29"], "There is no head 29: name a file, or a position"),
        (["prove", "--from", "nowhere.json"], "nowhere.json: No such file or directory."),
        (["prove", "1", "--out", "no/where.json"], "no/.where.json"),
        (["verify", "--key", "nowhere.pem"], "nowhere.pem: No such file or directory."),
    ],
)
def test_what_cannot_be_proved_is_said_in_a_sentence(
    command: Command, ledger: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    refused = command("audit", *arguments)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[-1].startswith(said) or said in refused.stderr


def test_without_a_key_nothing_is_called_signed(
    command: Command, ledger: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key.pem"
    key.write_text(command("audit", "key").stdout)
    monkeypatch.setenv("CLUB_HOME", str(tmp_path / "elsewhere"))
    refused = command("audit", "verify")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "There is no key here to check signatures with: --key names the public key.\n"
    )
    assert command("audit", "verify", "--key", str(key)).exit_code == 0
    assert look(ledger.database, "SELECT count(*) FROM ledger_seals") == [(1,)]
