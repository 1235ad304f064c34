"""Show a picture in a terminal that can: kitty's graphics protocol, and iTerm2's inline images.

Both take the picture as base64 within an escape sequence. A terminal that understands neither is recognised by what it
says of itself in the environment, and gets nothing; within tmux and screen, which swallow the sequences, none does.
(https://sw.kovidgoyal.net/kitty/graphics-protocol/, https://iterm2.com/documentation-images.html)
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from PIL import Image

__all__ = ["Protocol", "picture_sequence", "protocol_of"]

ROWS = 12  # height of the picture in lines of the terminal
CHUNK = 4096  # letters of one of kitty's escape sequences, at most
_KITTY = ("xterm-kitty", "xterm-ghostty")
_ITERM = ("iTerm.app", "WezTerm", "mintty")


class Protocol(Enum):
    """How a terminal takes a picture."""

    KITTY = "kitty"
    ITERM = "iTerm2"


def protocol_of(environ: Mapping[str, str]) -> Protocol | None:
    """How the terminal with this environment takes a picture; None if it does not, or nobody knows."""
    if "TMUX" in environ or environ.get("TERM", "").startswith(("screen", "tmux")):
        return None
    if environ.get("TERM") in _KITTY or "KITTY_WINDOW_ID" in environ:
        return Protocol.KITTY
    if environ.get("TERM_PROGRAM") in _ITERM or environ.get("LC_TERMINAL") == "iTerm2":
        return Protocol.ITERM
    return None


def picture_sequence(path: Path, protocol: Protocol) -> str:
    """What to write to the terminal so that it shows a picture; empty if the file is no picture."""
    try:
        data = path.read_bytes()
        if protocol is Protocol.ITERM:
            options = f"inline=1;size={len(data)};height={ROWS};preserveAspectRatio=1"
            return f"\x1b]1337;File={options}:{base64.b64encode(data).decode()}\x07"
        png = io.BytesIO()  # kitty takes PNG only
        with Image.open(io.BytesIO(data)) as image:
            image.save(png, "PNG")
    except OSError:  # gone, or damaged
        return ""
    text = base64.b64encode(png.getvalue()).decode()
    parts = [text[i : i + CHUNK] for i in range(0, len(text), CHUNK)]
    heads = [f"a=T,f=100,r={ROWS},q=2,"] + [""] * (len(parts) - 1)
    more = [1] * (len(parts) - 1) + [0]
    return "".join(f"\x1b_G{head}m={m};{part}\x1b\\" for head, m, part in zip(heads, more, parts, strict=True))
