"""Files that are there whole, or not at all."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path, *, mode: int = 0o600, only_new: bool = False) -> Iterator[BinaryIO]:
    """A file to be written, which takes its place when the block has ended, and is on disk then.

    Whatever goes wrong before, nothing of it is left. With `only_new`, it takes no other's place:
    raises FileExistsError.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # whoever is killed lets go of it
            yield file
            file.flush()
            os.fsync(file.fileno())
            if only_new:
                _place(draft, path)
            else:
                draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    _on_disk(path.parent)


def clear_drafts(path: Path) -> None:
    """Take away what those left of this file who were killed when they wrote it."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}"):
        with draft.open("rb") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink(missing_ok=True)


def _place(draft: Path, path: Path) -> None:
    """Put what is in the draft there, and in no other's place: raises FileExistsError."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:
        # Where the file system has no hard links; whoever is killed now leaves a part of it.
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, draft.stat().st_mode)
        with os.fdopen(opened, "wb") as file:
            file.write(draft.read_bytes())
            file.flush()
            os.fsync(file.fileno())


def _on_disk(folder: Path) -> None:
    """A name is on disk when its folder is."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
