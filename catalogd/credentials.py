"""The two kinds of secrets, tokens and passwords: how they are made, recognised and kept.

    catd_ | 32 random base62 characters (190 bits) | 6 base62 characters, the CRC-32 of those 32

A token is kept as its SHA-256, as 190 random bits need no slow hash; a password is kept as Argon2id.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import string
import threading
import zlib

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from catalogd.errors import Fault, Invalid, Unavailable

TOKEN_PREFIX = "catd_"
MIN_PASSWORD, MAX_PASSWORD = 8, 1024

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECKSUM = 32, 6
_TOKEN = re.compile(rf"{TOKEN_PREFIX}([0-9A-Za-z]{{{_RANDOM}}})([0-9A-Za-z]{{{_CHECKSUM}}})")

# The second recommendation of RFC 9106, section 4. A hash takes 64 MiB, so only a few are computed at once.
_ROUNDS, _KIB, _LANES, _SALT_BYTES, _HASH_BYTES = 3, 64 * 1024, 4, 16, 32
_HASHES_AT_ONCE = 4
_HASH_PATIENCE = 5.0  # seconds a request waits for its turn


# --- tokens


def new_token() -> str:
    random = "".join(secrets.choice(_BASE62) for _ in range(_RANDOM))
    return TOKEN_PREFIX + random + _checksum(random)


def is_token(text: str) -> bool:
    """Whether this can be a token: a mistyped or cut one is known without asking the database."""
    match = _TOKEN.fullmatch(text)
    return match is not None and _checksum(match[1]) == match[2]


def digest(token: str) -> str:
    """What is kept of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(random: str) -> str:
    """The CRC-32 in six digits of base62, which hold it with room to spare."""
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(_CHECKSUM):
        rest, digit = divmod(rest, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits


# --- passwords


def check_password(password: str) -> None:
    """Raises Invalid, saying what a password must be."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        fault = f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters"
    elif not is_encodable(password):
        fault = "must be text that UTF-8 can encode"
    elif password.startswith(TOKEN_PREFIX):
        fault = f"must not begin with {TOKEN_PREFIX}: it would be taken for a token"
    else:
        return
    raise Invalid(f"The password {fault}.", [Fault("/password", fault)])


def is_encodable(text: str) -> bool:
    """Whether the text has no lone surrogates, which neither a hash nor a database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Passwords:
    """Argon2id, a few at a time; raises Unavailable if the turn does not come within some seconds."""

    def __init__(self, processes: int = 1) -> None:
        """`processes` are so many that share memory and cores, each with its part of the turns."""
        self._hasher = PasswordHasher(_ROUNDS, _KIB, _LANES, _HASH_BYTES, _SALT_BYTES, type=Type.ID)
        self._turn = threading.BoundedSemaphore(max(1, _HASHES_AT_ONCE // processes))
        self._unmatchable = _unmatchable_hash()

    def hash(self, password: str) -> str:
        """What is kept of a password that `check_password` has passed."""
        self._wait()
        try:
            return self._hasher.hash(password)
        finally:
            self._turn.release()

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether this is the password kept. Without one it is not, and that takes as long to say."""
        if len(password) > MAX_PASSWORD or not is_encodable(password):
            return False
        self._wait()
        try:
            return self._hasher.verify(kept or self._unmatchable, password)
        except (VerificationError, InvalidHashError):
            return False
        finally:
            self._turn.release()

    def _wait(self) -> None:
        if not self._turn.acquire(timeout=_HASH_PATIENCE):
            raise Unavailable("Too many passwords are being checked now; try again, or use a token.", retry_after=2)


def _unmatchable_hash() -> str:
    """A hash that costs what a real one does and that no password has: its digest is drawn, not computed."""
    salt, drawn = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (_SALT_BYTES, _HASH_BYTES)
    )
    return f"$argon2id$v=19$m={_KIB},t={_ROUNDS},p={_LANES}${salt}${drawn}"
