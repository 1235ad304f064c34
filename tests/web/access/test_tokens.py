"""Tokens of programs: shown once, kept as a hash, read-only, in a header only, and no way to try many."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from birdwatchd.cli.main import run_cli
from birdwatchd.errors import ConfigError
from birdwatchd.testing import START, example_visit, temporary_store
from birdwatchd.web.access.login import Login
from birdwatchd.web.access.tokens import FILE_NAME, MOST, Tokens
from birdwatchd.web.access.tries import FREE_TRIES
from tests.support.page import Browser, browser

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(
    "correct horse"
)  # as it is kept, but made quickly
PATHS = ("/api/v1/visits", "/api/v1/visits.csv", "/api/v1/species", "/api/v1/cameras", "/api/v1/openapi.json")


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        store.writer().record(example_visit("v1"), [], START)
        yield store.home


def program(home: Path, *, guest: bool = False) -> Browser:
    return browser(home, login=Login(HASH), web={"password_file": home / "password", "guest": guest})


def test_a_program_with_a_token_reads_and_does_nothing_else(home: Path) -> None:
    """It is for a dashboard: what it has lost costs no review, and it sees no page, also not what guests see."""
    token, somebody = Tokens(home).make("dashboard", START), program(home, guest=True)
    bearer = {"authorization": f"Bearer {token}"}
    assert [path for path in PATHS if somebody.get(path, **bearer).status != 200] == []
    assert somebody.get("/api/v1/visits", authorization=f"bearer {token}").status == 200
    assert [somebody.get(path, **bearer).status for path in ("/health", "/review", "/looks", "/names")] == [303] * 4
    assert somebody.post("/visits/v1/review", {"verdict": "not_a_bird"}, **bearer).status == 401
    assert somebody.get("/api/v1/visits", method="POST", **bearer).status == 405
    assert [somebody.get(path).status for path in PATHS] == [401] * len(PATHS)


@pytest.mark.parametrize("name", ["token", "access_token", "bearer", "authorization", "api_key"])
def test_a_token_in_an_address_is_none(home: Path, name: str) -> None:
    """Addresses are kept in logs of proxies and in histories of browsers; nor is it a session, or a password."""
    token, somebody = Tokens(home).make("dashboard", START), program(home)
    assert somebody.get(f"/api/v1/visits?{name}={token}").status == 401
    assert somebody.get("/api/v1/visits", cookie=f"birdwatchd_session={token}").status == 401
    assert somebody.get("/api/v1/visits", authorization=f"Basic {token}").status == 401
    assert somebody.get("/api/v1/visits", authorization=token).status == 401
    assert somebody.post("/login", {"password": token}).status == 403


def test_a_token_that_is_taken_back_is_none_at_once(home: Path) -> None:
    """The page runs on meanwhile, and the others stay."""
    tokens, somebody = Tokens(home), program(home)
    first, second = tokens.make("first", START), tokens.make("second", START)
    assert somebody.get("/api/v1/visits", authorization=f"Bearer {first}").status == 200
    tokens.revoke("first")
    assert somebody.get("/api/v1/visits", authorization=f"Bearer {first}").status == 401
    assert somebody.get("/api/v1/visits", authorization=f"Bearer {second}").status == 200
    with pytest.raises(ConfigError, match="there is no token first; there are second"):
        tokens.revoke("first")


def test_what_is_kept_is_no_token(home: Path) -> None:
    """Who reads a backup of the home gets no token; and the file is nobody else's."""
    token = Tokens(home).make("dashboard", START)
    kept = home / FILE_NAME
    assert token not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    digest = kept.read_text().split(" ")[1]
    assert program(home).get("/api/v1/visits", authorization=f"Bearer {digest}").status == 401
    assert [(one.name, one.made_at) for one in Tokens(home).all()] == [("dashboard", "2026-05-01T06:30:00.000Z")]


