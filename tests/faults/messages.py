"""What the providers say: messages of every kind, and what must come of them.

What must come of them is worked out here, from each payment's steps in their right order, with
nothing of the club's own code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

PROVIDER = "acme"
PAID_DAYS = timedelta(days=30)

HISTORIES: Sequence[tuple[int, tuple[str, ...]]] = (
    (40, ("PAID",)),
    (20, ("FAILED", "PAID")),
    (14, ("PAID", "REFUNDED")),
    (6, ("FAILED", "PAID", "REFUNDED")),
    (5, ("EXPIRED", "PAID")),
    (5, ("FAILED", "CANCELLED")),
    (5, ("CANCELLED",)),
    (5, ("FAILED",)),
)
"""The steps that a payment may take, and how many of a hundred take them."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published; `id` tells it from all others, duplicates aside."""

    id: str
    headers: dict[str, str]
    body: bytes

    def line(self) -> str:
        """The message as the publisher reads it."""
        body = base64.b64encode(self.body).decode()
        return json.dumps({"id": self.id, "headers": self.headers, "body": body})


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to one payment: its steps in their right order, and when each was taken."""

    payment_id: int
    client_id: int
    steps: tuple[tuple[str, datetime], ...]

    @property
    def paid_at(self) -> datetime | None:
        return next((at for status, at in self.steps if status == "PAID"), None)

    @property
    def refunded(self) -> bool:
        return self.steps[-1][0] == "REFUNDED"


@dataclass(slots=True)
class Load:
    """All messages in the order in which they are published, and what they must come to."""

    stories: list[Story]
    messages: list[Message] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    """The reason for which each bad message must be parked, by its id."""
    duplicates: int = 0
    out_of_order: int = 0

    def described(self) -> str:
        return (
            f"{len(self.messages):,} messages about {len(self.stories):,} payments:"
            f" {self.duplicates:,} duplicates, {self.out_of_order:,} out of order,"
            f" {len(self.bad):,} bad"
        )

    def statuses(self) -> dict[int, tuple[str, datetime]]:
        """How far each payment must be, and since when."""
        return {story.payment_id: story.steps[-1] for story in self.stories}

    def consequences(self) -> Counter[tuple[str, int]]:
        """What must follow from each payment, once."""
        followed: Counter[tuple[str, int]] = Counter()
        for story in self.stories:
            if story.paid_at is not None:
                followed["payment.settled", story.payment_id] += 1
                followed["client.admitted", story.payment_id] += 1
            if story.refunded:
                followed["payment.refunded", story.payment_id] += 1
                followed["client.admission-withdrawn", story.payment_id] += 1
        return followed

    def clients(self) -> dict[int, tuple[str, datetime | None]]:
        """Where each client must stand, and until when it was paid for."""
        bought: dict[int, list[tuple[datetime, int]]] = {s.client_id: [] for s in self.stories}
        came = {s.client_id for s in self.stories if s.paid_at is not None}
        for story in self.stories:
            if story.paid_at is not None and not story.refunded:
                bought[story.client_id].append((story.paid_at, story.payment_id))
        until = {client_id: _until(payments) for client_id, payments in bought.items()}
        return {
            client_id: ("EXPIRED" if end is None and client_id in came else "ACTIVE", end)
            for client_id, end in until.items()
        }


def _until(payments: Sequence[tuple[datetime, int]]) -> datetime | None:
    end: datetime | None = None
    for paid_at, _ in sorted(payments):
        end = (paid_at if end is None or paid_at > end else end) + PAID_DAYS
    return end


def histories(many: int, chance: random.Random) -> list[tuple[str, ...]]:
    """Histories that make about so many messages, a tenth of them duplicates."""
    weights, kinds = zip(*HISTORIES, strict=True)
    chosen: list[tuple[str, ...]] = []
    steps = 0
    while steps < many * 10 // 11:
        chosen += chance.choices(kinds, weights)
        steps += len(chosen[-1])
    return chosen


def load(
    stories: list[Story], called_off: int, secret: str, many: int, chance: random.Random
) -> Load:
    """The messages of these stories, shuffled as the world does, with bad ones between.

    `called_off` is a payment that was CANCELLED before, which nobody can settle.
    """
    made = Load(stories)
    placed: list[tuple[float, Message]] = []
    wanted = many // 10
    for story in stories:
        messages = [_news(story, step, secret) for step in range(len(story.steps))]
        places = sorted(chance.random() for _ in messages)
        if len(messages) > 1 and made.out_of_order < wanted:
            places.reverse()
            made.out_of_order += len(messages) - 1
        placed += zip(places, messages, strict=True)
    for place, message in chance.sample(placed, min(wanted, len(placed))):
        # Half come on the heels of the first, half at any time.
        again = place + 1e-9 if chance.random() < 0.5 else chance.random()
        placed.append((again, message))
        made.duplicates += 1
    for number in range(max(1, many // 1000)):
        for reason, message in _bad(number, called_off, secret):
            made.bad[message.id] = reason
            placed.append((chance.random(), message))
    made.messages = [message for _, message in sorted(placed, key=lambda pair: pair[0])]
    return made


def _news(story: Story, step: int, secret: str) -> Message:
    status, at = story.steps[step]
    return signed(f"payment-{story.payment_id}-{step}", story.payment_id, status, at, secret)


def signed(
    message_id: str,
    payment_id: int,
    status: str,
    at: datetime,
    secret: str,
    *,
    kind: str = "payment.reported",
    age: int = 0,
    change: Callable[[bytes], bytes] = bytes,
) -> Message:
    """A message with a signature that fits it; `change` spoils the body before it is signed."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": message_id,
        "source": f"/providers/{PROVIDER}",
        "type": kind,
        "time": at.isoformat(),
        "data": {"payment_id": payment_id, "payment_status": status},
    }
    body = change(json.dumps(event).encode())
    stamp = str(int(time.time()) - age)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)
    headers = {
        "provider": PROVIDER,
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    return Message(message_id, headers, body)


def _bad(number: int, called_off: int, secret: str) -> Iterator[tuple[str, Message]]:
    """One message of every kind that can never work, and the reason to be parked for."""
    now = datetime.now(UTC).replace(microsecond=0)

    def made(what: str, status: str = "PAID", **odd: Any) -> Message:
        given = {"payment_id": called_off, "at": now, "secret": secret, **odd}
        return signed(f"bad-{number}-{what}", status=status, **given)

    yield "unsigned", made("forged", secret="whsec_" + base64.b64encode(bytes(32)).decode())
    unsigned = made("unsigned")
    yield "unsigned", Message(unsigned.id, {}, unsigned.body)
    altered = made("altered")
    yield "unsigned", Message(altered.id, altered.headers, altered.body + b" ")
    yield "stale", made("stale", age=7 * 24 * 3600)
    yield "unknown-type", made("unknown-type", kind="payment.exploded")
    yield "broken-json", made("broken", change=lambda body: body[:-5])
    yield "invalid-message", made("wrong", status="GONE")
    yield "too-large", made("large", change=lambda body: body + b" " * 1_000_000)
    yield "not-yet", made("early", at=now + timedelta(days=1))
    yield "unknown-reference", made("unknown", payment_id=2_000_000_000)
    yield "impossible-step", made("impossible")
