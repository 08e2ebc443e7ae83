"""The addresses of other git repositories."""

from __future__ import annotations

import pytest

from catalogd.giturl import Credentials, credentials, fault_in_url, is_path, origin, without_credentials


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/catalog.git", "https://user:catd_x@catalog.example.org/catalog.git",
        "https://[::1]:8443/catalog.git", "ssh://git@example.org:22/x.git", "git@github.com:acme/catalog.git",
        "git://example.org/x", "file:///srv/git/x.git", "/srv/git/x.git", "../x.git", "C/with:colon",
    ],
)  # fmt: skip
def test_urls_of_git_and_paths_are_let_in(url):
    assert fault_in_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "", None, 7, "-x", "--upload-pack=id", "ext::sh -c id", "fd::7", "a.b::c", "ftp://example.org/x",
        "http:///x", "https://-oProxyCommand=id/x", "ssh://-oProxyCommand=id/x", "-oProxyCommand=id:x",
        "user@-oProxyCommand=id:x", "http://host:port/x", "http://us:p/ass@host/x", "http://a/x\n", "javascript://x",
    ],
)  # fmt: skip
def test_whatever_could_run_a_program_or_is_no_address_is_not(url):
    assert fault_in_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:word@example.org:81/a@b", "https://example.org:81/a@b"),
        ("https://token@example.org/x", "https://example.org/x"),
        ("http://u:p@w@example.org/", "http://example.org/"),
        ("ssh://git:word@example.org/x", "ssh://git@example.org/x"),
        ("git@example.org:x", "git@example.org:x"),
        ("/a/b@c", "/a/b@c"),
    ],
)
def test_what_is_shown_has_no_secret(url, shown):
    assert without_credentials(url) == shown


def test_credentials_are_those_of_http_as_they_are_meant():
    assert credentials("https://a%40b:c%2Fd@example.org/x") == Credentials("a@b", "c/d")
    assert credentials("https://a@example.org/x") == Credentials("a", None)
    assert credentials("https://a:@example.org/x") == Credentials("a", "")
    assert credentials("https://example.org/a@b") is None
    assert credentials("ssh://a:b@example.org/x") is None


def test_credentials_are_good_for_one_host():
    assert origin("https://u:p@example.org:81/x/y") == "https://example.org:81"


def test_paths_are_told_from_hosts():
    assert is_path("/x") and is_path("x/y:z") and is_path("../x")
    assert not is_path("host:x") and not is_path("http://host/x")
