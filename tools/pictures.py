"""Make the documentation's pictures from drawn scenes, with the real commands: `python -m tools.pictures [NAME ...]`.

`demo-table.svg` is the outcome of a run of `birdwatchd demo` in real time, so the machine must be idle otherwise; the
picture of the page is Chromium's (`apt-get install chromium chromium-driver`), of another such run. The
tune sheet and the heat map come from drawn clips by `birdwatchd tune`, `scan` and `why`, with the demo's model.
`tests/test_docs.py` holds that every picture is linked and small.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image
from rich.text import Text
from selenium.common.exceptions import WebDriverException

from birdwatchd.cli import run_cli
from birdwatchd.commands.terminal import err, out
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec, ScheduledVisit, schedule
from birdwatchd.demo.comparison import Comparison
from birdwatchd.demo.load import Load
from birdwatchd.demo.messages import Messages
from birdwatchd.demo.run import DemoSettings, run_demo
from birdwatchd.demo.summary import show_summary
from birdwatchd.records import State
from birdwatchd.settings.config import Config
from birdwatchd.settings.web import WebSettings
from birdwatchd.store import StoreReader
from tools.chromium import open_chromium, resize

__all__ = ["main"]

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
DEMO_S = 60.0
CAMERAS = 1
COLUMNS = 108  # characters a line of the demo's table
CLIP_S = 60.0
FONT_OF_OTHERS = re.compile(r" *@font-face \{.*?\}\n", re.DOTALL)  # whoever looks at it should ask no other host
FEEDER = SceneSpec(seed=7, width=960, height=540, fps=12.0)
SHEET_WIDTH = 1200  # pixels, of 1800: readable on a page, and below 300 kB
CLOSE = SceneSpec(seed=7, width=1920, height=1080, fps=12.0)
PAGE_CAMERAS, CARDS, PATIENCE_S = 2, 8, 240.0  # what the picture of the page waits for, seconds at most
PAGE_SIZE = (1180, 860)  # pixels
GREAT_TIT = ScheduledVisit("Great tit", 6.0, 11.0, perch=1, seed=3)


def main() -> int:
    """Make the pictures named on the command line, or all; 1 if a command failed."""
    parser = argparse.ArgumentParser(prog="tools.pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(MAKERS)} [default: all]")
    names = parser.parse_args().names or list(MAKERS)
    if unknown := [name for name in names if name not in MAKERS]:
        parser.error(f"no picture is called {unknown[0]}; there are {', '.join(MAKERS)}")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # no path of this machine in a picture
        return max(MAKERS[name](FOLDER / name) for name in names)


def _demo_table(target: Path) -> int:
    """The outcome of a demo as the terminal shows it."""

    def show(comparison: Comparison, messages: Messages, load: Load, config: Config) -> bool:
        out.width, out.record = COLUMNS, True
        out.print(Text(f"$ birdwatchd demo --seconds {DEMO_S:.0f} --cameras {CAMERAS}", style="bold"))
        kept = show_summary(comparison, messages, load, config.model_copy(update={"home": Path("birdwatchd-demo")}))
        out.record = False
        if not kept or load.is_slow:  # what a newcomer sees here should not be a machine that was busy
            err.print(f"{target.name} was not written: run this again on a machine with nothing else to do")
            return False
        target.write_text(out.export_svg(title="birdwatchd demo"), encoding="utf-8")
        return True

    return run_demo(DemoSettings(DEMO_S, Path("demo"), CAMERAS), show)


def _tune_sheet(target: Path) -> int:
    """What motion detection saw of a minute at a feeder."""
    write_clip("feeder.mp4", Scene(FEEDER, schedule(FEEDER.seed, CLIP_S)), 0.0, CLIP_S)
    status = run_cli(["tune", "feeder.mp4", "--min-bird", "40", "--out", "sheet.png"])
    if status == 0:
        with Image.open("sheet.png") as sheet:
            height = round(sheet.height * SHEET_WIDTH / sheet.width)
            small = sheet.convert("RGB").resize((SHEET_WIDTH, height), Image.Resampling.LANCZOS)
        small.save(target, quality=80)
    return status


def _heat_map(target: Path) -> int:
    """What led to the name of a great tit that comes close."""
    write_clip("close.mp4", Scene(CLOSE, (GREAT_TIT,)), 0.0, GREAT_TIT.end_s + 6.0)
    demo = ["--home", "home", "--model", "demo"]
    if status := run_cli(["scan", "close.mp4", *demo, "--min-bird", "80"]):
        return status
    with StoreReader.open_existing(Path("home")) as store:
        found = [visit for visit in store.visits.find() if visit.verdict.state is State.CONFIRMED]
        moments = [moment for visit in found for moment in store.visits.moments(visit.visit_id)]
    best = max(moments, key=lambda moment: moment.quality)
    chosen = ["--moment", str(best.idx), "--out", str(target)]
    return run_cli(["why", best.visit_id, *demo, *chosen])


def _page(target: Path) -> int:
    """The front of the page, in a browser, while a demo runs."""
    photographer = threading.Thread(target=_photograph, args=(WebSettings().local_url, target), daemon=True)
    target.unlink(missing_ok=True)
    photographer.start()
    run_demo(DemoSettings(DEMO_S, Path("demo"), PAGE_CAMERAS), lambda *outcome: True)
    photographer.join(PATIENCE_S)
    return 0 if target.exists() else 1


def _photograph(url: str, target: Path) -> None:
    """Wait until the page is full of birds, and keep what a browser shows of it."""
    driver = open_chromium(Path("chromium").absolute())
    resize(driver, *PAGE_SIZE)
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        with contextlib.suppress(WebDriverException):  # it is not up yet
            driver.get(url)
            drawn = "return [...document.querySelectorAll('.card img')].filter(one => one.naturalWidth).length"
            if int(driver.execute_script(drawn)) >= CARDS:
                with Image.open(io.BytesIO(driver.get_screenshot_as_png())) as picture:
                    picture.convert("RGB").save(target, quality=85)
                break
        time.sleep(1.0)
    driver.quit()


MAKERS = {
    "page-today.jpg": _page,
    "demo-table.svg": _demo_table,
    "tune-sheet.jpg": _tune_sheet,
    "heat-map.jpg": _heat_map,
}


if __name__ == "__main__":
    sys.exit(main())
