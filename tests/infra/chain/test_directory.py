"""Who is in a chain, as a worker looks it up, also where very many are."""

from __future__ import annotations

import asyncio

from projections.catalogue import FIGURES
from tests.infra.chain.scenes import Chain, ask

MANY = 50_000
VERY_MANY = f"""
INSERT INTO chain_clubs (name, ledger, url, secret)
SELECT 'club-' || n, 'ledger-' || n, '', '' FROM generate_series(1, {MANY}) AS n
"""


async def test_very_many_clubs_begin_together_without_a_look_for_each(chain: Chain) -> None:
    await ask(chain.url, VERY_MANY)
    await ask(chain.url, "ANALYZE")  # by which there are no positions
    async with chain.intake([FIGURES]) as intake, asyncio.timeout(20):
        await intake.take([])

    begun = "SELECT count(*), max(position) FROM chain_positions WHERE group_name = 'figures'"
    assert await ask(chain.url, begun) == [(MANY + len(chain.clubs), 0)]
