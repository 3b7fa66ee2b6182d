"""Somebody who asks something of the club over REST, all the time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import psycopg

from tests.faults.stage import Stage
from tests.faults.verdict import Finding


class Visitor:
    """Somebody who adds one membership after another over REST, each until the answer is yes."""

    def __init__(self, stage: Stage) -> None:
        self._url = stage.service.url
        self._headers = stage.service.admin()
        self.answers: dict[str, int] = {}

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers) as http:
            for number in range(10_000):
                await self._insist(http, f"visitor-{number}")
                await asyncio.sleep(0.05)

    async def _insist(self, http: httpx.AsyncClient, key: str) -> None:
        body = {"price": "9.90", "description": key}
        while key not in self.answers:
            with suppress(httpx.TransportError):
                answer = await http.post(
                    "/memberships/", json=body, headers={"Idempotency-Key": key}
                )
                if answer.status_code == 201:
                    self.answers[key] = answer.json()["id"]
                    return
            await asyncio.sleep(0.1)

    def finding(self, postgres_url: str) -> Finding:
        """Every answer that it had is true, and nothing happened twice."""
        with psycopg.connect(postgres_url) as connection:
            rows = connection.execute(
                "SELECT description, id FROM memberships WHERE description LIKE 'visitor-%'"
                " ORDER BY id"
            ).fetchall()
        found: dict[str, list[int]] = {}
        for key, number in rows:
            found.setdefault(key, []).append(number)
        wrong = tuple(
            f"{key}: {found.get(key)} instead of {number}"
            for key, number in self.answers.items()
            if found.get(key) != [number]
        )
        return Finding("REST requests meanwhile, each done once", len(self.answers), wrong)
