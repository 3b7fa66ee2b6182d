"""The figures of a chain: what each club reports by itself, added up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, cast

import httpx
import pytest

from application.figures import By, Figures, Overview, Section, Span, Unit
from application.ports.figures import MONEY_COUNTS, MONEY_SUMS, Wanted
from application.reporting.money import TIMES
from application.reporting.shaping import cut
from domain.aggregate import Event, time_text
from domain.exercises import Exercise
from domain.trainings import Training
from infra.chain.figures import FiguresOfChain
from infra.chain.reading import Chain
from projections.catalogue import FIGURES
from projections.figures.reading import FigureTables
from tests.interfaces.rest.chain.scenes import Headers, Reading, join, say, take_in
from tests.projections.histories import DOING, rich
from tests.projections.test_figures import Now, nobody_says, reports, undone, written

ZONE = "Europe/Berlin"
NOW = datetime(2026, 4, 20, 12, tzinfo=UTC)
REPORTS = ("clients", "cohorts", "money", "trainings", "plans")
DAYS = "from_date=2026-01-01&to_date=2026-04-30&by=week"
WANTED = Wanted(date(2026, 1, 1), date(2026, 4, 30), By.WEEK)
CLUBS = {
    "North": rich(500, seed=1, step=timedelta(hours=5)).events,
    "South": rich(400, seed=2, step=timedelta(hours=6)).events,
    'Harbour; "East" <b>': rich(150, seed=3, step=timedelta(hours=15)).events,
}
ADDED, NAMING = {Unit.COUNT, Unit.MONEY}, {Unit.DAY, Unit.NAME, Unit.TEXT}


@pytest.fixture
async def chain(chain: Chain, url: str) -> Chain:
    """A chain of three clubs, at a moment of the spring."""
    for name, events in CLUBS.items():
        await take_in(url, await join(url, name, events), events)
    figures = FiguresOfChain(chain.postgres.rows, ZONE, Now(NOW), computed=True)
    return replace(chain, figures=figures)


async def own_overview(database: str, events: Sequence[Event], wanted: Wanted = WANTED) -> Overview:
    """What a club reports by itself, by the days of the chain."""
    async with undone(database) as connection:
        await written(connection, [events])
        return await reports(connection, ZONE, NOW).overview(wanted)


async def own(database: str, events: Sequence[Event]) -> list[Figures]:
    """Each report of a club."""
    return list((await own_overview(database, events)).reports)


MONEY = ("period", "access_level", *MONEY_SUMS, *MONEY_COUNTS)
COUNTED = ("client-moves", "client-standing", "money", "trainings")


async def counted(
    database: str, events: Sequence[Event], span: Span
) -> Sequence[list[dict[Any, Any]]]:
    """What a club has counted, of which shares and means are made: rows, by number and name."""

    async def rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await (await connection.execute(sql.encode(), params)).fetchall()

    async with undone(database) as connection:
        await written(connection, [events])
        tables = FigureTables(rows, nobody_says)
        found = await tables.look([(name, *cut(span)) for name in COUNTED])
    return [
        [
            dict(enumerate(row)) | (dict(zip(MONEY, row, strict=True)) if sums else {})
            for row in rows
        ]
        for sums, rows in zip((name == "money" for name in COUNTED), found["answers"], strict=True)
    ]


async def counted_by_all(database: str, span: Span) -> Sequence[list[dict[Any, Any]]]:
    """The same of all clubs, one after the other."""
    clubs = [await counted(database, events, span) for events in CLUBS.values()]
    return [[row for rows in of_clubs for row in rows] for of_clubs in zip(*clubs, strict=True)]


def total(rows: Sequence[Mapping[Any, Any]], column: Any, period: int | None = None) -> Decimal:
    """The sum of a column, of one period or all."""
    within = (row for row in rows if period is None or row[0] == period)
    return sum((Decimal(row[column]) for row in within), Decimal(0))


def timed_in(money: Sequence[Mapping[Any, Any]], period: int) -> Decimal:
    """How many payments were settled of which it is known how long it took."""
    return sum((total(money, name, period) for name, _ in TIMES), Decimal(0))


def of(part: Decimal, whole: Decimal, digits: str) -> Decimal | None:
    """So many for each of them, as it is shown."""
    return (part / whole).quantize(Decimal(digits), ROUND_HALF_UP) if whole else None


DAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
PLANNED: dict[str, Any] = {
    "client_id": 1,
    "training_type": "YOGA",
    "title": "A training",
    "intensity": None,
    "duration_min": 60,
    "date": "2026-03-02",
    "description": None,
}


def number(shown: str | None) -> Decimal | None:
    return None if shown is None else Decimal(shown)


def split(section: Section) -> tuple[list[str], list[str]]:
    """The columns that name a row, and those that can be added up: counts and money."""
    names = [c.name for c in section.columns if c.unit in NAMING or c.name == "months"]
    added = [c.name for c in section.columns if c.unit in ADDED and c.name not in names]
    return names, added


Sums = dict[tuple[Any, ...], dict[str, Decimal]]


def summed(section: Section, rows: Iterable[Mapping[str, Any]]) -> Sums:
    """Rows of the same names, added up by hand."""
    names, added = split(section)
    sums: Sums = {}
    for row in rows:
        of = sums.setdefault(tuple(row[name] for name in names), {})
        for name in added:
            if row[name] is not None:
                of[name] = of.get(name, Decimal(0)) + Decimal(row[name])
    return sums


async def ask(reading: Reading, path: str, headers: Headers) -> httpx.Response:
    """What is answered of these days."""
    return await reading.http.get(f"{path}{'&' if '?' in path else '?'}{DAYS}", headers=headers)


async def test_the_figures_of_a_chain_are_the_sums_of_what_each_club_reports(
    reading: Reading, analyst: Headers, database: str
) -> None:
    every = [await own(database, events) for events in CLUBS.values()]
    overview = await ask(reading, "/chain/reports/overview/", analyst)
    assert overview.status_code == 200, overview.text
    some = 0
    for number, report in enumerate(REPORTS):
        answer = await ask(reading, f"/chain/reports/{report}/", analyst)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        of_clubs = [one[number] for one in every]
        for sections in zip(*(one.sections for one in of_clubs), strict=True):
            section = sections[0]
            by_hand = summed(section, (row for one in sections for row in one.named()))
            assert summed(section, body[section.name]) == by_hand, (report, section.name)
            some += sum(any(sums.values()) for sums in by_hand.values())
        assert overview.json()[report] == body
    assert some > 60
    names = [
        row["title"]
        for one in every
        for s in one[3].sections
        for row in s.named()
        if s.name == "exercises"
    ]
    shown = (await ask(reading, "/chain/reports/trainings/", analyst)).json()
    assert len(shown["exercises"]) == len(set(names)) < len(names), "two clubs do the same"


async def test_shares_and_means_are_of_all_clubs_together_and_no_means_of_means(
    reading: Reading, analyst: Headers, database: str
) -> None:
    span = (await own(database, CLUBS["North"]))[0].span
    moves, standing, money, trained = await counted_by_all(database, span)
    shown = (await ask(reading, "/chain/reports/overview/", analyst)).json()
    members = total([row for row in standing if row[0] == "MEMBERS"], 1)
    some: Counter[str] = Counter()
    for period, row in enumerate(shown["clients"]["periods"]):
        begun = row["first"] <= NOW.date().isoformat()
        churn = of(total(moves, 5, period), members, "0.0001")
        seconds, timed = total(money, "seconds", period), timed_in(money, period)
        trainings, minutes = total(trained, 4, period), total(trained, 5, period)
        each = of(trainings, Decimal(row["active"] or 0), "0.01")
        took = of(seconds, timed * 3600, "0.01")
        of_money, of_trainings = (shown[name]["periods"][period] for name in ("money", "trainings"))
        assert number(row["churn"]) == (churn if begun else None)
        assert number(of_money["hours"]) == (took if begun else None)
        assert number(of_trainings["per_active_client"]) == (each if begun else None)
        assert number(of_trainings["hours"]) == of(minutes, Decimal(60), "0.01")
        members += total(moves, 4, period)
        some.update(churn=bool(churn), took=bool(took), hours=bool(minutes), each=bool(each))
    assert all(some.values()), some
    for row in shown["cohorts"]["retention"]:
        share = of(Decimal(row["active"]), Decimal(row["joined"]), "0.0001")
        assert number(row["share"]) == share


async def test_headlines_are_of_all_clubs_together(
    reading: Reading, analyst: Headers, database: str
) -> None:
    # From a day on which there are members.
    since = Wanted(date(2026, 2, 1), WANTED.last, By.WEEK)
    every = [await own_overview(database, events, since) for events in CLUBS.values()]
    moves, standing, *_ = await counted_by_all(database, every[0].reports[0].span)
    asked = "/chain/reports/overview/?from_date=2026-02-01&to_date=2026-04-30&by=week"
    shown = (await reading.http.get(asked, headers=analyst)).json()
    headlines = {one["name"]: one for one in shown["headlines"]}
    for ones in zip(*(club.headlines for club in every), strict=True):
        for moment in ("now", "before") if ones[0].unit in ADDED else ():
            values = [getattr(one, moment) for one in ones]
            told = headlines[ones[0].name][moment]
            assert number(told) == (None if None in values else sum(map(Decimal, values)))
    members = total([row for row in standing if row[0] == "MEMBERS"], 1)
    assert number(headlines["churn"]["now"]) == of(total(moves, 5), members, "0.0001")
    trainings, clients = (Decimal(headlines[name]["now"]) for name in ("trainings", "active"))
    assert number(headlines["per_active_client"]["now"]) == of(trainings, clients, "0.01")
    assert all(headlines[name]["now"] for name in ("churn", "per_active_client"))


async def test_of_exercises_that_are_used_as_often_both_a_club_and_its_chain_name_the_same(
    reading: Reading, analyst: Headers, database: str, url: str
) -> None:
    """Thirty are used once each, and twenty are named."""
    titles = [f"Exercise {number:02}" for number in reversed(range(30))]
    facts = {"description": None, "equipment_required": False, "complexity_lvl": "MASTER"}
    names = [{"title": title, "muscle_group": "CORE", **facts} for title in titles]
    training = Training.plan(1, PLANNED, DAY)
    for number in range(1, 31):
        training.add_exercise(number, {**DOING, "order_in_training": number}, DAY)
    aggregates = [*(Exercise.add(number, of, DAY) for number, of in enumerate(names, 1)), training]
    happened = [cast("Event", event) for one in aggregates for event in one.collect_events()]
    await take_in(url, await join(url, "West", happened), happened)
    (section,) = [
        section
        for report in await own(database, happened)
        for section in report.sections
        if section.name == "exercises"
    ]
    shown = (await ask(reading, "/chain/reports/trainings/?club=West", analyst)).json()
    assert shown["exercises"] == list(section.named())
    assert [row["title"] for row in shown["exercises"]] == sorted(titles)[:20]


async def test_a_report_of_some_clubs_is_of_these_and_says_up_to_where_each_is_in_it(
    reading: Reading, analyst: Headers, database: str
) -> None:
    (north, south, _) = [await own(database, events) for events in CLUBS.values()]
    asked = "/chain/reports/money/?club=North&club=South&club=North"
    body = (await ask(reading, asked, analyst)).json()
    for one, another in zip(north[2].sections, south[2].sections, strict=True):
        by_hand = summed(one, [*one.named(), *another.named()])
        assert summed(one, body[one.name]) == by_hand
    moments = [club["as_of"] for club in body["clubs"]]
    held = [
        {
            "club": name,
            "state": "running",
            "position": len(CLUBS[name]),
            "as_of": as_of,
            "lag": 0,
        }
        for name, as_of in zip(("North", "South"), moments, strict=True)
    ]
    assert body["clubs"] == held
    assert body["events"] == len(CLUBS["North"]) + len(CLUBS["South"])
    assert body["as_of"] == min(club["as_of"] for club in held)
    assert (body["timezone"], body["timezone_since"], "position" in body) == (ZONE, None, False)
    alone = await ask(reading, "/chain/reports/money/?club=North&section=periods", analyst)
    assert alone.json()["clubs"] == held[:1]
    assert summed(north[2].sections[0], alone.json()["periods"]) == summed(
        north[2].sections[0], north[2].sections[0].named()
    )
    table = await ask(reading, "/chain/reports/money/?format=csv&section=clubs", analyst)
    assert table.text.splitlines()[0] == "\ufeffclub,state,position,as_of,lag"
    assert table.text.splitlines()[1].startswith('"Harbour; ""East"" <b>",running,')


async def test_an_answer_is_of_one_moment_however_much_is_taken_in_meanwhile(
    reading: Reading, analyst: Headers, url: str
) -> None:
    events = CLUBS["North"][:120]
    club = await join(url, "West", events)

    async def taking_in() -> None:
        for head, event in enumerate(events):
            await take_in(url, club, [event], head)

    working = asyncio.create_task(taking_in())
    seen = set()
    while not working.done():
        answer = await ask(reading, "/chain/reports/clients/?club=West", analyst)
        body = answer.json()
        position = body["clubs"][0]["position"]
        registered = sum(event.TOPIC == "client.registered" for event in events[:position])
        assert sum(period["joined"] or 0 for period in body["periods"]) == registered
        seen.add(position)
    await working
    assert len(seen) > 10


@pytest.mark.parametrize("form", ["json", "csv", "svg"])
async def test_each_report_takes_the_forms_that_those_of_a_club_take(
    reading: Reading, analyst: Headers, form: str
) -> None:
    kinds = {"json": "application/json", "csv": "text/csv; charset=utf-8", "svg": "image/svg+xml"}
    for report in REPORTS:
        section = "&section=retention" if report == "cohorts" and form == "svg" else ""
        asked = f"/chain/reports/{report}/?format={form}{section}"
        first = await ask(reading, asked, analyst)
        assert first.status_code == 200, first.text
        assert first.headers["content-type"] == kinds[form]
        known = analyst | {"If-None-Match": first.headers["etag"]}
        again = await ask(reading, asked, known)
        assert (again.status_code, again.content) == (304, b"")
        head = await reading.http.head(f"{asked}&{DAYS}", headers=analyst)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == first.headers["etag"]


async def test_the_page_names_each_club_and_keeps_those_that_were_chosen(
    reading: Reading, analyst: Headers, url: str
) -> None:
    await say(
        url,
        "UPDATE chain_clubs SET head = head + 3, waiting_since = now() - interval '1 h',"
        " waiting_after = head"
        " WHERE name = 'North'",
    )
    await say(
        url,
        "UPDATE chain_positions SET reason = 'its ledger went another way', since = now()"
        " WHERE club = (SELECT number FROM chain_clubs WHERE name = 'South')",
    )
    await join(url, "West", CLUBS["North"])
    page = await ask(reading, "/chain/reports/overview/", analyst | {"Accept": "text/html"})
    assert page.status_code == 200, page.text
    assert "the chain’s time zone" in page.text
    assert "Of 4 clubs: see" in " ".join(page.text.split())
    shown = (await ask(reading, "/chain/reports/overview/", analyst)).json()
    assert shown["as_of"] is shown["money"]["as_of"] is None, "of West nothing is known"
    known = (await ask(reading, "/chain/reports/overview/?club=North", analyst)).json()
    assert known["as_of"] == time_text(CLUBS["North"][-1].timestamp), "what came since is missing"
    assert "North is behind: 3 events are not in these figures yet." in page.text
    assert "South stands still" in page.text
    assert "West is not in these figures yet." in page.text
    assert "Harbour; &#34;East&#34; &lt;b&gt;" in page.text
    assert "<b>" not in page.text
    assert 'type="hidden"' not in page.text
    some = await ask(reading, "/chain/reports/overview/?format=html&club=North", analyst)
    assert '<input type="hidden" name="club" value="North">' in some.text
    assert "Of 1 club, and all that each recorded up to " in " ".join(some.text.split())
    states = {
        club["club"]: (club["state"], club["lag"])
        for club in (await reading.http.get("/chain/reports/plans/", headers=analyst)).json()[
            "clubs"
        ]
    }
    assert states == {
        'Harbour; "East" <b>': ("running", 0),
        "North": ("behind", 3),
        "South": ("standing", 0),
        "West": ("absent", len(CLUBS["North"])),
    }


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("club=Nrth", "There is no club 'Nrth' in this chain."),
        ("club=North&club=", "at least 1 character"),
        ("club=north", "There is no club 'north' in this chain."),
        ("club=%00", "the form that is documented"),
        ("clubs=North", "There is no such one"),
        ("by=day&by=week", "This is to come once"),
        ("&".join(["club=North"] * 501), "at most 500"),
        ("from_date=2026-03-02&to_date=2026-03-01", "should not be before from_date"),
        ("section=club", "There is no section 'club'"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    reading: Reading, analyst: Headers, query: str, said: str
) -> None:
    refused = await reading.http.get(f"/chain/reports/clients/?{query}", headers=analyst)
    assert refused.status_code == 422
    assert said in refused.text
    assert refused.headers["content-type"] == "application/problem+json"


async def test_while_figures_are_built_anew_it_is_said_how_far_that_is(
    reading: Reading, analyst: Headers, url: str
) -> None:
    before = FIGURES.generation - 1
    await say(url, "INSERT INTO chain_groups VALUES ('figures', %s, 'before')", before)
    older = "INSERT INTO chain_positions (group_name, generation, club, position) "
    older += "SELECT 'figures', %s, number, head + 500 FROM chain_clubs WHERE name <> 'South'"
    await say(url, older, before)
    await say(
        url,
        "UPDATE chain_positions SET recorded_at = now() WHERE generation = %s AND club ="
        " (SELECT number FROM chain_clubs WHERE name LIKE 'Harbour%%')",
        FIGURES.generation,
    )
    waits = await reading.http.get("/chain/reports/clients/", headers=analyst)
    events = sum(map(len, CLUBS.values()))
    assert waits.status_code == 503
    assert waits.headers["retry-after"] == "1"
    assert waits.json()["type"] == "/problems/being-built"
    assert "2 of 3 clubs done" in waits.json()["detail"]
    assert f"{events} of {events + 1000} events" in waits.json()["detail"]
    # One that cannot go on is named, and nobody need wait for it.
    await say(
        url,
        "UPDATE chain_positions SET reason = 'its ledger was shortened' WHERE generation = %s"
        " AND club = (SELECT number FROM chain_clubs WHERE name = 'North')",
        FIGURES.generation,
    )
    held_up = await reading.http.get("/chain/reports/clients/", headers=analyst)
    assert (held_up.status_code, held_up.json()["type"]) == (503, "/problems/held-up")
    assert "no figures yet of North, which cannot go on" in held_up.json()["detail"]
    assert "?club=" in held_up.json()["detail"]
    # What is done is shown; its own figures are whole.
    done = await reading.http.get("/chain/reports/clients/?club=South", headers=analyst)
    assert done.status_code == 200


async def test_tables_of_another_release_are_named(
    reading: Reading, analyst: Headers, url: str
) -> None:
    schema = f"figures_{FIGURES.generation}"
    await say(url, f"ALTER SCHEMA {schema} RENAME TO figures_99")
    for there, then in ((99, "a newer release reads them"), (0, "of this release build them")):
        await say(url, "DELETE FROM chain_groups")
        await say(url, "INSERT INTO chain_groups VALUES ('figures', %s, 'another')", there)
        refused = await reading.http.get("/chain/reports/overview/", headers=analyst)
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/other-generation"
        assert f"of generation {there}" in refused.json()["detail"]
        assert then in refused.json()["detail"]
