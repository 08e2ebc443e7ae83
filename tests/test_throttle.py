"""Failed logins: who is slowed down by them, for how long, and who is not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catalogd.errors import TooManyAttempts, Unauthenticated, Unavailable
from catalogd.shared.turns import Mutex
from catalogd.throttle import Throttle, network_of

HERE, THERE = "192.0.2.1", "198.51.100.7"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["one process", "workers"])
def throttle(clock: Clock, request: pytest.FixtureRequest, tmp_path: Path) -> Throttle:
    return Throttle(clock, Mutex(tmp_path / "m") if request.param == "workers" else None)


def attempt(throttle: Throttle, user: str, address: str, error: Exception | None = None) -> int:
    """Seconds to wait; 0 if the attempt was looked at."""
    try:
        with throttle.attempt(user, address):
            if error is not None:
                raise error
    except TooManyAttempts as refused:
        return refused.retry_after
    except type(error or Unauthenticated("")):
        pass
    return 0


def fail(throttle: Throttle, user: str = "ann", address: str = HERE) -> int:
    return attempt(throttle, user, address, Unauthenticated("Wrong."))


def succeed(throttle: Throttle, user: str = "ann", address: str = HERE) -> int:
    return attempt(throttle, user, address)


def free_failures(throttle: Throttle, of: list[tuple[str, str]]) -> int:
    """How many attempts are looked at before the first that is not."""
    for number, (user, address) in enumerate(of):
        if fail(throttle, user, address):
            return number
    return len(of)


def test_after_five_failures_of_an_address_on_an_account_the_pause_doubles_up_to_half_a_minute(throttle, clock):
    assert [fail(throttle) for _ in range(5)] == [0] * 5
    pauses = []
    for _ in range(8):
        pauses.append(fail(throttle))
        clock.now += pauses[-1] - 0.5
        assert fail(throttle) == 1, "half a second is left, which is said as a whole one"
        clock.now += 0.5
        assert fail(throttle) == 0
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_an_attempt_that_is_refused_does_not_make_the_pause_longer(throttle, clock):
    for _ in range(5):
        fail(throttle)
    assert {fail(throttle) for _ in range(100)} == {1}
    clock.now += 1
    assert fail(throttle) == 0


def test_of_all_addresses_ten_failures_on_an_account_are_free(throttle):
    assert free_failures(throttle, [("ann", f"192.0.2.{number}") for number in range(30)]) == 10
    assert fail(throttle, "bob", "192.0.2.200") == 0


def test_of_one_address_twenty_failures_on_all_accounts_are_free(throttle):
    assert free_failures(throttle, [(f"user{number}", HERE) for number in range(30)]) == 20
    assert fail(throttle, "user99", THERE) == 0


def test_failures_are_forgotten_after_a_quarter_of_an_hour_without_any(throttle, clock):
    for _ in range(5):
        fail(throttle)
    clock.now += 900
    assert [fail(throttle), fail(throttle)] == [0, 2]
    clock.now += 901
    assert [fail(throttle) for _ in range(5)] == [0] * 5


def test_an_address_that_has_logged_in_is_not_held_up_by_others(throttle):
    assert succeed(throttle, "ann", THERE) == 0
    for number in range(50):
        fail(throttle, "ann", f"192.0.2.{number}")
    assert fail(throttle, "ann", "203.0.113.1") > 0
    assert succeed(throttle, "ann", THERE) == 0
    assert [fail(throttle, "ann", THERE) for _ in range(6)] == [0, 0, 0, 0, 0, 1], "its own failures do count"


def test_who_has_logged_in_to_one_account_is_not_known_for_another(throttle):
    succeed(throttle, "ann", THERE)
    for number in range(20):
        fail(throttle, "bob", f"192.0.2.{number}")
    assert succeed(throttle, "bob", THERE) > 0


def test_a_success_takes_nothing_from_what_others_have_failed(throttle, clock):
    for number in range(9):
        fail(throttle, "ann", f"192.0.2.{number}")
    assert succeed(throttle, "ann", THERE) == 0
    assert [fail(throttle, "ann", f"198.51.100.{number}") for number in range(100, 102)] == [0, 1]


def test_a_success_or_an_error_of_our_own_puts_off_nobody(throttle, clock):
    """Several users behind one address: the logins of one must not begin the pause of another anew."""
    succeed(throttle, "ann", HERE)
    for number in range(20):
        fail(throttle, f"user{number}", HERE)
    clock.now += 1
    assert succeed(throttle, "ann", HERE) == 0
    assert attempt(throttle, "ann", HERE, Unavailable("Too many at once.")) == 0
    assert fail(throttle, "ann", HERE) == 0
    assert fail(throttle, "ann", HERE) == 2


def test_an_error_of_our_own_is_no_failure(throttle):
    assert [attempt(throttle, "ann", HERE, Unavailable("Too many at once.")) for _ in range(50)] == [0] * 50
    assert fail(throttle) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_one_caller_is_an_address_of_ipv4_or_a_network_of_64_bits_of_ipv6(address, network):
    assert network_of(address) == network


def test_another_address_of_the_same_network_is_the_same_caller(throttle):
    assert free_failures(throttle, [("ann", f"2001:db8:1:2::{number:x}") for number in range(20)]) == 5
    assert fail(throttle, "ann", "2001:db8:1:3::1") == 0


def test_of_many_attempts_at_once_no_more_are_free(throttle):
    begin = threading.Barrier(50)

    def guess(_number: int) -> int:
        begin.wait()
        return fail(throttle)

    with ThreadPoolExecutor(50) as pool:
        waits = list(pool.map(guess, range(50)))
    assert waits.count(0) == 5


def test_attempts_that_are_still_being_checked_count(throttle):
    with throttle.attempt("ann", HERE), throttle.attempt("ann", HERE), throttle.attempt("ann", HERE):
        assert [fail(throttle), fail(throttle), fail(throttle)] == [0, 0, 1]


@pytest.mark.slow
def test_what_is_remembered_is_bounded(clock):
    throttle = Throttle(clock)
    for number in range(13_000):
        address = f"10.0.{number >> 8}.{number & 255}"
        fail(throttle, f"user{number}", address)
        succeed(throttle, f"other{number}", address)
    assert len(throttle._failures) <= 50_000
    assert len(throttle._known) <= 10_000


def test_who_has_to_wait_makes_nobody_forgotten_by_trying_many_names(throttle):
    for number in range(10):
        fail(throttle, "ann", f"192.0.2.{number}")
    for number in range(20):
        fail(throttle, f"user{number}", THERE)
    there = len(throttle._failures)
    for number in range(1000):
        assert fail(throttle, f"name{number}", THERE) > 0
    assert len(throttle._failures) == there
