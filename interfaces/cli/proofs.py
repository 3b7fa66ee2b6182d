"""`club audit seal`, `verify`, `prove`, `check` and `key`: proof that nobody changed the ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.bootstrap import Club
from infra.faults import Fault
from infra.files import whole_file
from infra.following.sealing import KeyLost
from infra.ledger.postgres import Connection
from infra.proofs import heads
from infra.proofs.check import check_files, key_name, read_file, read_key
from infra.proofs.heads import BesideTheKey, Head, Outside, read_head
from infra.proofs.proving import NothingSealed, prove_continuation, prove_event
from infra.proofs.verifying import Keys, Verified
from infra.proofs.verifying import verify as verify_all
from infra.secrets.sealing_key import SealingKey, has_sealing_key
from interfaces.cli.opening import in_plain_words, look_for_keys, note, settings, with_club
from interfaces.cli.together import progress_bar

KeyFiles = Annotated[
    list[Path], typer.Option("--key", help="a public key that is believed, beside that of the home")
]


class NoKey(Fault):
    """There is no key here to check signatures with: --key names the public key."""


class NoFolder(Fault):
    """{path} is not a folder."""


class NoHeadsInFolder(Fault):
    """There is no head in {path}: nothing can be compared with what was kept there."""


class NoHead(Fault):
    """There is no head {name}: name a file, or a position that was sealed."""


class NothingAsked(Fault):
    """What is to be proved? Name an event, or an earlier head with --from."""


ONLY_THE_END = (
    "Whether what was sealed before is still what it was, was looked at where it ends alone: "
    "`club audit verify` looks at every event."
)


def seal() -> None:
    """Sign what is in the ledger now, also outside where CLUB_SEALS_DIR says where."""

    async def sealed(club: Club) -> Head | None:
        with progress_bar("events") as progress:
            task = progress.add_task("events", total=None)
            async with await club.postgres.connect() as connection:
                sealing = await club.sealing()
                return await sealing.seal_now(
                    connection, lambda events: progress.advance(task, events)
                )

    head = with_club(sealed, projecting=False, signing=True)
    if head is None:
        print("There is nothing to seal yet.")
    else:
        print(f"Sealed up to position {head.size}: {head.root.hex()}")
        print(ONLY_THE_END)


def verify(
    seals: Annotated[
        Path | None,
        typer.Option(help="a folder of earlier heads", show_default="CLUB_SEALS_DIR"),
    ] = None,
    key_files: KeyFiles = [],  # noqa: B006 - typer hands over a new one
) -> None:
    """Look at every event, whether it is the one that was sealed; ends with 1 where one is not."""
    found = settings()

    async def verified(club: Club) -> tuple[Verified, int, int]:
        # Of the club's own home, also where it has no other key in it.
        keys = believed_keys(found.home, key_files)
        outside = _outside(seals or found.seals_dir)
        beside = BesideTheKey(found.home).last()
        with progress_bar("events") as progress:
            task = progress.add_task("events", total=await club.ledger.head())
            async with await club.postgres.connect() as connection:
                said = await verify_all(
                    connection, keys, outside, lambda n: progress.advance(task, n), beside=beside
                )
        return said, int(beside is not None), len(outside)

    said, beside, outside = with_club(verified, found, projecting=False)
    for finding in said.findings:
        print(finding.sentence)
    print(
        f"{said.events} events, compared with heads: {said.heads} of the database, "
        f"{beside} of the home, {outside} of outside."
    )
    if said.findings:
        print(f"Not all of it is what was sealed. Findings: {len(said.findings)}.")
        raise typer.Exit(1)
    if said.events and not (said.heads or beside or outside):
        print("Nothing is sealed, so nothing can be said of it: `club audit seal` seals it.")
        raise typer.Exit(1)
    print("All of it is as it was sealed.")
    if said.events > said.sealed:
        print(f"{said.events - said.sealed} of them are not sealed yet.")


def believed_keys(home: Path, files: Sequence[Path]) -> Keys:
    """The public keys in files, and that of the club's home; raises NoKey where there is none."""
    keys = [read_key(read_file(path)) for path in files]
    if has_sealing_key(home):
        keys.append(SealingKey.of(home).public)
    if not keys:
        raise NoKey
    return {key_name(key): key for key in keys}


def _outside(folder: Path | None) -> Sequence[Head]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise NoFolder(path=folder)
    found = list(Outside(folder).all())
    if not found:
        raise NoHeadsInFolder(path=folder)
    return found


def prove(
    event: Annotated[
        str | None,
        typer.Argument(help="a position (17), or an aggregate and a version (client-42/3)"),
    ] = None,
    earlier: Annotated[
        str | None,
        typer.Option(
            "--from", help="prove that nothing changed since this head: a file, or a position"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where to write the proof")] = None,
    without_state: Annotated[
        bool, typer.Option("--without-state", help="prove an event, and withhold what it says")
    ] = False,
) -> None:
    """Prove to others that an event is in the ledger, or that an earlier head still holds."""

    async def proved(club: Club) -> dict[str, Any]:
        async with await club.postgres.connect() as connection:
            if earlier is not None and event is None:
                return await prove_continuation(connection, await _head(connection, earlier))
            if event is None or earlier is not None:
                raise NothingAsked
            await note(club)
            return await prove_event(connection, event, withheld=without_state)

    text = json.dumps(with_club(proved, projecting=False), ensure_ascii=False, indent=1)
    if out is None:
        print(text)
        return
    with in_plain_words(), whole_file(out) as file:
        file.write(text.encode() + b"\n")


async def _head(connection: Connection, name: str) -> Head:
    """The head in a file, or that of a position in the database."""
    if not re.fullmatch(r"[0-9]{1,18}", name):
        return read_head(Path(name))
    if await heads.last(connection) is None:
        raise NothingSealed
    found = await heads.covering(connection, int(name))
    if found is None or found.size != int(name):
        raise NoHead(name=name)
    return found


def check(
    proof: Annotated[Path, typer.Argument(help="what `club audit prove` wrote")],
    key_file: Annotated[Path, typer.Option("--key", help="what `club audit key` printed")],
) -> None:
    """Check a proof, with nothing but the public key: no club, no database, no network."""
    with in_plain_words():
        print(check_files(proof, key_file))


def key(
    new: Annotated[
        bool, typer.Option("--new", help="have a new key stand for what one that is lost signed")
    ] = False,
) -> None:
    """Print the public key with which others check proofs."""
    found = settings()

    async def made(club: Club) -> SealingKey:
        if new:
            SealingKey.of(club.settings.home)
            async with await club.postgres.connect() as connection:
                await (await club.sealing()).sign_again(connection)
        made = await club.sealing_key()
        if made is None:
            raise KeyLost
        return made

    with in_plain_words():
        look_for_keys(found)
        there = SealingKey.of(found.home) if has_sealing_key(found.home) and not new else None
    print((there or with_club(made, found, projecting=False, signing=True)).public_pem, end="")
