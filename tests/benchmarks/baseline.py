"""The plain service that ours is measured against: FastAPI, SQLAlchemy 2 async, asyncpg.

One process, as a good engineer would write it in a day for the same three routes: the
documented tables with their constraints, the documented validation, an RS256 check at each
request with the key parsed once, a pooled session for each request, FastAPI's own fast response
path (pydantic writes the JSON), uvloop and httptools, no access log. It keeps no history, no
receipts and no projections; ours does, within the same request.

Run by the harness as a process of its own, with the BENCH_* variables below.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, PastDate, StringConstraints
from sqlalchemy import DateTime, ForeignKey, Numeric, String, Text, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ISSUER = "bench"
AUDIENCE = "bench-api"
POOL_SIZE = 10
"""5, 10, 20 and 40 measured alike. No overflow: it opens and closes connections under load."""


class Role(StrEnum):
    USER = "USER"
    ADMIN = "ADMIN"
    TRAINER = "TRAINER"
    STAFFER = "STAFFER"
    SYSTEM = "SYSTEM"
    ANALYST = "ANALYST"
    OTHER = "OTHER"


class AccessLevel(StrEnum):
    STANDARD = "STANDARD"
    PREMIUM = "PREMIUM"
    VIP = "VIP"
    LIMIT = "LIMIT"
    FAMILY = "FAMILY"
    TRIAL = "TRIAL"
    DAY_PASS = "DAY_PASS"
    WEEK_PASS = "WEEK_PASS"
    GUEST = "GUEST"
    CORPORATE = "CORPORATE"
    DISCOUNT = "DISCOUNT"
    OTHER = "OTHER"


class Gender(StrEnum):
    MALE = "MALE"
    FEMALE = "FEMALE"
    OTHER = "OTHER"


class Status(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    ON_HOLD = "ON_HOLD"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    UPCOMING = "UPCOMING"


class Base(DeclarativeBase):
    """The tables as documented."""


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(100), unique=True)
    role: Mapped[Role] = mapped_column(server_default=Role.USER.name)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_login: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Membership(Base):
    __tablename__ = "memberships"

    id: Mapped[int] = mapped_column(primary_key=True)
    access_level: Mapped[AccessLevel] = mapped_column(server_default=AccessLevel.STANDARD.name)
    description: Mapped[str | None] = mapped_column(Text)
    price: Mapped[Decimal] = mapped_column(Numeric)


class Client(Base):
    __tablename__ = "clients"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), unique=True)
    membership_id: Mapped[int] = mapped_column(
        ForeignKey("memberships.id", ondelete="SET DEFAULT"), unique=True
    )
    first_name: Mapped[str] = mapped_column(String(50))
    last_name: Mapped[str] = mapped_column(String(80))
    phone_number: Mapped[str] = mapped_column(String(20))
    gender: Mapped[Gender | None]
    date_of_birth: Mapped[date]
    weight_kg: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    height_sm: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    status: Mapped[Status] = mapped_column(default=Status.ACTIVE, server_default=Status.ACTIVE.name)


Size = Annotated[Decimal, Field(gt=0, max_digits=5, decimal_places=2)]


def _text(longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


class NewClient(BaseModel):
    """The body of `POST /clients/`."""

    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[int, Field(gt=0)]
    membership_id: Annotated[int, Field(gt=0)]
    first_name: Annotated[str, _text(50)]
    last_name: Annotated[str, _text(80)]
    phone_number: Annotated[str, Field(max_length=20, pattern=r"^\+?[0-9][0-9 ()-]{4,18}$")]
    gender: Gender | None = None
    date_of_birth: PastDate
    weight_kg: Size | None = None
    height_sm: Size | None = None
    status: Status = Status.ACTIVE


class ClientRow(BaseModel):
    """A client as every route answers it; decimals are JSON strings."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    user_id: int
    membership_id: int
    first_name: str
    last_name: str
    phone_number: str
    gender: Gender | None
    date_of_birth: date
    weight_kg: Decimal | None
    height_sm: Decimal | None
    status: Status


@dataclass(frozen=True)
class Caller:
    """Who asks, by the claims of the token."""

    user_id: int
    role: Role

    def reaches(self, user_id: int) -> bool:
        return self.role in STAFF or self.user_id == user_id


STAFF = frozenset({Role.ADMIN, Role.STAFFER, Role.TRAINER})
bearer = HTTPBearer()


async def caller(
    request: Request, given: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> Caller:
    """The bearer of a valid access token, else 401."""
    try:
        claims = jwt.decode(
            given.credentials,
            request.app.state.public_key,
            algorithms=["RS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
        return Caller(user_id=int(claims["sub"]), role=Role(claims["role"]))
    except (jwt.InvalidTokenError, KeyError, ValueError) as refused:
        raise HTTPException(401, "invalid token", {"WWW-Authenticate": "Bearer"}) from refused


async def staff(known: Annotated[Caller, Depends(caller)]) -> Caller:
    """A caller who may see everybody's clients, else 403."""
    if known.role not in STAFF:
        raise HTTPException(403, "not for your role")
    return known


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    """One session, so one connection of the pool, for one request."""
    async with request.app.state.sessions() as opened:
        yield opened


Known = Annotated[Caller, Depends(caller)]
Staff = Annotated[Caller, Depends(staff)]
Session = Annotated[AsyncSession, Depends(session)]


def _public_key() -> RSAPublicKey:
    key = load_pem_public_key(Path(os.environ["BENCH_PUBLIC_KEY"]).read_bytes())
    assert isinstance(key, RSAPublicKey)
    return key


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(
        os.environ["BENCH_DATABASE_URL"], pool_size=POOL_SIZE, max_overflow=0
    )
    app.state.public_key = _public_key()
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


app = FastAPI(title="The plain service", lifespan=lifespan)


@app.get("/health/")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/clients/", status_code=201, response_model=ClientRow)
async def create_client(
    body: NewClient, known: Known, session: Session, response: Response
) -> Client:
    if not known.reaches(body.user_id):
        raise HTTPException(404, "no such user")
    client = Client(**body.model_dump())
    session.add(client)
    try:
        await session.commit()
    except IntegrityError as refused:
        raise HTTPException(409, "user or membership missing, or already taken") from refused
    response.headers["Location"] = f"/clients/{client.id}/"
    return client


@app.get("/clients/{client_id}/", response_model=ClientRow)
async def read_client(client_id: int, known: Known, session: Session) -> Client:
    client = await session.get(Client, client_id)
    if client is None or not known.reaches(client.user_id):
        raise HTTPException(404, "no such client")
    return client


@app.get("/clients/", response_model=list[ClientRow])
async def list_clients(
    known: Staff,
    session: Session,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[int, Query(ge=0)] = 0,
) -> list[Client]:
    page = select(Client).where(Client.id > after).order_by(Client.id).limit(limit)
    return list(await session.scalars(page))


async def seed(url: str, users: int, memberships: int) -> None:
    """Create the tables, with users 1..n and memberships 1..m that no client holds yet."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(
            text(
                "INSERT INTO users (username, password_hash, email)"
                " SELECT 'user-' || n, 'unusable', 'user-' || n || '@example.com'"
                " FROM generate_series(1, CAST(:users AS integer)) AS n"
            ),
            {"users": users},
        )
        await connection.execute(
            text(
                "INSERT INTO memberships (description, price)"
                " SELECT 'membership ' || n, 49.90"
                " FROM generate_series(1, CAST(:memberships AS integer)) AS n"
            ),
            {"memberships": memberships},
        )
        await connection.execute(text("ANALYZE"))
    await engine.dispose()


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["BENCH_HTTP_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
