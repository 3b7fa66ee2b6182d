"""The figures of a club that goes on: what an answer has told of is in them for whoever asks."""

from __future__ import annotations

import asyncio

from domain.values import Role
from infra.ledger.schema import HEAD
from tests.conftest import Rest

OFFER = {"access_level": "VIP", "price": "19.90"}


async def test_figures_are_refreshed_for_whoever_demands_a_later_position(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for path in ("/reports/money/", "/reports/overview/"):
        added = await rest.http.post("/memberships/", json=OFFER, headers=admin)
        position = added.headers["Ledger-Position"]
        demands = admin | {"Ledger-Position": position}
        several = [rest.http.get(path, headers=demands) for _ in range(4)]
        for shown in await asyncio.gather(*several):
            assert shown.status_code == 200
            assert shown.json()["position"] >= int(position)


async def test_what_is_demanded_beyond_the_ledger_is_not_there(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    ((head,),) = await rest.club.postgres.rows(HEAD)
    shown = await rest.http.get(
        "/reports/money/", headers=admin | {"Ledger-Position": str(head + 1)}
    )
    assert shown.status_code == 503
    assert shown.headers["retry-after"] == "1"


async def test_an_empty_accept_is_as_none(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for path in ("/reports/money/", "/reports/overview/"):
        for accept in ("", " "):
            shown = await rest.http.get(path, headers=admin | {"Accept": accept})
            assert shown.headers["content-type"] == "application/json"


async def test_nobody_on_the_way_keeps_the_overview_in_any_form(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for form in ("json", "html"):
        shown = await rest.http.get(f"/reports/overview/?format={form}", headers=admin)
        assert shown.headers["cache-control"] == "private, no-store"
