"""What Prometheus may ask of a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from projections.engine.schema import DOCUMENTED

Shown = Mapping[str, Any]

WORKING = ("running", "behind", "degraded")
"""What a part is said to be that does its work, if late or with fewer processes than before."""


class Requests:
    """Measures of requests, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "club_requests_total",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "club_request_seconds",
            "Seconds until a request was answered",
            ["method", "route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )


class Metrics(Requests):
    """The club's measures, each under its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.append_batch = Histogram(
            "club_append_batch_commands",
            "Commands committed together",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self.registry,
        )
        self.part_works = Gauge(
            "club_part_works",
            "Whether this part of the service works, in whatever process: 1 or 0",
            ["part"],
            registry=self.registry,
        )
        self.oldest_unhandled = Gauge(
            "club_oldest_unhandled_seconds",
            "Age of the oldest event that this follower has not handled yet",
            ["follower"],
            registry=self.registry,
        )
        self.events_behind = Gauge(
            "club_events_behind",
            "Events that this follower has not handled yet",
            ["follower"],
            registry=self.registry,
        )
        self.messages_waiting = Gauge(
            "club_messages_waiting", "Messages that nobody has in hand", registry=self.registry
        )
        self.messages_parked = Gauge(
            "club_messages_parked", "Messages that a person should look at", registry=self.registry
        )
        self.ledger_head = Gauge(
            "club_ledger_head", "The last position of the ledger", registry=self.registry
        )
        self.projection_lag = Gauge(
            "club_projection_lag_events",
            "Events that the documented tables do not show yet",
            registry=self.registry,
        )

    def tell(
        self, head: int, components: Mapping[str, Shown], projectors: Mapping[str, Shown]
    ) -> None:
        """What a look at the club's health has found."""
        self.ledger_head.set(head)
        self.projection_lag.set(projectors[DOCUMENTED]["lag"])
        self.part_works.clear()
        for name, shown in components.items():
            self.part_works.labels(name).set(shown["status"] in WORKING)
        relay = {
            name: shown for name, shown in components.items() if "lag" in shown and "age" in shown
        }
        for name, shown in {**projectors, **relay}.items():
            self.events_behind.labels(name).set(shown["lag"])
            self.oldest_unhandled.labels(name).set(shown["age"])
        self.messages_waiting.set(components.get("consumers", {}).get("lag", 0))
        self.messages_parked.set(components.get("rabbitmq", {}).get("parked", 0))
