"""The command line, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.settings import Settings

CLUB = (str(Path(sys.executable).with_name("python")), "-m", "interfaces.cli.main")


@dataclass(frozen=True)
class CommandLine:
    """`club`, on the test's own database."""

    settings: Settings

    def run(
        self, *arguments: str, said: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with `said` on its standard input."""
        return subprocess.run(
            [*CLUB, *arguments],
            input=said,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                "CLUB_DATABASE_URL": str(self.settings.database_url),
                "CLUB_HOME": str(self.settings.home),
                "CLUB_LOG_LEVEL": "warning",
                **environment,
            },
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database shows."""
        with psycopg.connect(str(self.settings.database_url)) as connection:
            return connection.execute(sql.encode()).fetchall()


@pytest.fixture
def command_line(settings: Settings) -> CommandLine:
    """`club`, on the test's own database."""
    return CommandLine(settings)
