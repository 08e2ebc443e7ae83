"""Files that must survive a power cut, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TOGETHER = 64 * 1024
# Of SHA-1, in bytes.
_CHECKSUM = 20


def fsync_directory(directory: Path | str) -> None:
    """Make the names in `directory` durable: a rename is not, until its directory is synced."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync(path: Path) -> None:
    """Make a file's content durable that somebody else has written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, chunks: Iterable[bytes], mode: int = 0o644) -> None:
    """Write a new file and fsync it; its name is durable only after fsync_directory. A failure leaves no file."""
    write(path, chunks, mode, durable=True)


def write(path: Path | str, chunks: Iterable[bytes], mode: int = 0o644, *, durable: bool = False) -> None:
    """Write a new file. A failure leaves no file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            # Small chunks go out together, and many large ones are never in memory twice.
            with open(descriptor, "wb", buffering=_TOGETHER, closefd=False) as file:
                file.writelines(chunks)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        remove(path)
        raise


def write_to_replace(path: Path | str, data: bytes, mode: int = 0o644) -> None:
    """Write a new file that will be renamed over another one, and need not be durable. A failure leaves no file.

    ext4 starts to write a file out as it is renamed over another, unless its blocks are there already: to ask for them
    first makes such a rename twenty times faster.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        try:
            if data:
                os.posix_fallocate(descriptor, 0, len(data))
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
    except BaseException:
        remove(path)
        raise


def overwrite(path: str, data: bytes) -> None:
    """Put `data` in the place of the first bytes of a file that has as many; no room is needed for it."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def replace_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` in place of the file, whole and durable. The directory is synced too."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    write_durably(temporary, [data], mode)
    os.replace(temporary, path)
    fsync_directory(path.parent)


def remove(path: Path | str) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(path: Path) -> None:
    """Remove a file or a directory with all that is in it, as far as it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        remove(path)


def read_or_none(path: Path | str) -> bytes | None:
    """The file's bytes, or None if there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return read_all(descriptor)
    finally:
        os.close(descriptor)


def read_all(descriptor: int) -> bytes:
    """What is left to read of an open file."""
    data = b""
    # Most files here are smaller, so that one read finds their end.
    asked = 8192
    while len(block := os.read(descriptor, asked)) == asked:
        data += block
        asked = max(asked, os.fstat(descriptor).st_size - len(data) + 1)
    return data + block


def is_whole(file: Path) -> bool:
    """Whether a file of git's, a pack or an index, ends with the checksum of all that is before it."""
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        return False
    if size <= _CHECKSUM:
        return False
    digest = hashlib.sha1(usedforsecurity=False)
    with file.open("rb") as stream:
        left = size - _CHECKSUM
        while left:
            block = stream.read(min(left, 1 << 20))
            if not block:
                return False
            digest.update(block)
            left -= len(block)
        return stream.read() == digest.digest()


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it to an open file."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
