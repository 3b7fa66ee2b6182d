"""The containers cannot be run here: what can be checked of them without is checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.parts import REPORTS, TASKS
from infra.settings import Settings

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def check(file: Path) -> subprocess.CompletedProcess[str]:
    """Check a file against the compose specification's own schema, which the checker ships."""
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*checker, str(file)], capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    services: dict[str, Any] = document["services"]
    return services


def test_the_compose_file_fits_the_schema() -> None:
    checked = check(COMPOSE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_would_notice_a_slip(tmp_path: Path) -> None:
    slipped = tmp_path / "docker-compose.yml"
    slipped.write_text(COMPOSE.read_text().replace("healthcheck:", "healthchek:"))
    assert check(slipped).returncode == 1


def test_the_service_waits_for_a_healthy_postgres_on_a_volume(services: dict[str, Any]) -> None:
    waited_for = services["club"]["depends_on"]
    servers = ("postgres", "redis", "rabbitmq")
    assert waited_for == {name: {"condition": "service_healthy"} for name in servers}
    assert services["postgres"]["image"] == "postgres:18"
    assert "pg_isready" in services["postgres"]["healthcheck"]["test"]
    # Where the images from 18 on keep their data.
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_the_health_of_the_service_is_what_its_health_route_says(services: dict[str, Any]) -> None:
    *_, look = services["club"]["healthcheck"]["test"]
    compile(look, "healthcheck", "exec")
    assert "http://127.0.0.1:8000/health/" in look


def test_heads_outside_have_a_folder_of_the_machine_that_is_only_to_be_let_in(
    tmp_path: Path,
) -> None:
    let_in = COMPOSE.read_text().replace("    # - /mnt/elsewhere", "    - /mnt/elsewhere")
    changed = tmp_path / "docker-compose.yml"
    changed.write_text(let_in)
    assert check(changed).returncode == 0
    *_, mount = yaml.safe_load(let_in)["services"]["projector"]["volumes"]
    assert f"CLUB_SEALS_DIR={mount.rpartition(':')[2]}`" in let_in


def test_no_password_is_written_down_and_a_missing_one_is_named(services: dict[str, Any]) -> None:
    given = services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert re.fullmatch(r"\$\{CLUB_POSTGRES_PASSWORD:\?[a-z ]+\}", given)
    assert services["club"]["environment"]["PGPASSWORD"] == given
    assert services["club"]["environment"]["CLUB_DATABASE_URL"].count(":") == 2


def test_every_part_of_the_stack_has_a_container(services: dict[str, Any]) -> None:
    commands = {" ".join(s["command"]) for s in services.values() if s.get("image") == "club"}
    parts = {"run", "projector", "consumer", "relay", "bot"}
    assert parts == {command.split()[1] for command in commands if command.startswith("club ")}
    assert sum(command.startswith("celery ") for command in commands) == 3
    for queue in (TASKS, REPORTS):
        assert sum(f"--queues {queue} " in command for command in commands) == 1, queue
    for option in ("--no-projector", "--no-amqp", "--no-bot", "--no-timers"):
        assert any(option in command for command in commands)


def test_a_chain_is_a_profile_of_its_own_with_an_image_that_has_what_it_needs(
    services: dict[str, Any],
) -> None:
    of_chain = {name: s for name, s in services.items() if s.get("profiles") == ["chain"]}
    assert of_chain.keys() == {"publisher", "stream", "chain", "kafka", "chain-postgres"}
    assert of_chain["kafka"]["image"].startswith("apache/kafka:4.")
    assert of_chain["kafka"]["volumes"] == ["kafka:/var/lib/kafka/data"]
    commands = {"publisher": ["publish"], "stream": ["stream"], "chain": ["run", "--chain"]}
    for name, command in commands.items():
        part = of_chain[name]
        assert part["command"] == ["club", *command]
        assert part["image"] == "club-chain"
        assert part["build"]["args"] == {"REQUIREMENTS": "requirements-chain.lock"}
        assert part["environment"]["CLUB_KAFKA_URL"].endswith(":-kafka://kafka:9092}")
        own = {"CLUB_KAFKA_URL", "CLUB_CHAIN_DATABASE_URL"}
        own |= {"CLUB_PUBLIC_URL"} if name == "chain" else set()
        for variable, value in services["club"]["environment"].items():
            assert variable in own or part["environment"][variable] == value
        waits = {"chain-postgres"} if name == "chain" else {"postgres", "kafka", "chain-postgres"}
        assert part["depends_on"].keys() == waits
    # Whoever reads need not wait for those who compute, nor share a port with the club.
    serving = of_chain["chain"]
    assert serving["ports"] == ["127.0.0.1:${CLUB_CHAIN_HTTP_PORT:-8100}:8000"]
    assert serving["healthcheck"] == services["club"]["healthcheck"]
    assert serving["environment"]["CLUB_PUBLIC_URL"].startswith("${CLUB_CHAIN_PUBLIC_URL:-")
    assert of_chain["stream"]["scale"] == 2


def test_every_setting_in_a_container_is_one_that_there_is(services: dict[str, Any]) -> None:
    known = {f"CLUB_{name.upper()}" for name in Settings.model_fields}
    in_image = set(re.findall(r"(CLUB_[A-Z_]+)=", DOCKERFILE))
    in_compose = {name for name in services["club"]["environment"] if name.startswith("CLUB_")}
    assert in_image | in_compose <= known
    assert in_image == {"CLUB_HOME", "CLUB_HTTP_HOST"}


OF_THE_CONTAINERS = {
    "CLUB_HOME",
    "CLUB_DATABASE_URL",
    "CLUB_REDIS_URL",
    "CLUB_AMQP_URL",
    "CLUB_HTTP_HOST",
    "CLUB_TELEGRAM_WEBHOOK_HOST",
}
"""Who else is in a container, and where it listens there, is not to be set from outside."""
PORTS = {"CLUB_HTTP_PORT": "club", "CLUB_TELEGRAM_WEBHOOK_PORT": "bot"}
"""Ports of the machine, each leading to that of one part."""


def test_every_setting_reaches_every_part(services: dict[str, Any]) -> None:
    settings = {f"CLUB_{name.upper()}" for name in Settings.model_fields}
    passed = {name: f"${{{name}:-}}" for name in settings - OF_THE_CONTAINERS - PORTS.keys()}
    parts = {name: part for name, part in services.items() if part.get("image") == "club"}
    assert len(parts) == 8
    for name, part in parts.items():
        given = {k: v for k, v in part["environment"].items() if k not in OF_THE_CONTAINERS}
        assert given == passed | {"PGPASSWORD": given["PGPASSWORD"]}, name
    for variable, name in PORTS.items():
        default = Settings.model_fields[variable.removeprefix("CLUB_").lower()].default
        assert parts[name]["ports"] == [f"127.0.0.1:${{{variable}:-{default}}}:{default}"]


def test_a_setting_that_is_passed_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"CLUB_{name.upper()}" for name in Settings.model_fields]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    unset = Settings()
    for name in names:
        monkeypatch.setenv(name, "")
    assert Settings() == unset


