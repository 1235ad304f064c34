"""Clips played as a live camera: the stream has every frame of every clip, and each visit is told of its own clip."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import pytest

from benchmarks.real.clips import Clip
from benchmarks.real.live import LiveVisit, alone_section, compare, live_section, play, read_beginnings
from benchmarks.real.rtsp import INSTALL, PYTHON, join
from benchmarks.real.visits import Seen, read_model
from birdwatchd.records import Rank, State, Verdict
from birdwatchd.testing import drawn_scene, write_drawn_clip
from tests.support.peers import LONG, missing

DEMO = Path(__file__).parents[2] / "birdwatchd/species/weights/demo.safetensors"
TIT, NOTHING = (
    Verdict(State.CONFIRMED, Rank.SPECIES, "Great tit", "Parus major", 0.9, ()),
    Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.1, ()),
)


def test_joined_clips_have_all_frames_in_order(tmp_path: Path) -> None:
    """Times of visits are told by how long each clip lasts; a frame more or less would shift all after it."""
    for name, seconds in (("a.mp4", 2.0), ("b.mp4", 3.0)):
        write_drawn_clip(tmp_path / name, drawn_scene(3, seconds), seconds)
    lengths = join([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "joined.mp4")
    assert lengths == [2.0, 3.0]
    with av.open(str(tmp_path / "joined.mp4")) as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream)]
        rate = float(stream.average_rate or 0)
        codec = stream.codec_context.name
    assert codec == "h264"
    assert times == pytest.approx([number / rate for number in range(round(5.0 * rate))], abs=1e-3)


def test_whether_a_clip_begins_with_a_bird(tmp_path: Path) -> None:
    """The first sample decides, wherever it stands; an unclear one counts as a bird."""
    table = tmp_path / "presence.csv"
    table.write_text("file,frame,bird_visible\na,20,1\na,0,0\nb,0,1\nc,0,?\n")
    assert read_beginnings(table) == {"a": False, "b": True, "c": True}


def test_visits_count_where_their_best_pictures_were_taken() -> None:
    """A bird that seems to stay over a jump is in both clips, if pictures of both make its name."""
    tits = frozenset({"Parus major"})
    clips = [Clip(f"a/b:{name}", Path(name), True, tits) for name in "abc"]
    live = [
        LiveVisit(1.0, 4.0, NOTHING, (1.0, 3.0)),
        LiveVisit(8.0, 12.0, TIT, (9.0, 11.0)),
        LiveVisit(10.5, 21.0, NOTHING, (19.0,)),
    ]
    scanned = [Seen(Path("a"), TIT, None), Seen(Path("b"), TIT, None)]
    first, second, third = compare(clips, [10.0, 10.0, 5.0], live, scanned, {"a": False, "b": False})
    assert (first.begins_with_bird, first.scanned, first.live) == (False, (TIT,), (NOTHING, TIT))
    assert (second.live, second.at_jump, second.from_before) == ((TIT, NOTHING), 1, 1)
    assert (third.begins_with_bird, third.scanned, third.live) == (None, (), ())
    assert (first.at_jump, first.from_before, third.from_before) == (0, 0, 1)
    text = live_section([first, second, third])
    assert "| a/b:a | no | 1 | Parus major (1) | 2 | Parus major (1) | 0 | 0 |" in text
    assert "Clips that do not begin with a bird: 2. Live, 2 have a visit." in text
    assert "confirmed in 2 by the scan and in 2 live; 0 live visits" in text
    assert "The others: 1. Live, 0 have a visit." in text
    alone = alone_section([second])
    assert "| a/b:b | no | 1 | Parus major (1) | 2 | Parus major (1) |\n" in alone
    assert "Clips: 1. Live, 1 have a visit." in alone
    assert "At the 2 jumps 1 visits begin within a second, and 2 times one goes on." in text


@LONG
def test_a_drawn_clip_is_played_to_the_daemon(tmp_path: Path) -> None:
    """Real server, real daemon, real time: the drawn birds are seen at the times at which they were drawn."""
    probe = [PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"]
    if not Path(PYTHON).exists() or subprocess.run(probe, capture_output=True, check=False).returncode:
        missing("GStreamer's RTSP server", INSTALL)
    visits = write_drawn_clip(tmp_path / "a.mp4", drawn_scene(3, 16.0), 16.0)
    lengths = join([tmp_path / "a.mp4"], tmp_path / "joined.mp4")
    live = play(tmp_path / "joined.mp4", sum(lengths), read_model(DEMO), tmp_path)
    assert all(any(abs(one.start_s - visit.start_s) < 1.5 for one in live) for visit in visits)
