"""Who may see the page: the password, sessions, and the lock-out of those who guess."""

from __future__ import annotations

from pathlib import Path

import pytest
from argon2.exceptions import VerificationError

from birdwatchd.errors import ConfigError
from birdwatchd.settings.web import WebSettings
from birdwatchd.web.access import login as login_module
from birdwatchd.web.access.login import SESSION_S, Login, hash_of
from birdwatchd.web.access.tries import FREE_TRIES, LONGEST_WAIT_S, MOST_PEERS, SHOWN_S

PASSWORD = "correct horse battery"
HASH = hash_of(PASSWORD)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Quick:
    """Argon2 without the tenth of a second that it is meant to take."""

    def verify(self, kept: str, given: str) -> bool:
        if given != PASSWORD:
            raise VerificationError
        return bool(kept)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def login(clock: Clock) -> Login:
    made = Login(HASH, clock)
    setattr(made, "_hasher", Quick())  # noqa: B010
    return made


def test_the_password_and_no_other_opens() -> None:
    """The real hash, once."""
    login = Login(HASH)
    assert login.enter("wrong", "a") is None
    session = login.enter(PASSWORD, "a")
    assert session is not None
    assert login.knows(session)
    assert not login.knows(session + "x")


def test_who_guesses_waits_longer_and_longer(login: Login, clock: Clock) -> None:
    """A machine that tries words all night gets a few hundred tries, not millions; others are not kept out by it."""
    for _ in range(FREE_TRIES):
        assert login.wait_s("10.0.0.1") == 0
        login.enter("wrong", "10.0.0.1")
    first_s = login.wait_s("10.0.0.1")
    assert first_s > 0
    assert login.enter(PASSWORD, "10.0.0.1") is None  # also the right one, while it has to wait
    assert login.enter(PASSWORD, "10.0.0.2") is not None
    for _ in range(30):
        clock.now_s += login.wait_s("10.0.0.1")
        login.enter("wrong", "10.0.0.1")
    assert first_s < login.wait_s("10.0.0.1") <= LONGEST_WAIT_S
    clock.now_s += LONGEST_WAIT_S
    assert login.enter(PASSWORD, "10.0.0.1") is not None
    assert login.wait_s("10.0.0.1") == 0


def test_a_network_of_guessers_is_one(login: Login) -> None:
    """In IPv6 anybody has more addresses than there are words; and who has many networks waits with all of them."""
    for number in range(FREE_TRIES):
        login.enter("wrong", f"2001:db8::{number}")
    assert login.wait_s("2001:db8::ffff") > 0
    assert login.wait_s("2001:db9::1") == 0
    for number in range(login_module.ACCOUNT_TRIES):
        login.enter("wrong", f"10.1.{number}.1")
    assert login.wait_s("10.9.9.9") > 0


def test_sessions_end(login: Login, clock: Clock) -> None:
    """A phone that was lost a month ago opens nothing; and sessions do not pile up."""
    session = login.enter(PASSWORD, "a") or ""
    clock.now_s += SESSION_S - 1
    assert login.knows(session)
    clock.now_s += SESSION_S + 1
    assert not login.knows(session)
    first = login.enter(PASSWORD, "a") or ""
    for _ in range(login_module.MOST_SESSIONS):
        login.enter(PASSWORD, "a")
    assert not login.knows(first)


def test_a_token_is_of_its_session(login: Login) -> None:
    """A form that somebody got with a session of their own does nothing in another's."""
    assert login.is_token("one", login.token("one"))
    assert not login.is_token("one", login.token("other"))
    assert not Login(HASH).is_token("one", login.token("one"))
    assert not login.is_token("one", "ü")


def test_a_password_file_holds_a_hash(tmp_path: Path) -> None:
    """A plain password in a file is seen by whoever sees a backup of it."""
    file = tmp_path / "web-password"
    settings = WebSettings(password_file=file)
    with pytest.raises(ConfigError, match="web-password"):
        Login.of(settings)
    file.write_text("my password\n")
    with pytest.raises(ConfigError, match=r"holds no argon2 hash.*--hash-password"):
        Login.of(settings)
    file.write_text(HASH + "\n")
    assert not Login.of(settings).is_open
    assert Login.of(WebSettings()).is_open
    with pytest.raises(ConfigError, match="too short"):
        hash_of("short")


def test_devices_with_ipv4_are_told_apart_on_a_socket_of_ipv6(login: Login) -> None:
    """At `[::]:8787` all of them share the first 64 bits: one that guessed would have locked out every other."""
    for _ in range(FREE_TRIES):
        login.enter("wrong", "::ffff:192.0.2.1")
    assert login.wait_s("192.0.2.1") > 0
    assert login.wait_s("::ffff:192.0.2.2") == 0


def test_a_wrong_password_is_said_with_its_sender(login: Login, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A tool that shuts such devices out reads it, and so do people; one that tries all night does not fill the log."""
    for _ in range(1000):
        login.enter("hunter2", "192.0.2.1")
        clock.now_s += 1
    lines = [record.getMessage() for record in caplog.records]
    assert set(lines) == {"the page: wrong password from 192.0.2.1"}
    assert FREE_TRIES <= len(lines) <= 12
    assert "hunter2" not in caplog.text


def test_a_program_with_an_old_token_does_not_keep_its_owner_out(login: Login, clock: Clock) -> None:
    """A forgotten script at the owner's address, or behind the same router, asks with a revoked token day and night."""
    for _ in range(200):
        login.refuse_token("192.0.2.1", "revoked")
        clock.now_s += 1
    assert login.wait_s("192.0.2.1") == login.tokens.wait_s("192.0.2.1") == 0
    for number in range(FREE_TRIES):
        login.refuse_token("192.0.2.1", f"guessed {number}")
    assert login.tokens.wait_s("192.0.2.1") > 0
    assert login.enter(PASSWORD, "192.0.2.1") is not None
    assert login.tokens.wait_s("192.0.2.1") > 0  # who knows the password knows no token


def test_what_was_wrong_is_shown_for_a_day(login: Login, clock: Clock) -> None:
    """Also after the right one: it may be the guesser's. Of a thousand devices the newest are kept."""
    login.enter("wrong", "192.0.2.1")
    clock.now_s += 60
    for _ in range(FREE_TRIES):
        login.enter("wrong", "2001:db8::1")
    login.enter(PASSWORD, "192.0.2.1")
    seen = login.passwords.seen()
    assert [(one.peer, one.number, one.age_s) for one in seen] == [
        ("2001:db8::/64", FREE_TRIES, 0),
        ("192.0.2.1", 1, 60),
    ]
    assert [one.wait_s > 0 for one in seen] == [True, False]
    clock.now_s += SHOWN_S - 30
    assert len(login.passwords.seen()) == 1
    for number in range(MOST_PEERS + 50):
        login.refuse_token(f"10.0.{number // 250}.{number % 250}", "x")
    assert len(login.tokens.seen()) == MOST_PEERS
