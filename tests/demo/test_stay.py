"""What `birdwatchd demo --stay` does at its end, in a terminal of its own."""

from __future__ import annotations

import os
import subprocess
import sys

STAY = """
import os
os.open(os.ttyname(0), os.O_RDWR)  # the terminal of this session from now on, whose keys are signals
from birdwatchd.demo.run import _stay
_stay("http://127.0.0.1:8787")
"""


def test_ctrl_c_ends_a_page_that_stays() -> None:
    """The address is said, it stays until the key is pressed, and that is no error: `make demo STAY=1` ends well."""
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", STAY],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    said = b""
    try:
        while b"Ctrl-C ends it" not in said:
            said += os.read(terminal, 4096)
        assert b"http://127.0.0.1:8787" in said
        assert process.poll() is None
        os.write(terminal, b"\x03")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
