"""`club chain users` and `club run --chain`, as whoever runs a chain meets them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from typer.testing import Result

from infra.secrets.keys import Keys
from infra.settings import Settings
from tests.acceptance.service import Service, until
from tests.interfaces.rest.chain.scenes import join, make_chain, take_in
from tests.projections.histories import rich

EVENTS = rich(60).events


@pytest.fixture
def chain(settings: Settings, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A chain of one club, which the environment names."""
    asyncio.run(_scene(empty_database))
    monkeypatch.setenv("CLUB_CHAIN_DATABASE_URL", empty_database)
    monkeypatch.setenv("CLUB_HOME", str(settings.home))
    return empty_database


async def _scene(url: str) -> None:
    await make_chain(url)
    await take_in(url, await join(url, "North", EVENTS), EVENTS)


@pytest.fixture
def service(chain: str, settings: Settings) -> Iterator[Service]:
    """`club run --chain`, in a home that has keys already."""
    running = Service(settings.home, CLUB_CHAIN_DATABASE_URL=chain)
    running.start((*running.command, "run", "--chain"))
    yield running
    running.close()


def test_people_are_added_listed_and_removed(chain: str, command: Callable[..., Result]) -> None:
    for name, role in (("Ada", "ADMIN"), ("Grace", "analyst")):
        added = command("chain", "users", "add", name, "--role", role)
        assert (added.exit_code, added.stderr) == (0, "")
        assert added.stdout == f"{name} reads the chain as {role.upper()}.\n"
    twice = command("chain", "users", "add", "Ada")
    said = (
        "There is somebody called Ada who reads this chain: `set-role` gives them another role.\n"
    )
    assert (twice.exit_code, twice.stdout, twice.stderr) == (1, "", said)
    assert command("chain", "users", "list").stdout == "Ada: ADMIN\nGrace: ANALYST\n"
    for role, name in (("ANALYST", "Ada"), ("admin", "Grace")):
        told = command("chain", "users", "set-role", name, role).stdout
        assert told == f"{name} reads the chain as {role.upper()}.\n"
    assert command("chain", "users", "list").stdout == "Ada: ANALYST\nGrace: ADMIN\n"
    assert command("chain", "users", "set-role", "Nobody", "ADMIN").stderr == (
        "There is no reader Nobody.\n"
    )
    assert command("chain", "users", "set-role", "Grace", "ANALYST").exit_code == 0
    assert command("chain", "users", "remove", "Ada").exit_code == 0
    for name in ("remove", "token", "link"):
        gone = command("chain", "users", name, "Ada")
        assert (gone.exit_code, gone.stdout) == (1, ""), name
        assert gone.stderr == "There is no reader Ada.\n"
    assert command("chain", "users", "list").stdout == "Grace: ANALYST\n"


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb", "x" * 51, "\u202eada", "a\0b", "ad\u0430", "a b"]
)
def test_a_name_is_something_that_people_can_read(
    chain: str, command: Callable[..., Result], name: str
) -> None:
    refused = command("chain", "users", "add", name)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("NAME: ")
    assert " 1 to 50 letters from a to z" in refused.stderr or "at most 50" in refused.stderr
    assert command("chain", "users", "add", "Ada", "--role", "TRAINER").exit_code == 2
    assert command("chain", "users", "list").stdout == ""


def test_a_link_into_a_chain_that_nobody_ever_served_is_not_printed(
    chain: str, command: Callable[..., Result], settings: Settings
) -> None:
    Keys(settings.home)
    assert command("chain", "users", "add", "Ada").exit_code == 0
    refused = command("chain", "users", "link", "Ada")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Nobody has served this chain yet")


def test_what_means_nothing_for_a_chain_is_refused(
    chain: str, command: Callable[..., Result]
) -> None:
    for option in ("--no-bot", "--bot", "--no-projector", "--no-amqp", "--no-timers"):
        refused = command("run", "--chain", option)
        assert (refused.exit_code, refused.stdout) == (2, ""), option
        assert refused.stderr.startswith("--chain serves no club: --")


