"""A flood of slow connections, from outside, at the service as its users start it."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from interfaces.rest.connections import let_many_in
from tests.acceptance.service import PATIENCE, Service

FLOOD = 1005
Headers = dict[str, str]


@pytest.fixture(scope="module")
def service(services: Callable[..., Service]) -> Service:
    """A club that began with the usual limit of files, and no room for the flood in it."""
    let_many_in()
    started = services()
    started.start(("sh", "-c", f"ulimit -S -n 1024; exec {started.command[0]} run"))
    return started


@pytest.fixture(scope="module")
def admin(service: Service) -> Headers:
    return service.admin()


@contextmanager
def flood(service: Service, said: bytes, many: int = FLOOD) -> Iterator[Sequence[socket.socket]]:
    """So many connections that say this, and nothing more."""
    with ExitStack() as opened:
        connections = []
        for _ in range(many):
            one = socket.create_connection(("127.0.0.1", service.port), PATIENCE)
            connections.append(opened.enter_context(one))
            one.sendall(said)
        yield connections


def is_served(service: Service, admin: Headers) -> None:
    """Everybody else reads, writes and sees that the club is well."""
    with service.http(admin) as http:
        for _ in range(3):
            assert http.post("/memberships/", json={"price": "9.90"}).status_code == 201
            assert http.get("/memberships/").status_code == 200
            assert http.get("/health/").json()["status"] == "running"
            assert http.head("/health/").status_code == 200


def all_of_it(one: socket.socket) -> bytes:
    """What is said to a connection until it is closed."""
    said = b""
    while more := one.recv(65536):
        said += more
    return said


@pytest.mark.parametrize("with_token", [False, True])
def test_bodies_that_do_not_come_harm_nobody(
    service: Service, admin: Headers, *, with_token: bool
) -> None:
    token = f"Authorization: {admin['Authorization']}\r\n" if with_token else ""
    headers = f"Host: club\r\nContent-Type: application/json\r\nContent-Length: 100\r\n{token}\r\n"
    with flood(service, f"POST /clients/ HTTP/1.1\r\n{headers}{{".encode()) as slow:
        is_served(service, admin)
        for one in slow:
            head, _, body = all_of_it(one).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 ")
            assert b"content-type: application/problem+json" in head
            assert b'"/problems/request-timeout"' in body
    is_served(service, admin)


@pytest.mark.parametrize("said", [b"", b"GET /cli", b"GET / HTTP/1.1\r\nHost: club\r\nX-"])
def test_requests_that_do_not_come_harm_nobody(
    service: Service, admin: Headers, said: bytes
) -> None:
    with flood(service, said) as slow:
        is_served(service, admin)
        statuses = Counter(all_of_it(one)[:12] for one in slow)
    assert statuses == {b"HTTP/1.1 408" if said else b"": FLOOD}


def test_whoever_waits_for_a_position_that_does_not_come_harms_nobody(
    service: Service, admin: Headers
) -> None:
    token = f"Authorization: {service.admin('another')['Authorization']}\r\n"
    headers = f"Host: club\r\nLedger-Position: 999999999999\r\nConnection: close\r\n{token}\r\n"
    with flood(service, f"GET /memberships/ HTTP/1.1\r\n{headers}".encode()) as waiting:
        is_served(service, admin)
        answers = [all_of_it(one) for one in waiting]
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 503", b"HTTP/1.1 429"}
    assert all(b"retry-after: 1\r\n" in answer for answer in answers)


def test_the_service_has_room_for_more_connections_than_it_was_started_with(
    service: Service,
) -> None:
    files, most = psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert files == min(most, 10_256)


def test_more_connections_than_the_system_grants_harm_nobody(
    services: Callable[..., Service],
) -> None:
    small = services()
    small.start(("sh", "-c", f"ulimit -n 400; exec {small.command[0]} run"))
    admin = small.admin()
    with flood(small, b"GET / HTTP/1.1\r\n", many=500):
        is_served(small, admin)
    is_served(small, admin)
