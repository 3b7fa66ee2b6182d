"""Sessions: what a sign-in hands out, until somebody or something ends it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.sessions import Ended, Ending, Opened, Refreshed, Session, TokenReused
from domain.sign_ins import Failed, Failure, SignIn
from tests.domain.scenario import START, after, given, news, text, told

HERE, THERE = "192.0.2.7", "198.51.100.9"
END = after(days=30)
OPENED = told(Opened, user_id=7, ends_at=text(END), origin=HERE, agent="curl/8.9")
SECOND = told(Refreshed, generation=2, origin=HERE)
NOW = after(days=1)


def test_a_session_hands_out_a_first_token_and_lasts_until_its_end() -> None:
    session = Session.open(3, user_id=7, ends_at=END, origin=HERE, agent="curl/8.9", at=START)
    assert news(session) == [OPENED]
    assert (session.user_id, session.generation, session.ends_at) == (7, 1, END)
    assert session.live(START)
    assert session.live(END - timedelta(microseconds=1))
    assert not session.live(END)


def test_the_newest_token_is_exchanged_for_the_next() -> None:
    session = given(Session, 3, OPENED)
    assert session.refresh(1, HERE, NOW)
    assert session.refresh(2, THERE, NOW)
    assert news(session) == [SECOND, told(Refreshed, generation=3, origin=THERE)]
    assert session.generation == 3
    assert session.live(NOW)


def test_exchanging_a_token_does_not_make_the_session_longer() -> None:
    session = given(Session, 3, OPENED)
    session.refresh(1, HERE, NOW)
    assert session.ends_at == END


@pytest.mark.parametrize("generation", [1, 2, 99])
def test_any_token_but_the_newest_ends_the_session_and_is_told(generation: int) -> None:
    session = given(Session, 3, OPENED, SECOND, told(Refreshed, generation=3, origin=HERE))
    assert not session.refresh(generation, THERE, NOW)
    assert news(session) == [
        told(TokenReused, generation=generation, origin=THERE),
        told(Ended, why="token-reused", origin=THERE),
    ]
    assert not session.live(NOW)
    assert session.generation == 3


@pytest.mark.parametrize("why", Ending)
def test_a_session_ends_for_a_reason_and_stays_over(why: Ending) -> None:
    session = given(Session, 3, OPENED)
    session.end(why, THERE, NOW)
    assert news(session) == [told(Ended, why=why.value, origin=THERE)]
    assert not session.live(NOW)
    session.end(Ending.LOGGED_OUT, HERE, NOW)
    assert len(news(session)) == 1


def test_a_session_whose_time_is_over_is_not_ended_once_more() -> None:
    session = given(Session, 3, OPENED)
    session.end(Ending.LOGGED_OUT, HERE, END)
    assert news(session) == []


@pytest.mark.parametrize("why", Failure)
@pytest.mark.parametrize("user_id", [7, None])
def test_an_attempt_that_failed_is_a_record_of_its_own(why: Failure, user_id: int | None) -> None:
    failed = SignIn.fail(9, user_id=user_id, why=why, origin=HERE, agent="curl/8.9", at=START)
    facts = {"user_id": user_id, "why": why.value, "origin": HERE, "agent": "curl/8.9"}
    assert news(failed) == [told(Failed, **facts)]