def test_without_the_keys_of_the_chain_nothing_is_signed_and_none_are_made(
    chain: str,
    command: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("CLUB_HOME", str(elsewhere))
    assert command("chain", "users", "add", "Ada").exit_code == 0
    for name in ("token", "link"):
        refused = command("chain", "users", name, "Ada")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"The keys of the chain are not in {elsewhere}: ")
    assert not elsewhere.exists()


def test_whoever_has_a_token_or_a_link_reads_what_is_served_until_they_are_removed(
    service: Service, command: Callable[..., Result]
) -> None:
    assert service.club("chain", "users", "add", "Ada", "--role", "ADMIN").returncode == 0
    printed = service.club("chain", "users", "token", "Ada", "--minutes", "5")
    assert (printed.returncode, printed.stderr) == (0, "")
    headers = {"Authorization": f"Bearer {printed.stdout.strip()}"}
    with httpx.Client(base_url=service.url, headers=headers) as http:
        assert [club["name"] for club in http.get("/chain/clubs/").json()] == ["North"]
        report = http.get("/chain/reports/clients/?from_date=2026-01-01&to_date=2026-01-31").json()
        joined = sum(event.TOPIC == "client.registered" for event in EVENTS)
        assert sum(period["joined"] for period in report["periods"]) == joined >= 3
        shown = http.get("/health/").json()
        assert (shown["components"]["api"]["status"], "late" in shown) == ("running", True)
        assert http.get("/users/").status_code == 404
        is_told_less_as_an_analyst(service, http)
        # Printed where nothing says at which port the chain is served.
        link = command("chain", "users", "link", "Ada").stdout.strip()
        there = urlsplit(link)
        assert f"{there.scheme}://{there.netloc}" == service.url
        with httpx.Client(base_url=service.url, follow_redirects=True) as browser:
            page = browser.get(f"{there.path}?{there.query}", headers={"Accept": "text/html"})
            assert page.status_code == 200
            assert "North" in page.text
            assert "link" not in parse_qs(page.url.query.decode())
        assert service.club("chain", "users", "remove", "Ada").returncode == 0
        until(lambda: http.get("/chain/clubs/").status_code == 401, "Ada is out", patience=5)
    assert parse_qs(there.query)["link"][0][-40:] not in service.said.read_text()
    assert service.end() == 0


def test_a_chain_that_computes_no_figures_says_so_at_its_start(
    chain: str, settings: Settings
) -> None:
    without = Service(settings.home, CLUB_CHAIN_DATABASE_URL=chain, CLUB_CHAIN_GROUPS="documented")
    try:
        without.start((*without.command, "run", "--chain"))
        assert "documented (CLUB_CHAIN_GROUPS): no figures, and so" in without.said.read_text()
    finally:
        without.close()


def is_told_less_as_an_analyst(service: Service, http: httpx.Client) -> None:
    assert service.club("chain", "users", "set-role", "Ada", "ANALYST").returncode == 0
    until(lambda: "late" not in http.get("/health/").json(), "Ada is told less", patience=5)


def test_what_is_no_chain_is_said_in_a_sentence(
    command: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    empty_database: str,
    database: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLUB_HTTP_PORT", "0")
    nowhere = "postgresql://nobody:secret@127.0.0.1:1/chain"
    for url, said in (
        ("", "Nothing says where the chain's database is: set CLUB_CHAIN_DATABASE_URL."),
        (empty_database, "There is no chain in the database of CLUB_CHAIN_DATABASE_URL yet."),
        (database, "The database of CLUB_CHAIN_DATABASE_URL is that of a club"),
        (nowhere, "The database cannot be reached: "),
    ):
        monkeypatch.setenv("CLUB_CHAIN_DATABASE_URL", url)
        for asked in (("run", "--chain"), ("chain", "users", "list")):
            refused = command(*asked)
            assert (refused.exit_code, refused.stdout) == (1, ""), refused.stderr
            assert refused.stderr.startswith(said), refused.stderr
            assert "secret" not in refused.stderr
    assert list(tmp_path.iterdir()) == []
