"""Proof, as it comes about: a service that seals by itself, is killed, and moves as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.acceptance.service import CLUB_RUN, Service, until

Services = Callable[..., Service]


@dataclass
class Sealing:
    """A service that seals what is new five times a second, and puts the heads outside."""

    service: Service
    outside: Path
    titles: Iterator[int] = field(default_factory=lambda: count(1))
    admin: dict[str, str] = field(default_factory=dict)

    def add(self, to: Service | None = None) -> int:
        """The number of a new exercise."""
        with (to or self.service).http(self.admin) as http:
            made = http.post("/exercises/", json={"title": f"Exercise {next(self.titles)}"})
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    def heads(self) -> list[Path]:
        """The heads outside, in order."""
        return sorted(self.outside.glob("[0-9]*.json"))

    def is_sealed_again(self) -> None:
        """Add things until two more heads are outside."""
        before = len(self.heads())

        def sealed() -> bool:
            self.add()
            return len(self.heads()) > before + 1

        until(sealed, "what is added is sealed")


@pytest.fixture(scope="module")
def sealing(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Sealing:
    outside = tmp_path_factory.mktemp("heads") / "outside"
    service = services(CLUB_SEAL_SECONDS="0.2", CLUB_SEALS_DIR=str(outside))
    service.start(CLUB_RUN)
    return Sealing(service, outside, admin=service.admin())


def well(service: Service, *arguments: str | Path) -> str:
    """What a command of the audit says, which is well."""
    done = service.club("audit", *map(str, arguments))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_service_seals_by_itself_and_goes_on_after_it_was_killed(sealing: Sealing) -> None:
    service = sealing.service
    for _ in range(3):
        sealing.is_sealed_again()
        service.kill()
        service.start(CLUB_RUN)
    sealing.is_sealed_again()
    with service.http(sealing.admin) as http:
        components = http.get("/health/").json()["components"]
    assert components["seals"]["status"] == "running"
    said = well(service, "verify", "--seals", sealing.outside)
    assert "All of it is as it was sealed" in said


def test_a_proof_is_good_where_there_is_no_club(sealing: Sealing, tmp_path: Path) -> None:
    key, proof = tmp_path / "key.pem", tmp_path / "proof.json"
    key.write_text(well(sealing.service, "key"))
    well(sealing.service, "prove", "--from", sealing.heads()[0], "--out", proof)
    nowhere = Service(tmp_path / "nowhere")
    assert "begins with what was sealed up to" in well(nowhere, "check", proof, "--key", key)
    assert not nowhere.home.exists()


def test_a_club_moves_into_another_folder_as_a_file(
    sealing: Sealing, services: Services, tmp_path: Path
) -> None:
    key, log, others = tmp_path / "key.pem", tmp_path / "club.jsonl.gz", tmp_path / "others"
    last = sealing.add()
    assert sealing.service.end() == 0
    key.write_text(well(sealing.service, "key"))
    # That it was asked for is recorded before, and so a part of it.
    well(sealing.service, "export", "--gzip", "--out", log)
    well(sealing.service, "seal")

    moved = services(CLUB_SEALS_DIR=str(others))
    assert "Imported" in well(moved, "import", log, "--key", key)
    well(moved, "seal")
    (head,) = others.iterdir()
    ours, theirs = (json.loads(path.read_text()) for path in (sealing.heads()[-1], head))
    assert ours["root"] == theirs["root"]
    moved.start(CLUB_RUN)
    token = moved.club("tokens", "issue", "owner").stdout.strip()
    sealing.admin["Authorization"] = f"Bearer {token}"
    with moved.http(sealing.admin) as http:
        assert http.get(f"/exercises/{last}/").json()["id"] == last
    assert sealing.add(moved) > last