def test_who_tries_tokens_waits_and_is_named(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As with passwords, and the right one is not answered either meanwhile; nobody else waits. No token is logged."""
    token, somebody = Tokens(home).make("dashboard", START), program(home)
    caplog.set_level(logging.INFO)
    wrong = "birdwatchd_guessed"
    for number in range(FREE_TRIES):
        answer = somebody.get("/api/v1/visits", authorization=f"Bearer {wrong}{number}")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = somebody.get("/api/v1/visits", authorization=f"Bearer {token}")
    assert (answer.status, answer.headers["retry-after"]) == (429, "30")
    somebody.peer = "192.0.2.7"
    assert somebody.get("/api/v1/visits", authorization=f"Bearer {token}").status == 200
    assert caplog.text.count("the page: wrong token from 127.0.0.1") == FREE_TRIES
    assert wrong not in caplog.text
    assert token not in caplog.text


def test_a_program_that_goes_on_with_a_revoked_token_keeps_nobody_out(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the owner, nor another program at the same address; and the log has one line of it, not one a second."""
    tokens, somebody = Tokens(home), program(home)
    revoked, token = tokens.make("old", START), tokens.make("dashboard", START)
    tokens.revoke("old")
    asked = [somebody.get("/api/v1/visits", authorization=f"Bearer {revoked}").status for _ in range(FREE_TRIES * 4)]
    assert set(asked) == {401}
    assert somebody.get("/api/v1/visits", authorization=f"Bearer {token}").status == 200
    assert somebody.post("/login", {"password": "correct horse"}).status == 303
    assert caplog.text.count("the page: wrong token") == 1


@pytest.mark.parametrize("text", ["x" * 200_000, "one word\n", "\xff", "name digest time more\n"])
def test_a_damaged_file_lets_nobody_in(home: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """And says so; the page itself goes on."""
    token = Tokens(home).make("dashboard", START)
    (home / FILE_NAME).write_bytes(text.encode("latin-1"))
    somebody = program(home)
    assert somebody.get("/api/v1/visits", authorization=f"Bearer {token}").status == 401
    assert "no token is accepted" in caplog.text
    assert somebody.get("/login").status == 200


@pytest.mark.parametrize("name", ["", "two words", "../x", "Ü", "a\nb", "x" * 65])
def test_a_name_is_one_word(home: Path, name: str) -> None:
    """It stands in a line of its own in the file."""
    with pytest.raises(ConfigError, match="a token cannot be called"):
        Tokens(home).make(name, START)


def test_tokens_have_names_of_their_own_and_an_end(home: Path) -> None:
    """`--revoke` must mean one of them."""
    tokens = Tokens(home)
    for number in range(MOST):
        tokens.make(f"t{number}", START)
    with pytest.raises(ConfigError, match="there is a token t1; take it back first"):
        tokens.make("t1", START)
    with pytest.raises(ConfigError, match="there are 100 tokens"):
        tokens.make("one-more", START)


def test_the_command_shows_a_token_once(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard output, so that it can be put where it belongs without being typed."""
    monkeypatch.chdir(tmp_path)
    Path("birdwatchd.yaml").write_text(f"home: {home}\nweb: {{password_file: {tmp_path}/password}}\n")
    assert run_cli(["web", "--token", "dashboard"]) == 0
    token = capsys.readouterr().out.strip()
    assert program(home).get("/api/v1/visits", authorization=f"Bearer {token}").status == 200
    assert run_cli(["web", "--tokens"]) == 0
    listed = capsys.readouterr()
    assert listed.out.startswith("dashboard 20")
    assert token not in listed.out + listed.err
    assert run_cli(["web", "--revoke", "dashboard"]) == 0
    assert program(home).get("/api/v1/visits", authorization=f"Bearer {token}").status == 401
    assert run_cli(["web", "--revoke", "dashboard"]) == 2
    Path("birdwatchd.yaml").write_text(f"home: {home}\n")
    assert run_cli(["web", "--token", "dashboard"]) == 2
    assert "the page has no password" in capsys.readouterr().err
