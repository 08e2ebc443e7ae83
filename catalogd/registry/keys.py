"""The keys with which tokens for the registry are signed, and the tokens themselves.

    .git/catalogd/registry/
      root.key      the root: its key and its certificate
      root.pem      certificates that the registry trusts (its `rootcertbundle`): the root's, and an earlier one's
      signing.pem   the key that signs tokens, and its certificate, signed by the root
      lock          held by whoever makes any of these

The registry knows the root only, and finds the certificate of the signing key in each token (`x5c`). So another signing
key needs nothing of the registry, and tokens that the earlier one has signed stay good.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from catalogd.errors import Unavailable
from catalogd.store import CatalogLock, read_or_none, replace_durably

log = logging.getLogger(__name__)

ISSUER = "catalogd"
# How long a token is good for, in seconds; clients may rely on a minute.
LIFETIME = 300
# The registry's clock may be behind ours by so many seconds.
_CLOCKS_DIFFER = 30

ROOT_KEY, BUNDLE, SIGNING = "root.key", "root.pem", "signing.pem"
_FILES = (ROOT_KEY, BUNDLE, SIGNING)
_ROOT_LASTS = timedelta(days=20 * 365)
_SIGNING_LASTS, _RENEWED_BEFORE = timedelta(days=120), timedelta(days=30)
# Certificates are good from a little before they are made, for clocks that are behind.
_EARLIER = timedelta(hours=1)
_PATIENCE = 10.0

Access = Mapping[str, object]


@dataclass(frozen=True)
class Minted:
    """A token, when it was made, in seconds since the epoch, and for how many seconds it is good."""

    token: str
    issued_at: int
    expires_in: int


@dataclass(frozen=True)
class _Pair:
    """A private key and the certificate of its public half."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def pem(self) -> bytes:
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + _pem(self.certificate)

    @property
    def headers(self) -> dict[str, object]:
        """What a token says of its key: the certificate, and the thumbprint of RFC 7638."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        return {"x5c": [base64.b64encode(der).decode()], "kid": _thumbprint(self.key.public_key())}


class Keys:
    """The keys in one directory. Use from any number of threads; processes may share it."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time):
        self._directory = directory
        self._clock = clock
        self._guard = threading.Lock()
        self._signing: tuple[tuple[int, ...], _Pair] | None = None

    @classmethod
    def of(cls, private: Path) -> Keys:
        """Those of the catalog whose private directory this is, its `.git/catalogd`."""
        return cls(private / "registry")

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def bundle(self) -> Path:
        """The file of certificates that the registry is to trust."""
        return self._directory / BUNDLE

    def files(self) -> list[Path]:
        """Those that there are, for a backup: all but the lock."""
        return [self._directory / name for name in _FILES if (self._directory / name).exists()]

    def faults(self) -> list[str]:
        """What keeps a registry from taking the tokens that are signed here. Nothing where there are no keys yet."""
        if not self.files():
            return []
        try:
            signing, roots = _read(self._directory / SIGNING), _certificates(self.bundle)
        except Unavailable as error:
            return [error.detail]
        faults = [
            f"{path.name} may be read by others (mode {path.stat().st_mode & 0o777:o})"
            for path in self.files()
            if path != self.bundle and path.stat().st_mode & 0o077
        ]
        if not any(_has_signed(root, signing.certificate) for root in roots):
            faults.append(f"no root in {BUNDLE} has signed the certificate of {SIGNING}")
        return faults

    def prepare(self) -> None:
        """Makes what is missing. Raises Unavailable where that is not possible."""
        if not self._is_ready():
            with self._held():
                if not self._is_ready():
                    self._make_missing()

    def mint(self, subject: str, access: Sequence[Access], audience: str) -> Minted:
        """A token by which `subject` ("" is nobody) has this access, [{type, name, actions}], in the registry that
        `audience` names. It is signed with the newest key, whoever has made that. Raises Unavailable.
        """
        signing = self._current()
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "nbf": now - _CLOCKS_DIFFER,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(16),
            "access": [dict(each) for each in access],
        }
        token = jwt.encode(claims, signing.key, algorithm="ES256", headers=signing.headers)
        return Minted(token, now, LIFETIME)

    def rotate(self) -> None:
        """A new signing key from now on. Raises Unavailable."""
        self.prepare()
        with self._held():
            self._make_signing()

    def rotate_root(self) -> None:
        """A new root beside the one there is. The signing key stays the old root's, which the registry knows, until
        the next rotation. Raises Unavailable.
        """
        self.prepare()
        with self._held():
            self._make_root()

    # The signing key

    def _current(self) -> _Pair:
        signing = self._loaded()
        if signing is None:
            self.prepare()
            signing = self._loaded()
        if signing is None:
            raise Unavailable(f"{self._directory / SIGNING} is gone.")
        return self._renewed(signing) if self._is_near_end(signing) else signing

    def _loaded(self) -> _Pair | None:
        """The signing key, read again if its file is another one; None if there is none. Raises Unavailable."""
        path = self._directory / SIGNING
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error.strerror}.") from error
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        with self._guard:
            if self._signing is None or self._signing[0] != version:
                self._signing = version, _read(path)
            return self._signing[1]

    def _is_near_end(self, signing: _Pair) -> bool:
        return signing.certificate.not_valid_after_utc - self._now() < _RENEWED_BEFORE

    def _renewed(self, signing: _Pair) -> _Pair:
        """Another one, or this one where none can be made: the registry takes it until its end."""
        try:
            with self._held():
                newest = self._loaded()
                if newest is None or self._is_near_end(newest):
                    self._make_signing()
            return self._loaded() or signing
        except Unavailable:
            log.exception("the key that signs tokens for the registry could not be renewed; it is tried again")
            return signing

    # Making

    def _is_ready(self) -> bool:
        return all((self._directory / name).exists() for name in _FILES)

    def _make_missing(self) -> None:
        if not (self._directory / ROOT_KEY).exists():
            # A signing key without its root cannot be renewed, so it is made anew as well.
            self._make_root()
            self._make_signing()
        if not self.bundle.exists():
            self._write(BUNDLE, _pem(_read(self._directory / ROOT_KEY).certificate))
        if not (self._directory / SIGNING).exists():
            self._make_signing()

    def _make_root(self) -> None:
        """The bundle comes first: no certificate is ever signed by a root that is not in it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"catalogd registry root {self._now():%Y-%m-%d}")])
        usage = _key_usage(certificates=True)
        limits = x509.BasicConstraints(ca=True, path_length=0)
        root = _Pair(key, self._certificate(key, name, name, key, limits, usage, _ROOT_LASTS))
        self._write(BUNDLE, (read_or_none(self.bundle) or b"") + _pem(root.certificate))
        self._write(ROOT_KEY, root.pem())

    def _make_signing(self) -> None:
        root = _read(self._directory / ROOT_KEY)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"catalogd registry tokens {self._now():%Y-%m-%d}")])
        limits, usage = x509.BasicConstraints(ca=False, path_length=None), _key_usage(certificates=False)
        issuer = root.certificate.subject
        signed = self._certificate(key, name, issuer, root.key, limits, usage, _SIGNING_LASTS)
        self._write(SIGNING, _Pair(key, signed).pem())

    def _certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        limits: x509.BasicConstraints,
        usage: x509.KeyUsage,
        lasts: timedelta,
    ) -> x509.Certificate:
        """With the identifiers of both keys, by which two roots of one name are told apart."""
        public, issuers = key.public_key(), issuer_key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() - _EARLIER)
            .not_valid_after(self._now() + lasts)
            .add_extension(limits, critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )

    def _write(self, name: str, data: bytes) -> None:
        replace_durably(self._directory / name, data, mode=0o600)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The lock on the directory, which is made. Raises Unavailable."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            lock = CatalogLock(self._directory / "lock", _PATIENCE)
            try:
                with lock.held():
                    yield
            finally:
                lock.close()
        except OSError as error:
            raise Unavailable(
                f"The registry's keys in {self._directory} cannot be written: {error.strerror}."
            ) from error


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates, key_cert_sign=certificates, crl_sign=certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _read(path: Path) -> _Pair:
    """Raises Unavailable."""
    try:
        data = path.read_bytes()
        key = serialization.load_pem_private_key(data, None)
        certificate = x509.load_pem_x509_certificate(data)
    except (OSError, ValueError, TypeError) as error:
        raise Unavailable(f"{path} is no key with its certificate: {error}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise Unavailable(f"{path} is no key of an elliptic curve with its certificate.")
    return _Pair(key, certificate)


def _certificates(path: Path) -> list[x509.Certificate]:
    """Raises Unavailable."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unavailable(f"{path} has no certificates: {error}.") from error


def _has_signed(root: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """RFC 7638, section 3: the members in this order, without spaces."""
    numbers = key.public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    members = json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
    return _base64url(hashlib.sha256(members.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
