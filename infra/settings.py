"""The settings, each from an environment variable `CLUB_…`."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from application.ports import Rules


class Settings(BaseSettings):
    """Everything that may be set; the README lists it."""

    model_config = SettingsConfigDict(env_prefix="CLUB_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(default=Path(".club"), description="data, keys and logs of this club")
    database_url: str | None = Field(
        default=None, description="a Postgres to use in place of the embedded one (15 or later)"
    )
    http_host: str = Field(default="127.0.0.1", description="the address to listen on")
    http_port: int = Field(default=8000, ge=0, le=65535, description="the port to listen on")
    public_url: str = Field(default="", description="the issuer of tokens, where not the default")
    timezone: str = Field(default="UTC", description='what "a day" is in reports')
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
    access_token_minutes: int = Field(
        default=15, ge=1, le=1440, description="minutes that an access token is good for"
    )
    housekeeping_seconds: float = Field(
        default=60, gt=0, description="seconds between looks at what is overdue"
    )
    log_level: str = Field(default="info", description="debug, info, warning or error")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as unknown:
            raise ValueError(f"there is no time zone {name!r}") from unknown
        return name

    @field_validator("database_url")
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

    @property
    def issuer(self) -> str:
        """Who issues the tokens of this club."""
        return self.public_url or "training-api-service"

    @property
    def rules(self) -> Rules:
        """What the club has set for itself."""
        return Rules(
            shared_memberships=self.shared_memberships,
            paid_days=self.paid_days,
            payment_patience_hours=self.payment_patience_hours,
            timezone=self.timezone,
        )


def private_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_bytes(content)
    draft.rename(path)
