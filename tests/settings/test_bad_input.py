"""Files that people make, and others break: each mistake is one line, soon, and without filling the memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.errors import ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import load_config, parse_config
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.species.names import read_names
from birdwatchd.species.verdict.ebird import read_bar_chart
from birdwatchd.text_file import NotText, read_text

SOON_S = 2.0 if sys.gettrace() is None else 20.0  # of processor time; tracing coverage takes four times as long
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SIZES = "\t".join(["10"] * 48)
SHARES = "\t".join(["0.5"] * 48)


def refused(text: str, **environ: str) -> str:
    """The one problem of a configuration."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "site.yaml", environ)
    (problem,) = caught.value.problems
    assert "\n" not in problem
    return problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "is nested too deeply"),
        ("cameras: " + "{a: " * 100 + "1" + "}" * 100, "is nested too deeply"),
        (LAUGHS, "holds too many values"),
        ("cameras: &a\n  garden: *a\n", "is nested too deeply"),
        ("station: {name: a\0b}", "is not valid YAML"),
        ("mqtt: {password: !secret broker}", "write ${NAME} here"),
        ("mqtt: !include broker.yaml", "birdwatchd has one file"),
        ("cameras: {a: {<<: 5, source: /dev/video0}}", "takes over keys from an *alias"),
    ],
)
def test_a_configuration_that_cannot_be_meant(text: str, said: str) -> None:
    """A billion laughs filled the memory, and an unclosed bracket ended in a traceback of a thousand lines."""
    begun = time.process_time()
    assert said in refused(text)
    assert time.process_time() - begun < SOON_S


def test_keys_of_an_anchor_are_merged_and_own_ones_win() -> None:
    """Many cameras of one kind are written once: it is YAML's own way."""
    text = """
cameras:
  one: &kind {source: "rtsp://a/1", min_bird: 20, max_fps: 5}
  two: {<<: *kind, source: "rtsp://a/2"}
  three: {source: "rtsp://a/3", <<: [{min_bird: 33}, *kind]}
"""
    cameras = parse_config(text, "site.yaml", {}).cameras
    assert [(c.source.location, c.min_bird, c.max_fps) for c in cameras.values()] == [
        ("rtsp://a/1", 20, 5),
        ("rtsp://a/2", 20, 5),
        ("rtsp://a/3", 33, 5),
    ]


@pytest.mark.parametrize("password", ["100%41", "a@b/c?d#e", "p:q", "ü ß"])
def test_a_password_from_the_environment_is_taken_as_it_is(password: str) -> None:
    """In an address % and @ mean something; whoever sets a variable writes the password, not an address."""
    text = 'cameras: {a: {source: "rtsp://${USER_NAME}:${PASSWORD}@${HOST}/main"}}'
    config = parse_config(text, "site.yaml", {"USER_NAME": "me", "PASSWORD": password, "HOST": "cam:554"})
    source = config.cameras["a"].source
    assert (source.username, source.password.reveal()) == ("me", password)
    assert source.location == "rtsp://cam:554/main"
    whole = parse_config("cameras: {a: {source: '${ADDRESS}'}}", "site.yaml", {"ADDRESS": "rtsp://u:a%41@h/x"})
    assert whole.cameras["a"].source.password.reveal() == "aA"


def write_chart(path: Path, name: str) -> None:
    path.write_text(f"Sample Size:\t{SIZES}\n{name}\t{SHARES}\n")


@pytest.mark.parametrize("name", [" " * 200_000 + "x", "(" * 100_000, "\u00a0(" * 50_000, "<em" * 50_000])
def test_a_bar_chart_with_a_name_without_end(tmp_path: Path, name: str) -> None:
    """A hundred thousand spaces took hours."""
    write_chart(tmp_path / "chart.txt", name)
    begun = time.process_time()
    with pytest.raises(ConfigError, match="begins with more than 500 letters"):
        read_bar_chart(tmp_path / "chart.txt")
    assert time.process_time() - begun < SOON_S


def read_password(path: Path) -> object:
    return MqttSettings(url="mqtt://h", username="u", password_file=path).read_password()


READERS: tuple[Callable[[Path], object], ...] = (load_config, read_names, read_bar_chart, read_password)


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """Nobody writes into it, and the start would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a file"):
        read(tmp_path / "pipe")


@pytest.mark.parametrize("read", READERS)
def test_a_file_of_gigabytes_is_not_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """A wrong path may lead to a recording."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(3_000_000_000)
    begun = time.process_time()
    with pytest.raises(ConfigError, match="is larger than"):
        read(tmp_path / "large")
    assert time.process_time() - begun < SOON_S


@pytest.mark.parametrize(
    ("data", "said"), [(b"\xff\xfe", "is not UTF-8 text"), (b"a\0b", "it holds NUL"), (b"x" * 11, "is larger than")]
)
def test_what_is_no_text_is_said(tmp_path: Path, data: bytes, said: str) -> None:
    """Each kind has its own remedy."""
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(NotText, match=said):
        read_text(tmp_path / "a", most_bytes=10)
    with pytest.raises(NotText, match="cannot be read"):
        read_text(tmp_path / "none", most_bytes=10)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfname: b")
    assert read_text(tmp_path / "a", most_bytes=100) == "name: b"


def test_what_is_wrong_is_quoted_in_part() -> None:
    """A key of ten thousand letters fills the journal, and a thousand wrong keys hide the one that matters."""
    (problem,) = problems_of(f"? {'x' * 10_000}\n: 1")
    assert len(problem) < 2500
    assert "x…" in problem
    many = problems_of("".join(f"key{number}: 1\n" for number in range(300)))
    assert len(many) == 51
    assert many[-1] == "site.yaml: and 250 more problems; mend these first"


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "site.yaml", {})
    return caught.value.problems


def test_the_columns_of_a_table_are_quoted_in_part(tmp_path: Path) -> None:
    """The wrong file may be a table of a thousand columns."""
    (tmp_path / "a").write_text("scientific_name," + ",".join(f"column{n}" for n in range(9999)))
    for language in ("", "Deutsch"):
        with pytest.raises(ConfigError) as caught:
            read_names(tmp_path / "a", language)
        assert len(str(caught.value)) < 2500


YAML_PARTS = st.sampled_from(
    [
        *("a", ":", " ", "\n", "- ", "[", "]", "{", "}", "&a ", "*a", "<<", "!secret ", "'", '"', "#", "|", "%", "~"),
        *("cameras:", "${X}", "rtsp://", "\t", "source: ", "1e9", "0o7", ".inf", "2020-13-41", "\x85", "\ufeff"),
        *("\U0001f426", ">-\n", "? "),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(YAML_PARTS, max_size=40).map("".join))
def test_any_text_is_a_configuration_or_a_line(text: str) -> None:
    """Whatever an editor or a template leaves in the file, nobody gets a traceback."""
    said: tuple[str, ...] = ()
    config = None
    try:
        config = parse_config(text, "site.yaml", {"X": "%"})
    except ConfigError as error:
        said = error.problems
    assert isinstance(config, Config) or said


TABLES = st.text(alphabet="a,;\t\"'\n Sample Size:0.5<em>()sp/", max_size=200).map(str.encode)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200) | TABLES)
def test_any_bytes_are_a_table_or_a_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """The tables come from other people's web pages."""
    path = tmp_path_factory.mktemp("tables") / "table"
    path.write_bytes(data)
    for read in (read_names, read_bar_chart):
        said, found = "", None
        try:
            found = read(path)
        except ConfigError as error:
            said = str(error)
        assert found or str(path) in said