def test_the_image_installs_by_hash_and_does_not_run_as_root() -> None:
    assert DOCKERFILE.count("FROM ") == 1
    assert "ARG REQUIREMENTS=requirements.lock\n" in DOCKERFILE
    assert '--require-hashes --requirement "$REQUIREMENTS"' in DOCKERFILE
    before, after = DOCKERFILE.split("\nUSER club\n")
    assert "useradd" in before
    assert 'CMD ["club", "run"]' in after


LOCKS = ("requirements.lock", "requirements-chain.lock")
"""What the service needs, and what one in a chain of clubs needs."""


def test_the_lock_for_a_chain_has_all_of_the_other() -> None:
    of_a_club, of_a_chain = (
        {line.split()[0] for line in _lines(name) if "==" in line} for name in LOCKS
    )
    assert of_a_club < of_a_chain
    more = {line.partition("==")[0] for line in of_a_chain - of_a_club}
    assert more > {"aiokafka", "mode-streaming"}


def test_the_image_gets_every_package_of_the_service_and_nothing_else() -> None:
    copied = set(re.findall(r"^COPY (\S+?)/? ", DOCKERFILE, re.MULTILINE))
    packages = {folder.parent.name for folder in ROOT.glob("*/__init__.py")} - {"tests"}
    assert copied == packages | {*LOCKS, "pyproject.toml"}
    let_in = {line[1:].rstrip("/") for line in _lines(".dockerignore") if line.startswith("!")}
    assert let_in == copied


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()
