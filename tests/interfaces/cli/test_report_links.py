"""`club reports link`, as whoever sits at the machine meets it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from tests.interfaces.cli.conftest import CommandLine

NEW = ("users", "create-admin", "--username", "boss", "--email", "boss@example.com")


def test_a_link_of_a_user_is_printed_and_nothing_else(command_line: CommandLine) -> None:
    assert command_line.run(*NEW, said="correct horse\n").returncode == 0
    issuer = "https://club.example/api"
    for there, environment in (
        ("http://127.0.0.1:8000", {}),
        (issuer, {"CLUB_PUBLIC_URL": f"{issuer}/"}),
    ):
        printed = command_line.run("reports", "link", "Boss", **environment)
        assert (printed.returncode, printed.stderr) == (0, "")
        url = urlsplit(printed.stdout.removesuffix("\n"))
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{there}/reports/overview/"
        (token,) = parse_qs(url.query)["link"]
        tokens = SignedTokens(
            Keys(command_line.settings.home),
            environment.get("CLUB_PUBLIC_URL") or command_line.settings.issuer,
        )
        assert tokens.read_page_token(token, "overview").user_id == 1
    assert command_line.rows("SELECT id, user_id, page FROM page_links ORDER BY id") == [
        (1, 1, "overview"),
        (2, 1, "overview"),
    ]


def test_nobody_gets_a_link_who_may_not_read(command_line: CommandLine) -> None:
    command_line.run(*NEW, said="correct horse\n")
    other = ("users", "create-admin", "--username", "carol", "--email", "carol@example.com")
    command_line.run(*other, said="correct horse\n")
    assert command_line.run("users", "set-role", "carol", "STAFFER").returncode == 0
    for name, said in (
        ("carol", "carol is STAFFER, and may not read this page.\n"),
        ("nobody", "There is no user nobody.\n"),
    ):
        refused = command_line.run("reports", "link", name)
        assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", said)
