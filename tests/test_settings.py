"""Settings: where a value comes from, what is refused, and that the refusal says what would be right."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from catalogd.errors import BadSettings
from catalogd.settings import SETTINGS, Address, Settings, load


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "catalogd.toml"
        file.write_text(text)
        return file

    return write


def refusal(flags=None, environ=None, file=None) -> str:
    with pytest.raises(BadSettings) as caught:
        load(flags or {}, environ or {}, file)
    return caught.value.detail


def test_without_any_source_the_defaults_hold():
    settings = load({}, {}, None)
    assert settings == Settings()
    assert settings.catalog == Path("catalog")
    assert settings.listen == Address("127.0.0.1", 8080)
    assert (settings.threads, settings.max_body, settings.fold_packs) == (16, 8 * 1024 * 1024, 64)
    assert (settings.public_url, settings.state_url, settings.log_level) == ("", "", "info")
    assert (settings.index_interval, settings.watch_interval) == (0.5, 0.25)
    assert (settings.maintenance_interval, settings.lock_timeout) == (60.0, 10.0)


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(toml):
    file = toml("threads = 2\nfold_packs = 20\nlog_level = 'debug'\n")
    environ = {"CATALOGD_THREADS": "3", "CATALOGD_FOLD_PACKS": "30"}
    settings = load({"threads": 4}, environ, file)
    assert (settings.threads, settings.fold_packs, settings.log_level) == (4, 30, "debug")
    assert settings.max_body == Settings().max_body


def test_a_flag_that_was_not_given_does_not_count():
    assert load({"threads": None}, {"CATALOGD_THREADS": "3"}, None).threads == 3


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_help_and_a_default_that_its_own_cast_accepts(setting):
    assert setting.help and "\n" not in setting.help
    assert setting.cast(setting.default) == getattr(Settings(), setting.name)
    assert load({}, {setting.variable: setting.default}, None) == Settings()


def test_an_unknown_key_is_fatal_in_every_source_and_the_nearest_is_named(toml):
    assert "'thread' (flag). Did you mean threads?" in refusal(flags={"thread": 1})
    assert "CATALOGD_TREADS. Did you mean CATALOGD_THREADS?" in refusal(environ={"CATALOGD_TREADS": "1"})
    file = toml("max_bodi = 1\n")
    assert f"'max_bodi' (file {file}). Did you mean max_body?" in refusal(file=file)


def test_an_unknown_key_that_is_near_nothing_gets_the_list():
    detail = refusal(environ={"CATALOGD_XYZZY": "1"})
    assert all(setting.variable in detail for setting in SETTINGS)


def test_variables_of_others_and_of_the_tests_are_let_alone():
    environ = {"PATH": "/bin", "THREADS": "99", "CATALOGD_TEST_STRICT": "1", "CATALOGD_CONFIG": "x.toml"}
    assert load({}, environ, None) == Settings()


def test_a_refusal_names_the_key_its_source_and_what_would_be_right(toml):
    assert refusal(flags={"threads": "65"}) == (
        "The setting threads (flag --threads) must be a whole number from 1 to 64, not '65'."
    )
    assert "(environment variable CATALOGD_LOCK_TIMEOUT) must be a number of seconds from 0.1 to 600" in refusal(
        environ={"CATALOGD_LOCK_TIMEOUT": "soon"}
    )
    file = toml('log_level = "loud"\n')
    assert f"log_level (file {file}) must be one of debug, info, warning, error" in refusal(file=file)


def test_a_wrong_value_is_refused_even_where_a_flag_overrules_it():
    assert "CATALOGD_THREADS" in refusal(flags={"threads": 4}, environ={"CATALOGD_THREADS": "many"})


@pytest.mark.parametrize(
    ("written", "address", "again"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080), "127.0.0.1:8080"),
        ("localhost:0", ("localhost", 0), "localhost:0"),
        ("[::1]:65535", ("::1", 65535), "[::1]:65535"),
        ("[::]:80", ("::", 80), "[::]:80"),
    ],
)
def test_addresses_to_listen_on(written, address, again):
    listen = load({"listen": written}, {}, None).listen
    assert tuple(listen) == address
    assert str(listen) == again


@pytest.mark.parametrize(
    "listen",
    [
        "",
        ":8080",
        "8080",
        "host",
        "host:",
        "host:65536",
        "host:-1",
        "::1:80",
        "[::g]:80",
        "[1.2.3.4]:80",
        "a b:80",
        "host:80\n",
        "http://host:80",
        "host:٨٠",
        8080,
        True,
    ],
)
def test_what_is_no_address_is_refused(listen):
    assert "must be HOST:PORT or [IPV6]:PORT" in refusal(flags={"listen": listen})


@pytest.mark.parametrize("number", ["0", "65", "-1", "+5", "1.0", "1_0", " 5", "5\n", "٥", "", "9" * 50, True, 2.0, []])
def test_what_is_no_whole_number_within_bounds_is_refused(number):
    assert "must be a whole number from 1 to 64" in refusal(flags={"threads": number})


@pytest.mark.parametrize("number", ["0", "nan", "inf", "1e3", "-1", "", math.nan, math.inf, False, 10**400, "61"])
def test_what_is_no_number_of_seconds_within_bounds_is_refused(number):
    assert "must be a number of seconds from 0.01 to 60" in refusal(flags={"watch_interval": number})


def test_a_number_of_seconds_may_be_whole(toml):
    assert load({}, {"CATALOGD_LOCK_TIMEOUT": "5"}, toml("watch_interval = 1\n")).lock_timeout == 5.0


def test_the_public_url_loses_its_last_slash():
    assert load({"public_url": "https://c.example/x/"}, {}, None).public_url == "https://c.example/x"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a",
        "//a",
        "a.example",
        "https://",
        "https://a?x",
        "https://a#x",
        "https://u:p@a",
        "https://a:99999",
        "https://a b",
        "https://a\r\nX: 1",
        "javascript:alert(1)",
        'https://a">',
        5,
    ],
)
def test_what_is_no_public_url_is_refused(url):
    assert "must be empty or an http:// or https:// URL" in refusal(flags={"public_url": url})


@pytest.mark.parametrize("domain", ["", "-a.example", "a..b", "a b", "a.example>", "a\n", "x" * 64, 7])
def test_what_is_no_domain_for_e_mail_is_refused(domain):
    assert "must be a domain name" in refusal(flags={"email_domain": domain})


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("catalog", "", "the path of a directory"),
        ("catalog", "a\0b", "the path of a directory"),
        ("follow", "ext::sh -c true", "empty or a git repository"),
        ("sync_secret", "too short", "16 to 200 characters"),
        ("sync_secret", " begins with a space", "no space at either end"),
        ("registry_user", "ada:secret", "without a colon"),
        ("registry_password", "two\nlines", "text without control characters"),
        ("registry_service", "", "such as registry.example.org"),
        ("registry_service", "a\r\nb", "such as registry.example.org"),
        ("trusted_proxy", "proxy.example.org", "an IP address, such as 127.0.0.1"),
        ("trusted_proxy", 127, "an IP address, such as 127.0.0.1"),
        ("registry_create", "sometimes", "existing, always"),
    ],
)
def test_what_a_setting_cannot_be_is_refused_with_what_would_be_right(name, value, right):
    detail = refusal(flags={name: value})
    assert right in detail and detail.isprintable()
    assert name not in ("follow", "sync_secret", "registry_password") or value not in detail


def test_the_state_url_with_its_password_is_neither_in_a_refusal_nor_in_the_repr():
    assert "hunter2" not in refusal(environ={"CATALOGD_STATE_URL": "postgres//u:hunter2@h/d"})
    assert "hunter2" not in repr(load({"state_url": "postgresql://u:hunter2@h/d"}, {}, None))


def test_a_settings_file_that_is_missing_or_broken_is_fatal(tmp_path, toml):
    assert "cannot be read: No such file" in refusal(file=tmp_path / "none.toml")
    assert "cannot be read: Is a directory" in refusal(file=tmp_path)
    assert "is not TOML" in refusal(file=toml("threads = = 1"))
    assert "is not TOML" in refusal(file=toml("threads = " + "9" * 5000))
    assert "is not TOML" in refusal(file=toml("threads = " + "[" * 100_000))
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'log_level = "\xe9"')
    assert "is not TOML" in refusal(file=latin)


def test_a_refusal_stays_on_one_line_and_short_whatever_was_written(toml):
    for detail in (
        refusal(flags={"log_level": "x\n\x1b[31m" * 10_000}),
        refusal(file=toml("threads = 0x" + "f" * 5000)),
        refusal(file=toml("[threads]\na = 1")),
    ):
        assert detail.isprintable() and len(detail) < 400


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(AttributeError):
        Settings().threads = 5
