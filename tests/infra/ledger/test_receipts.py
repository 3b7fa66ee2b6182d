"""Receipts: what is old goes, and harms nobody on its way."""

from __future__ import annotations

import pytest

from infra.bootstrap import Club
from tests.infra.ledger.scenes import look


async def test_old_receipts_go_some_at_a_time_and_others_stay(
    database: str, club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ledger.ledger.FORGOTTEN_TOGETHER", 10)
    look(
        database,
        "INSERT INTO ledger_receipts SELECT 'a', n::text, '', '{}', "
        "now() - make_interval(hours => CASE WHEN n <= 35 THEN 25 ELSE 23 END) "
        "FROM generate_series(1, 40) AS n",
    )
    steps: list[int] = []
    rows = club.postgres.rows

    async def counted(sql: str, params: list[int]) -> list[tuple[int]]:
        found = await rows(sql, params)
        steps.append(found[0][0])
        return found

    monkeypatch.setattr(club.postgres, "rows", counted)
    await club.ledger.forget_receipts(24)
    assert steps == [10, 10, 10, 5]
    assert look(database, "SELECT count(*) FROM ledger_receipts") == [(5,)]
