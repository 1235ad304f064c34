"""Pictures in terminals: only where the terminal says that it can, and whole."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from birdwatchd.commands.asking.picture import CHUNK, Protocol, picture_sequence, protocol_of
from tests.support.homes import picture


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, Protocol.KITTY),
        ({"TERM": "xterm-ghostty"}, Protocol.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Protocol.ITERM),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, Protocol.ITERM),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Protocol.ITERM),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, None),
        ({}, None),
    ],
)
def test_a_terminal_is_known_by_what_it_says(environ: dict[str, str], protocol: Protocol | None) -> None:
    """Any other one would show a screen full of letters."""
    assert protocol_of(environ) is protocol


def test_iterm_gets_the_file(tmp_path: Path) -> None:
    """As it is stored."""
    (tmp_path / "a.jpg").write_bytes(picture(1))
    head, _, body = picture_sequence(tmp_path / "a.jpg", Protocol.ITERM).partition(":")
    assert head == f"\x1b]1337;File=inline=1;size={len(picture(1))};height=12;preserveAspectRatio=1"
    assert body.endswith("\x07")
    assert base64.b64decode(body[:-1]) == picture(1)


def test_kitty_gets_a_png_in_pieces(tmp_path: Path) -> None:
    """It refuses longer ones, and other formats."""
    noise = Image.effect_noise((128, 96), 80)
    noise.save(tmp_path / "a.jpg")
    sequence = picture_sequence(tmp_path / "a.jpg", Protocol.KITTY)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sequence)
    assert "".join(f"\x1b_G{head};{body}\x1b\\" for head, body in pieces) == sequence
    assert len(pieces) > 1
    assert all(head.endswith("m=1") for head, _ in pieces[:-1])
    assert pieces[-1][0] == "m=0"
    assert pieces[0][0].startswith("a=T,f=100,")
    assert max(len(body) for _, body in pieces) == CHUNK
    with Image.open(io.BytesIO(base64.b64decode("".join(body for _, body in pieces)))) as shown:
        assert (shown.format, shown.size) == ("PNG", (128, 96))


def test_a_picture_that_is_gone_or_damaged_is_no_error(tmp_path: Path) -> None:
    """Its path is shown all the same."""
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    assert picture_sequence(tmp_path / "a.jpg", Protocol.KITTY) == ""
    assert picture_sequence(tmp_path / "b.jpg", Protocol.ITERM) == ""
