"""`club status`: how every part of the service is doing, in whatever process."""

from __future__ import annotations

from typing import Any

import typer

from infra.bootstrap import Club
from infra.health import Health
from interfaces.cli.opening import settings_beside, with_club


def status() -> None:
    """Say how every part of the service is doing; ends with 1 where one of them does not run."""

    async def looked(club: Club) -> Health:
        return await club.health()

    report = with_club(looked, settings_beside(), projecting=False).report
    print(f"{report['status']}, the ledger is at position {report['ledger']['head']}")
    for name, shown in {**report["components"], **report["projectors"]}.items():
        print(f"  {name:<15}{_told(shown)}")
    if report["status"] != "running":
        raise typer.Exit(1)


def _told(shown: dict[str, Any]) -> str:
    said = [shown["status"]]
    if "since" in shown:
        said.append(f"since {shown['since']}")
    if shown.get("position") is not None:
        said.append(f"at position {shown['position']}")
    if shown.get("lag"):
        said.append(f"{shown['lag']} behind")
    if shown.get("age"):
        said.append(f"for {shown['age']:.0f} s")
    if shown.get("parked"):
        said.append(f"{shown['parked']} messages to look at (`club queue parked`)")
    sentence = ", ".join(said)
    return f"{sentence}: {shown['detail']}" if "detail" in shown else sentence
