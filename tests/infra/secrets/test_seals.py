"""The club's seal: the same in every process of one home, and in no other club."""

from __future__ import annotations

import stat
from pathlib import Path

from application.ports.services import passing_seal
from infra.secrets.seals import open_seal


def test_every_process_of_a_home_has_the_same_seal(tmp_path: Path) -> None:
    assert open_seal(tmp_path)(b"asked") == open_seal(tmp_path)(b"asked")
    assert open_seal(tmp_path)(b"asked") != open_seal(tmp_path)(b"asked otherwise")


def test_no_other_club_has_it(tmp_path: Path) -> None:
    seals = open_seal(tmp_path / "one"), open_seal(tmp_path / "two"), passing_seal()
    assert len({seal(b"asked") for seal in seals}) == 3


def test_its_key_is_for_the_owner_alone(tmp_path: Path) -> None:
    open_seal(tmp_path)
    key = tmp_path / "keys" / "seal"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
