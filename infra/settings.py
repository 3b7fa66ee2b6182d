"""The settings, each from an environment variable `CLUB_…`."""

from __future__ import annotations

import logging
import re
from ipaddress import ip_network
from pathlib import Path

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from application.ports.services import Bounds, Rules
from domain.days import NoTimeOfDay, is_zone, time_of_day

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
_USUAL_PORT = re.compile(r"(?<=^http)(://[^:]*):80$|(?<=^https)(://[^:]*):443$")
_KAFKA = re.compile(r"kafkas?://([^\s@/,]+:[^\s@/,]+@)?[^\s@/,:]+:\d+(,[^\s@/,:]+:\d+)*")
_ROUTE = re.compile(r"[^/\x00-\x1f]{0,120}/[^\x00-\x1f]{1,120}")
_BASE = re.compile(_ORIGIN.pattern + r"(/[A-Za-z0-9._~\-]+)*/?")


class Settings(BaseSettings):
    """Everything that may be set; `docs/settings.md` lists it."""

    model_config = SettingsConfigDict(env_prefix="CLUB_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(default=Path(".club"), description="data, keys and logs of this club")
    database_url: str | None = Field(
        default=None, description="a Postgres to use in place of the embedded one (15 or later)"
    )
    redis_url: str | None = Field(
        default=None, description="a Redis (6.2 or later) for what is short-lived"
    )
    amqp_url: str | None = Field(
        default=None, description="a RabbitMQ (3.10 or later) for commands, payments and events"
    )
    kafka_url: str | None = Field(
        default=None, description="a Kafka (3.5 or later) for a chain: `kafka://host:9092,…`"
    )
    kafka_idempotence: bool = Field(
        default=True, description="Kafka itself keeps out what is sent twice, where it can"
    )
    kafka_mechanism: str = Field(
        default="SCRAM-SHA-512", description="how a password is said to Kafka; `PLAIN` wants TLS"
    )
    kafka_partitions: int = Field(
        default=32, ge=1, le=10_000, description="partitions of the topic, where it has to be made"
    )
    chain_database_url: str | None = Field(
        default=None, description="the Postgres of a chain of clubs"
    )
    chain_groups: str = Field(
        default="figures", description="what a chain computes: `figures`, `documented`, or both"
    )
    telegram_token: SecretStr | None = Field(
        default=None, description="the token of the Telegram bot that sends codes"
    )
    telegram_api_url: str = Field(
        default="https://api.telegram.org", description="the Bot API server to use"
    )
    telegram_webhook_url: str | None = Field(
        default=None, description="where Telegram reaches the bot, in place of polling"
    )
    telegram_webhook_host: str = Field(
        default="127.0.0.1", description="the address on which the bot takes the webhook"
    )
    telegram_webhook_port: int = Field(
        default=8081, ge=0, le=65535, description="the port on which the bot takes the webhook"
    )
    console_codes: bool | None = Field(
        default=None,
        description="codes on the console where there is no bot; "
        "by default only with the embedded Postgres",
    )
    http_host: str = Field(default="127.0.0.1", description="the address to listen on")
    http_port: int = Field(default=8000, ge=0, le=65535, description="the port to listen on")
    trusted_proxies: str = Field(
        default="", description="proxies whose `X-Forwarded-For` is believed: addresses, networks"
    )
    public_url: str = Field(
        default="",
        description="where the API is reached from outside, a path that a proxy strips included; "
        "also the issuer of tokens",
    )
    cors_origins: str = Field(
        default="", description="sites whose pages may ask (CORS): `https://club.example`, … or `*`"
    )
    timezone: str = Field(default="UTC", description='what "a day" is in reports')
    daily_report_at: str = Field(default="08:00", description="when the daily report is made")
    shared_memberships: bool = Field(
        default=False, description="several clients may hold one membership"
    )
    paid_days: int = Field(default=30, ge=1, le=3660, description="days that a payment buys")
    payment_patience_hours: int = Field(
        default=24, ge=1, le=8784, description="hours until a PENDING payment expires"
    )
    receipt_hours: int = Field(
        default=168, ge=24, description="hours for which idempotency keys are remembered"
    )
    message_hours: int = Field(
        default=24, ge=1, description="hours for which a provider's signature is good"
    )
    access_token_minutes: int = Field(
        default=15, ge=1, le=1440, description="minutes that an access token is good for"
    )
    session_days: int = Field(
        default=30, ge=1, le=365, description="days after which one has to sign in again"
    )
    attempts_per_account: int = Field(
        default=10, ge=1, description="attempts to sign in as one user, within the window"
    )
    attempts_per_address: int = Field(
        default=60, ge=1, description="attempts to sign in from one address, within the window"
    )
    registrations_per_address: int = Field(
        default=60, ge=1, description="attempts to register from one address, within the window"
    )
    attempts_window_seconds: int = Field(default=300, ge=1, le=86_400, description="the window")
    housekeeping_seconds: float = Field(
        default=60, gt=0, description="seconds between looks at what is overdue"
    )
    reports_seconds: float = Field(
        default=15, gt=0, le=300, description="seconds between refreshes of the figures in reports"
    )
    seal_seconds: float = Field(
        default=60, gt=0, description="seconds between two seals of the ledger, at least"
    )
    seals_dir: Path | None = Field(
        default=None, description="a folder outside of the database where each seal is kept, too"
    )
    seals_route: str | None = Field(
        default=None,
        description="where in RabbitMQ each seal goes, too: `exchange/routing key`, or `/queue`",
    )
    deciding_connections: int = Field(
        default=4, ge=1, le=100, description="connections to Postgres for what decisions rest on"
    )
    showing_connections: int = Field(
        default=4, ge=1, le=100, description="connections to Postgres for single rows"
    )
    listing_connections: int = Field(
        default=4, ge=1, le=100, description="connections to Postgres for lists and counts"
    )
    showing_seconds: float = Field(
        default=10, ge=0.1, le=60, description="seconds after which a list or row is given up"
    )
    log_level: str = Field(default="info", description="debug, info, warning or error")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if not is_zone(name):
            raise ValueError(f"there is no time zone {name!r}")
        return name

    @field_validator("daily_report_at")
    @classmethod
    def _a_time_of_day(cls, text: str) -> str:
        try:
            time_of_day(text)
        except NoTimeOfDay as why:
            raise ValueError(why.detail) from None
        return text

    @field_validator("public_url")
    @classmethod
    def _a_base(cls, url: str) -> str:
        if url and not _BASE.fullmatch(url):
            raise ValueError(
                "this is not a URL that paths can be put behind: https://club.example/api"
            )
        return url

    @field_validator("cors_origins")
    @classmethod
    def _known_origins(cls, origins: str) -> str:
        # As browsers write them: in small letters, and without the port of the scheme.
        known = [
            _USUAL_PORT.sub(r"\1\2", o.lower()) for o in origins.replace(" ", "").split(",") if o
        ]
        for origin in known:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin} is not an origin: https://club.example")
        return ",".join(known)

    @field_validator("kafka_url")
    @classmethod
    def _a_kafka(cls, url: str | None) -> str | None:
        if url is not None and not _KAFKA.fullmatch(url):
            # What is wrong with it may quote the password.
            raise ValueError(
                "this is not where a Kafka is: kafka://host:port,host:port; kafkas:// with TLS, "
                "and user:password@ before the first host"
            )
        return url

    @field_validator("kafka_mechanism")
    @classmethod
    def _a_mechanism(cls, name: str) -> str:
        if name not in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}:
            raise ValueError("this is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
        return name

    @field_validator("chain_groups")
    @classmethod
    def _known_groups(cls, names: str) -> str:
        known = {"figures", "documented"}
        wanted = [name for name in names.replace(" ", "").split(",") if name]
        if not wanted or not set(wanted) <= known or len(set(wanted)) < len(wanted):
            raise ValueError("this is figures, documented, or both with a comma between them")
        return ",".join(wanted)

    @field_validator("database_url", "chain_database_url")
    @classmethod
    def _readable_url(cls, url: str | None) -> str | None:
        try:
            conninfo_to_dict(url or "")
        except ProgrammingError:
            # What is wrong with it may quote the password.
            raise ValueError("this is not the URL of a Postgres") from None
        return url

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, name: str) -> str:
        if name.upper() not in logging.getLevelNamesMapping():
            raise ValueError(f"there is no log level {name!r}")
        return name

    @field_validator("redis_url")
    @classmethod
    def _a_redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("this is not the URL of a Redis: redis://…, rediss://… or unix://…")
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def _known_proxies(cls, proxies: str) -> str:
        for proxy in filter(None, proxies.replace(" ", "").split(",")):
            ip_network(proxy)  # its complaint is a ValueError, and says what is wrong
        return proxies

    @field_validator("amqp_url")
    @classmethod
    def _a_rabbitmq(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("amqp://", "amqps://")):
            raise ValueError("this is not the URL of a RabbitMQ: amqp://… or amqps://…")
        return url

    @field_validator("seals_route")
    @classmethod
    def _a_route(cls, route: str | None) -> str | None:
        if route is not None and not _ROUTE.fullmatch(route):
            raise ValueError("this is no route: exchange/routing key, or /queue")
        return route

    @field_validator("telegram_api_url", "telegram_webhook_url")
    @classmethod
    def _an_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("this is not a URL: https://…")
        return url

    @property
    def shows_codes_on_console(self) -> bool:
        """Whether codes are shown on the console, for want of a bot."""
        if self.telegram_token is not None:
            return False
        return self.database_url is None if self.console_codes is None else self.console_codes

    @property
    def address(self) -> str:
        """Where the club is reached, as far as it knows."""
        return (self.public_url or f"http://{self.http_host}:{self.http_port}").rstrip("/")

    @property
    def issuer(self) -> str:
        """Who issues the tokens of this club."""
        return self.public_url or "training-api-service"

    @property
    def first_rules(self) -> Rules:
        """The rules of a club that has set none for itself yet."""
        return Rules(
            shared_memberships=self.shared_memberships,
            paid_days=self.paid_days,
            payment_patience_hours=self.payment_patience_hours,
            timezone=self.timezone,
            daily_report_at=self.daily_report_at,
        )

    @property
    def bounds(self) -> Bounds:
        """How long and how often somebody may sign in, and be signed in."""
        return Bounds(
            session_days=self.session_days,
            access_token_minutes=self.access_token_minutes,
            attempts_per_account=self.attempts_per_account,
            attempts_per_address=self.attempts_per_address,
            registrations_per_address=self.registrations_per_address,
            attempts_window_seconds=self.attempts_window_seconds,
        )
