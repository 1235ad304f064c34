"""The progress bar of the commands: everything passes through, and nothing of it is left on stdout."""

from __future__ import annotations

import pytest

from birdwatchd.commands.progress import progress_bar, track


@pytest.mark.parametrize("total", [3, None])
def test_every_item_comes_once(total: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar that swallowed a visit would leave it unnamed; output that is piped must stay clean."""
    assert list(track(iter("abc"), "visits", total)) == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_descriptions_are_not_markup() -> None:
    """A file may be called [bold] or [/]: it must be shown as it is, and not end the scan."""
    with progress_bar("files") as progress:
        progress.add_task("[/] [bold].mp4", total=1)
        with progress.console.capture() as capture:
            progress.console.print(progress.get_renderable())
    assert "[/] [bold].mp4" in capture.get()
    assert "files" in capture.get()
