"""The keys that sign tokens for a registry: made once, renewed, rotated, and read anew where others change them."""

from __future__ import annotations

import logging
import multiprocessing
import time
from pathlib import Path

import jwt
import pytest
from cryptography import x509

from catalogd.errors import Unavailable
from catalogd.registry.keys import Keys

DAY = 86_400
FILES = ("root.key", "root.pem", "signing.pem")


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def kid(keys: Keys) -> str:
    return jwt.get_unverified_header(keys.mint("", [], "registry").token)["kid"]


def roots(keys: Keys) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(keys.bundle.read_bytes())


def leaf(keys: Keys) -> x509.Certificate:
    (encoded,) = jwt.get_unverified_header(keys.mint("", [], "registry").token)["x5c"]
    return x509.load_pem_x509_certificate(
        f"-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n".encode()
    )


def test_a_token_says_who_may_do_what_for_how_long(tmp_path: Path) -> None:
    access = [{"type": "repository", "name": "acme/web", "actions": ["pull"]}]
    minted = Keys.of(tmp_path).mint("alice", access, "registry.example.org")
    claims = jwt.decode(minted.token, options={"verify_signature": False})
    assert claims["access"] == access
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("catalogd", "alice", "registry.example.org")
    assert claims["nbf"] < claims["iat"] == minted.issued_at
    assert claims["exp"] - claims["iat"] == minted.expires_in == 300


def test_a_token_carries_a_certificate_that_the_root_has_signed(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path)
    token = keys.mint("", [], "registry").token
    certificate, (root,) = leaf(keys), roots(keys)
    certificate.verify_directly_issued_by(root)
    assert jwt.decode(token, certificate.public_key(), algorithms=["ES256"], audience="registry")["sub"] == ""


def test_no_two_tokens_have_one_id(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path)
    tokens = [jwt.decode(keys.mint("", [], "r").token, options={"verify_signature": False}) for _ in range(20)]
    assert len({claims["jti"] for claims in tokens}) == 20


def test_the_files_are_their_owners_only(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path)
    keys.prepare()
    assert [file.name for file in keys.files()] == [*FILES]
    assert {file.stat().st_mode & 0o777 for file in keys.directory.iterdir()} == {0o600}
    assert keys.directory.stat().st_mode & 0o777 == 0o700


def test_processes_that_begin_at_once_make_one_set(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        assert len(set(pool.map(kid_in, [tmp_path] * 8, chunksize=1))) == 1
    assert len(roots(Keys.of(tmp_path))) == 1


def kid_in(private: Path) -> str:
    return kid(Keys.of(private))


def test_a_rotation_by_another_process_is_noticed_at_the_next_token(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path)
    before = kid(keys)
    Keys.of(tmp_path).rotate()
    assert kid(keys) not in (before, None)
    assert kid(keys) == kid(Keys.of(tmp_path))


def test_a_new_root_signs_from_the_next_rotation_on(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path)
    before = kid(keys)
    (old,) = roots(keys)
    keys.rotate_root()
    assert roots(keys)[0] == old and len(roots(keys)) == 2
    assert kid(keys) == before
    keys.rotate()
    leaf(keys).verify_directly_issued_by(roots(keys)[1])


def test_a_certificate_is_renewed_thirty_days_before_its_end(tmp_path: Path) -> None:
    clock = Clock()
    keys = Keys(tmp_path / "registry", clock)
    before = kid(keys)
    clock.now += 89 * DAY
    assert kid(keys) == before
    clock.now += 2 * DAY
    assert kid(keys) != before
    leaf(keys).verify_directly_issued_by(roots(keys)[0])


def test_where_none_can_be_made_the_old_certificate_serves_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    keys = Keys(tmp_path / "registry", clock)
    before = kid(keys)
    (keys.directory / "root.key").write_text("damaged")
    clock.now += 95 * DAY
    with caplog.at_level(logging.ERROR):
        assert kid(keys) == before
    assert "could not be renewed" in caplog.text


@pytest.mark.parametrize("lost", FILES)
def test_a_file_that_is_lost_is_made_again_and_no_root_is_forgotten(tmp_path: Path, lost: str) -> None:
    keys = Keys.of(tmp_path)
    keys.prepare()
    before = roots(keys)
    (keys.directory / lost).unlink()
    again = Keys.of(tmp_path)
    again.prepare()
    assert roots(again)[: len(before)] == before
    leaf(again).verify_directly_issued_by(roots(again)[-1])


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_an_error_that_names_its_file(tmp_path: Path, damage: bytes) -> None:
    keys = Keys.of(tmp_path)
    keys.prepare()
    (keys.directory / "signing.pem").write_bytes(damage)
    with pytest.raises(Unavailable, match=r"signing\.pem"):
        keys.mint("", [], "registry")


def test_faults_are_what_keeps_a_registry_from_taking_tokens(tmp_path: Path) -> None:
    keys, others = Keys(tmp_path / "keys"), Keys(tmp_path / "others")
    assert keys.faults() == []
    for made in (keys, others):
        made.prepare()
    keys.rotate_root()
    assert keys.faults() == []
    good = keys.bundle.read_bytes()
    keys.bundle.write_bytes(others.bundle.read_bytes())
    assert keys.faults() == ["no root in root.pem has signed the certificate of signing.pem"]
    keys.bundle.write_bytes(good)
    (keys.directory / "signing.pem").chmod(0o644)
    assert keys.faults() == ["signing.pem may be read by others (mode 644)"]
    (keys.directory / "signing.pem").write_bytes(b"-----BEGIN")
    assert "signing.pem is no key with its certificate" in keys.faults()[0]
    (keys.directory / "signing.pem").unlink()
    assert "signing.pem is no key with its certificate" in keys.faults()[0]
