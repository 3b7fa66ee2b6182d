"""What Prometheus may ask of a process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The club's measures, each under its own name, in a registry of their own."""

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
        self.append_batch = Histogram(
            "club_append_batch_commands",
            "Commands committed together",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self.registry,
        )
        self.ledger_head = Gauge(
            "club_ledger_head", "The last position of the ledger", registry=self.registry
        )
        self.projection_lag = Gauge(
            "club_projection_lag_events",
            "Events that the read tables do not show yet",
            registry=self.registry,
        )
