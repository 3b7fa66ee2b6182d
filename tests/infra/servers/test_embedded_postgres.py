"""The embedded Postgres: who starts it, who stops it, and what it survives."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from infra.servers.embedded_postgres import HomeIsNotOurs, embedded_postgres
from infra.servers.postgres_server import PasswordIsLost, PostgresDidNotStart, ProgramFailed

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")

HOLD = """
import os, sys
from pathlib import Path
import psycopg
from infra.servers.embedded_postgres import embedded_postgres

home, uid = Path(sys.argv[1]), int(sys.argv[2])
if uid != os.geteuid():
    os.setgroups([]), os.setgid(uid), os.setuid(uid)
with embedded_postgres(home) as url:
    try:
        print(url, flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        with psycopg.connect(url) as connection:
            print(connection.execute("SELECT 'still here'").fetchone()[0], flush=True)
"""


class Holder:
    """Another process that holds the Postgres of a folder until told to leave."""

    def __init__(self, home: Path, uid: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(home), str(os.geteuid() if uid is None else uid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def url(self) -> str:
        """Wait until it holds Postgres."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def leave(self) -> tuple[str, str]:
        """Wait until it has left; what it said then, and its complaints."""
        return self.process.communicate()

    def interrupt(self) -> None:
        """What Ctrl-C in its terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def held_elsewhere(home: Path, uid: int | None = None) -> Iterator[Holder]:
    holder = Holder(home, uid)
    try:
        yield holder
    finally:
        holder.process.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "club"


def postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres/postmaster.pid").read_text().split()[0]))


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row
    return row[0]


def remember(url: str, what: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (what text)")
        connection.execute("INSERT INTO kept VALUES (%s)", (what,))


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT current_database()", "club"),
        ("SHOW server_encoding", "UTF8"),
        ("SHOW fsync", "on"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW timezone", "UTC"),
        ("SHOW password_encryption", "scram-sha-256"),
        ("SELECT datlocale FROM pg_database WHERE datname = 'club'", "C.UTF-8"),
        ("SELECT lower('ÄÉЖ')", "äéж"),
    ],
)
def test_it_is_set_up_to_keep_text_and_promises(shared: str, query: str, answer: str) -> None:
    assert ask(shared, query) == answer


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_postgres(tmp_path_factory.mktemp("shared")) as url:
        yield url


def test_a_restart_keeps_the_data(home: Path) -> None:
    with embedded_postgres(home) as url:
        remember(url, "a client")
    assert not answers(url)

    with embedded_postgres(home) as url:
        assert ask(url, "SELECT what FROM kept") == "a client"


def test_the_last_holder_to_leave_stops_it(home: Path) -> None:
    with held_elsewhere(home) as other:
        with embedded_postgres(home) as url:
            assert other.url() == url
            server = postmaster(home)
        assert postmaster(home) == server
        assert answers(url)
        other.leave()
        assert not answers(url)


def test_a_holder_that_leaves_early_stops_nothing(home: Path) -> None:
    with embedded_postgres(home) as url:
        with held_elsewhere(home) as other:
            other.url()
            other.leave()
        assert answers(url)


def test_one_process_may_hold_it_twice(home: Path) -> None:
    with embedded_postgres(home) as url:
        with embedded_postgres(home):
            pass
        assert answers(url)
    assert not answers(url)


def test_all_who_come_at_once_to_an_empty_folder_are_served(home: Path) -> None:
    with ExitStack() as stack:
        holders = [stack.enter_context(held_elsewhere(home)) for _ in range(3)]
        urls = {holder.url() for holder in holders}
    assert len(urls) == 1
    assert not answers(urls.pop())


def test_after_a_killed_holder_the_next_one_finds_it_running(home: Path) -> None:
    with held_elsewhere(home) as other:
        url = other.url()
        server = postmaster(home)
        other.kill()
        assert answers(url)

    with embedded_postgres(home):
        assert postmaster(home) == server
    assert not answers(url)


def test_a_killed_holder_keeps_nobody_from_stopping_it(home: Path) -> None:
    with embedded_postgres(home) as url, held_elsewhere(home) as other:
        other.url()
        other.kill()
    assert not answers(url)


def test_a_killed_postgres_comes_back_with_what_was_committed(home: Path) -> None:
    with embedded_postgres(home) as url:
        remember(url, "a payment")
        with closing(psycopg.connect(url)) as busy:
            busy.pgconn.send_query(b"SELECT pg_sleep(600)")
            postmaster(home).kill()

            with embedded_postgres(home):
                assert ask(url, "SELECT what FROM kept") == "a payment"


def test_a_stale_process_id_that_is_now_ours_does_not_keep_it_from_starting(home: Path) -> None:
    with embedded_postgres(home):
        lines = (home / "postgres/postmaster.pid").read_text().splitlines()
    lines[0] = str(os.getpid())
    (home / "postgres/postmaster.pid").write_text("\n".join(lines))

    with embedded_postgres(home) as url:
        assert answers(url)


def test_ctrl_c_reaches_the_service_but_not_its_postgres(home: Path) -> None:
    with held_elsewhere(home) as other:
        url = other.url()
        other.interrupt()
        said, complaints = other.leave()
    assert said == "still here\n", complaints
    assert "Traceback" not in complaints
    assert not answers(url)


def test_a_path_too_long_for_a_socket_is_no_hindrance(home: Path) -> None:
    deep = home / "a-long-name-for-a-folder" / "of-which" / ("there-may-be-many-" * 5)
    assert len(os.fsencode(deep)) > 107
    with embedded_postgres(deep) as url, held_elsewhere(deep) as other:
        assert answers(url)
        assert answers(other.url())


def test_odd_characters_in_the_path_are_no_hindrance(home: Path) -> None:
    with embedded_postgres(home / "the club's £5 & 100% files") as url:
        assert answers(url)


def test_the_data_and_the_password_are_private(home: Path) -> None:
    with embedded_postgres(home):
        pass
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "postgres.password").stat().st_mode) == 0o600


def test_the_password_is_needed_and_on_no_command_line(home: Path) -> None:
    with embedded_postgres(home) as url:
        password = (home / "postgres.password").read_text()
        lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        assert not any(password in " ".join(line) for line in lines)
        assert not answers(url.replace(password, "guessed"))


def test_it_does_not_listen_to_the_network(home: Path) -> None:
    with embedded_postgres(home):
        assert postmaster(home).net_connections("inet") == []


def test_a_lost_password_is_said(home: Path) -> None:
    with embedded_postgres(home):
        pass
    (home / "postgres.password").unlink()
    with pytest.raises(PasswordIsLost, match=r"postgres\.password back"), embedded_postgres(home):
        pytest.fail("there is no way in")


def test_why_it_did_not_start_is_said(home: Path) -> None:
    with embedded_postgres(home):
        pass
    with (home / "postgres/postgresql.auto.conf").open("a") as settings:
        settings.write("max_connections = many\n")
    with pytest.raises(PostgresDidNotStart, match="max_connections"), embedded_postgres(home):
        pytest.fail("it cannot have started")


def test_what_a_program_said_is_passed_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.setattr("infra.servers.postgres_server.PROGRAMS", home)
    with (
        pytest.raises(ProgramFailed, match=r"initdb failed(.|\n)*No such file"),
        embedded_postgres(home),
    ):
        pytest.fail("there are no programs")


def test_a_first_start_that_was_cut_short_is_begun_anew(home: Path) -> None:
    (home / "postgres.unfinished").mkdir(parents=True)
    (home / "postgres.unfinished/PG_VERSION").write_text("18")
    (home / "postgres.password").write_text("of that first start")
    with embedded_postgres(home) as url:
        assert answers(url)


@as_root
def test_an_account_without_rights_runs_it_as_itself(tmp_path: Path) -> None:
    home = folder_of_nobody(tmp_path)
    with held_elsewhere(home, uid=NOBODY.pw_uid) as other:
        assert answers(other.url())
        assert postmaster(home).uids().effective == NOBODY.pw_uid
    assert (home / "postgres.lock").stat().st_uid == NOBODY.pw_uid


@as_root
def test_an_account_may_come_back_to_its_folder_after_root_used_it(tmp_path: Path) -> None:
    home = folder_of_nobody(tmp_path)
    with embedded_postgres(home) as url:
        remember(url, "a training")
        assert postmaster(home).uids().effective == NOBODY.pw_uid
    with held_elsewhere(home, uid=NOBODY.pw_uid) as other:
        assert ask(other.url(), "SELECT what FROM kept") == "a training"


@as_root
def test_a_folder_of_another_account_is_refused_in_words(home: Path) -> None:
    with embedded_postgres(home):
        pass
    with held_elsewhere(home, uid=NOBODY.pw_uid) as other:
        _, complaints = other.leave()
    assert HomeIsNotOurs.__name__ in complaints
    assert str(home) in complaints


@as_root
def test_closed_folders_above_are_opened_to_pass_and_no_further(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    open_to_all = closed / "open"
    open_to_all.mkdir(mode=0o755)
    with embedded_postgres(open_to_all / "club") as url:
        assert answers(url)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert stat.S_IMODE(open_to_all.stat().st_mode) == 0o755


def folder_of_nobody(parent: Path) -> Path:
    """A folder that belongs to `nobody`, and that it can reach."""
    for folder in (parent, *parent.parents):
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    home = parent / "of-nobody"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    return home
