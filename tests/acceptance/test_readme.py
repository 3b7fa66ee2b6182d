"""The README keeps its word: its session runs as printed, and the tables in docs say what is."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi.routing import APIRoute
from typer.core import TyperGroup

from application.access import Level, level_of
from infra import health, parts
from infra.following import read_side
from infra.settings import Settings
from interfaces.amqp import intake
from interfaces.cli.main import app
from interfaces.rest import bodies, connections, places
from interfaces.rest.chain import main as chain
from interfaces.rest.door import door_of
from interfaces.rest.main import GROUPS
from tests.acceptance.service import CHECKOUT, PATIENCE, Service, until
from tests.conftest import Rest

README = (CHECKOUT / "README.md").read_text()
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CHANGELOG.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
BIN = Path(sys.executable).parent
FOLDERS = "domain|application|projections|interfaces|infra|tests|docs"
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")


def section(title: str) -> str:
    _, _, after = README.partition(f"\n## {title}\n")
    assert after, f"the README has no section {title!r}"
    return after.split("\n## ")[0]


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks: the language and the content of each."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# --- the session ---------------------------------------------------------------------------


# In place of the person who looks at the console of `make run`.
LOOK = """
until CODE=$(grep --only-matching 'The code of ada: [0-9]*' '{said}'); do sleep 0.05; done
CODE=${{CODE##* }}
"""
ASK = "read -r CODE\n"
LATE = "23:59"
"""When the club's report is made, in place of eight: two events more, from then on."""


def session() -> list[tuple[str, str]]:
    """What is typed, and what is answered, step by step."""
    titles = ("Quick start", "Signing in", "A day in the club")
    shown = [block for title in titles for block in blocks(section(title))]
    assert [language for language, _ in shown] == ["sh", "text"] * (len(shown) // 2)
    texts = [text.replace(".venv/bin/", f"{BIN}/") for _, text in shown]
    return list(zip(texts[::2], texts[1::2], strict=True))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's session asks with curl")
def test_the_sessions_run_as_they_are_printed(services: Callable[..., Service]) -> None:
    steps, answers = zip(*session(), strict=True)
    service = services(CLUB_DAILY_REPORT_AT=LATE)
    service.start()
    end_of_step = "=== end of a step ==="
    # Any status but 2xx ends curl with a status of its own, and so ends the shell.
    script = "".join(f"{step}echo '{end_of_step}'\n" for step in steps)
    assert ASK in script
    script = script.replace(ASK, LOOK.format(said=service.said))
    pasted = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=CHECKOUT,
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
    )
    assert pasted.returncode == 0, f"{pasted.stdout}\n{pasted.stderr}"
    said = pasted.stdout.replace("\r", "").split(f"{end_of_step}\n")[:-1]
    assert [timeless(answer) for answer in said] == [timeless(answer) for answer in answers]


SHELLS = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i")}
"""Shells at a terminal, as they are before anybody has set them up."""


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's session asks with curl")
@pytest.mark.parametrize("shell", SHELLS)
def test_the_sessions_can_be_pasted_into_a_shell_that_takes_them_for_typing(
    services: Callable[..., Service], shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    service = services(CLUB_DAILY_REPORT_AT=LATE)
    service.start()
    with Terminal(SHELLS[shell], service.environment) as terminal:
        terminal.type("PS1= PS2= PROMPT= RPROMPT=\n")
        for number, (step, answer) in enumerate(session()):
            # All of it at once: whoever reads what is typed gets the lines that follow.
            terminal.type(step)
            said = ""
            if step.endswith(ASK):
                said = terminal.shows(r"\nThe code:\s")
                terminal.type(f"{code_of('ada', service)}\n")
            terminal.type(f"echo 'end of' {number}\n")
            said += terminal.shows(rf"\nend of {number}\s")
            lines = iter(timeless(said).splitlines())
            # Among them is what was typed; `in` goes on where it stopped.
            assert [line for line in timeless(answer).splitlines() if line not in lines] == [], said


def code_of(username: str, service: Service) -> str:
    """The code on the console of the service."""
    found = re.compile(rf"The code of {username}: ([0-9]+)")
    until(lambda: found.search(service.said.read_text()) is not None, "there is a code")
    codes: list[str] = found.findall(service.said.read_text())
    return codes[-1]


class Terminal:
    """A program at a terminal that is wide enough for every line."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # One that knows no bracketed paste.
        dumb = {**environment, "TERM": "dumb", "HISTFILE": "/dev/null"}
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 2000, 0, 0))
        self._program = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=dumb,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._said = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)  # which hangs up
        self._program.wait(PATIENCE)

    def type(self, text: str) -> None:
        """Type it, without waiting for anything."""
        os.write(self._ours, text.encode())

    def shows(self, pattern: str) -> str:
        """What is shown until there is something like this; next time, what follows it."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self._said)) is None:
            left = deadline - time.monotonic()
            assert select.select([self._ours], [], [], max(left, 0))[0], self._said
            self._said += os.read(self._ours, 65536).decode().replace("\r", "")
        shown, self._said = self._said[: found.end()], self._said[found.end() :]
        return shown


def timeless(text: str) -> str:
    return MOMENT.sub("(a moment)", text)


# --- the tables ----------------------------------------------------------------------------


def test_the_table_of_settings_is_complete() -> None:
    expected = "\n".join(settings_table())
    page = (CHECKOUT / "docs/settings.md").read_text()
    assert expected in page, f"docs/settings.md should have:\n{expected}"


def settings_table() -> Iterator[str]:
    yield "| variable | default | what it sets |"
    yield "| --- | --- | --- |"
    for name, found in Settings.model_fields.items():
        default = "" if found.default in {None, ""} else f"`{_written(found.default)}`"
        yield f"| `CLUB_{name.upper()}` | {default} | {found.description} |"


def _written(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_the_table_of_routes_is_complete_and_says_who_may() -> None:
    expected = "\n".join(routes_table())
    page = (CHECKOUT / "docs/routes.md").read_text()
    assert expected in page, f"docs/routes.md should have:\n{expected}"


def test_the_table_of_a_chain_s_routes_is_complete_and_says_who_may() -> None:
    expected = "\n".join(routes_table(chain.GROUPS))
    _, _, page = (CHECKOUT / "docs/routes.md").read_text().partition("\n## A chain\n")
    assert expected in page, f"docs/routes.md should have:\n{expected}"


def routes_table(groups: Sequence[Any] = GROUPS) -> Iterator[str]:
    yield "| route | methods | access level | who |"
    yield "| --- | --- | --- | --- |"
    rows: dict[tuple[str, str, str], list[str]] = {}
    for group in groups:
        for route in group.routes.routes:
            assert isinstance(route, APIRoute)
            if not route.path.startswith("/trainings/exercise-ids/"):  # a silent twin
                key = (route.path, *_access(route))
                rows.setdefault(key, []).extend(route.methods or ())
    for (path, level, who), methods in rows.items():
        yield f"| `{path}` | {', '.join(methods)} | {level} | {who} |"


def _access(route: APIRoute) -> Level:
    """The documented access level, and who that is."""
    door = door_of(route.dependant)
    return level_of(None if door is None else door.permission)


# --- the command line ----------------------------------------------------------------------


def commands(group: TyperGroup, *above: str) -> Iterator[str]:
    """All commands and groups of them, by all of their words."""
    for name, command in group.commands.items():
        yield " ".join((*above, name))
        if isinstance(command, TyperGroup):
            yield from commands(command, *above, name)


MAIN = typer.main.get_command(app)
assert isinstance(MAIN, TyperGroup)
COMMANDS = set(commands(MAIN))
GROUPED = {name.split()[0] for name in COMMANDS if " " in name}
SOURCES = [
    path
    for folder in ("domain", "application", "projections", "interfaces", "infra")
    for path in sorted((CHECKOUT / folder).rglob("*.py"))
]


def test_every_command_that_anybody_is_told_of_is_there() -> None:
    told = re.compile(r"(?:`|/bin/|exec club )club ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
    named = {
        f"{path.name}: club {first} {second}"
        for path in (*PAGES, *SOURCES)
        for first, second in told.findall(path.read_text())
        # After a command that is no group, any word may follow.
        if (f"{first} {second}".strip() if first in GROUPED else first) not in COMMANDS
    }
    assert named == set()


def test_the_readme_has_every_command() -> None:
    rows = [line for line in section("The command line").splitlines() if line.startswith("| `")]
    for name in COMMANDS:
        *above, last = name.split()
        beside = [row for row in rows if above and f"`club {above[0]} " in row]
        # A row may name the others of its group after the first.
        assert f"`club {name}" in "".join(rows) or f"`{last}" in "".join(beside), name


# --- what an operator looks at -------------------------------------------------------------

OPERATIONS = (CHECKOUT / "docs/operations.md").read_text()


async def test_the_metrics_of_the_page_are_those_that_there_are(rest: Rest) -> None:
    assert (await rest.http.get("/health/")).status_code == 200
    shown = (await rest.http.get("/metrics")).text
    there = set(re.findall(r"^# TYPE (club_\w+(?<!_created)) ", shown, re.MULTILINE))
    assert there == set(re.findall(r"`(club_\w+)`", OPERATIONS))


def test_the_logs_of_the_page_are_those_that_there_are() -> None:
    _, _, table = OPERATIONS.partition("\n## Logs\n")
    named = re.findall(r"`([a-z]+(?:\.[a-z-]+)*)`(?=[,| ])", table.split("\n## ")[0])
    named = [name for name in named if "." in name or name == "fault"]
    assert len(named) > 5
    code = "".join(path.read_text() for path in SOURCES)
    assert [name for name in named if f'"{name}"' not in code] == []


KILO = 1000
LIMITS = {
    "docs/security.md": (
        f"| {places.MOST_UNDER_WAY:,} a process, {places.MOST_OF_ONE} of them for one user",
        f"| {places.MOST_OF_ONE} a caller, two seconds each |",
        f"| {bodies.LARGEST_BODY // KILO**2} MB, {bodies.BODY_SECONDS:.0f} s and a second more for "
        f"each {bodies.SLOWEST // KILO} kB that came",
        f"| {bodies.MOST_HELD // KILO**2} MB beyond the first {bodies.SMALL_BODY // 1024} kB of "
        "each",
        f"| {connections.LARGEST_HEAD // 1024} kB, {connections.PATIENCE:.0f} s: 431, 408 |",
        f"| {connections.READING_PATIENCE:.0f} s, and a second more for each 4 kB taken |",
        f"| {connections.MOST_CONNECTIONS:,}, or what the system grants",
        f"| {intake.LARGEST_BODY // KILO**2} MB; {intake.PREFETCH} in hand |",
    ),
    "docs/operations.md": (
        f"more than {health.LATE:.0f} are `behind`",
        f"has not been heard of for {parts.SILENT:.0f} seconds",
    ),
    "docs/routes.md": (
        f"at most {bodies.LARGEST_BODY:,} bytes (413), and is there within "
        f"{bodies.BODY_SECONDS:.0f} s, with a second more for each {bodies.SLOWEST:,} bytes (408",
        f"at most {places.MOST_OF_ONE} requests under way in a process",
    ),
}
"""What pages say of limits, with the numbers of the code."""


@pytest.mark.parametrize("page", LIMITS)
def test_the_limits_that_a_page_names_are_those_of_the_code(page: str) -> None:
    assert read_side.LONGEST_WAIT == 2, "two seconds, say the pages"
    text = " ".join((CHECKOUT / page).read_text().split())
    assert [limit for limit in LIMITS[page] if limit not in text] == []


def test_every_word_of_the_glossary_is_told_once() -> None:
    words = re.findall(r"^\| ([^|]+) \|", section("Glossary"), re.MULTILINE)
    assert len(words) > 30
    assert sorted(set(words)) == sorted(words)


# --- what it points at ---------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_points_at_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)(?:`|:)", page.read_text())
    assert [name for name in named if not (CHECKOUT / name).exists()] == []


def test_every_decision_is_listed() -> None:
    decisions = sorted(path.name for path in (CHECKOUT / "docs/decisions").glob("*.md"))
    listed = set(re.findall(r"docs/decisions/([0-9]{4}-[a-z0-9-]+\.md)", README))
    assert decisions == sorted(listed)
