"""A station whose page is up, and Chromium that looks at it: for tests of what a person sees and does."""

from __future__ import annotations

import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from birdwatchd.flow import Stop
from birdwatchd.records import State, new_visit_id
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import PageProcess
from birdwatchd.store import Store
from birdwatchd.testing import bird_image, example_moment, example_visit, temporary_store
from tests.support.peers import free_port, missing, wait_for
from tools.chromium import open_chromium, resize

PHONE = (390, 844)
DESK = (1200, 900)


def picture(species: str) -> bytes:
    written = io.BytesIO()
    bird_image(species).resize((240, 240)).save(written, "JPEG")
    return written.getvalue()


class Station:
    """A store whose page is up, and a browser that looks at it."""

    def __init__(self, store: Store, folder: Path, **web: Any) -> None:
        self.driver = _chromium(folder)  # first: where it is missing, nothing else has begun
        self.store, self.port = store, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = Config.model_validate(
            {"home": store.home, "cameras": {"nut": {"source": "/"}}, "web": {"bind": f"127.0.0.1:{self.port}", **web}}
        )
        self.stop, self.page = Stop(), PageProcess(self.config)
        self.thread = threading.Thread(target=self.page.run, args=(self.stop,), daemon=True)
        self.pictures = {name: picture(name) for name in ("Great tit", "House sparrow")}
        self.number = 0

    def bird(self, name: str, state: State = State.CONFIRMED, *, ago_s: float = 60.0) -> str:
        """A visit, written as the daemon writes it; its id."""
        now = datetime.now(UTC)
        start = now - timedelta(seconds=ago_s)
        self.number += 1
        visit = example_visit(new_visit_id(start, self.number), name, start=start)
        verdict = visit.verdict
        object.__setattr__(verdict, "state", state)
        moment = example_moment(jpeg=self.pictures[name])
        looks = np.random.default_rng(self.number).normal(size=moment.embedding.shape).astype(np.float32)
        self.store.writer().record(visit, [replace(moment, embedding=looks)], now)
        return visit.visit_id

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/species", timeout=10) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as refused:
            return refused.code == 401  # it asks for the password
        except OSError:
            return False

    def close(self) -> None:
        self.driver.quit()
        self.stop.set("the test is over")
        self.thread.join(10)

    # -- what a person does

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def find(self, css: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", css))

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    @contextmanager
    def fingers(self) -> Iterator[None]:
        """A phone: what is pressed is pressed with a finger."""
        self.resize(*PHONE)
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
            self.resize(*DESK)

    def tap(self, x: float, y: float) -> None:
        """With a finger, at a place of the window."""
        touch = {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def text(self, css: str) -> str:
        shown = "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText).join(' ')"
        return str(self.driver.execute_script(shown, css))  # in one step: parts of a page are replaced meanwhile

    def resize(self, width: int, height: int) -> None:
        resize(self.driver, width, height)

    def verdict(self, visit_id: str) -> tuple[State, str | None]:
        visit = self.store.visits.get(visit_id)
        assert visit is not None
        return visit.verdict.state, visit.verdict.common_name


def _chromium(folder: Path) -> Any:
    try:
        return open_chromium(folder / "chromium")
    except FileNotFoundError:
        missing("Chromium with its driver", "apt-get install chromium chromium-driver")


@contextmanager
def open_station(folder: Path, **web: Any) -> Iterator[Station]:
    """A station with its page and a browser, until the end.

    Args:
        web: keys of the configuration's `web`.
    """
    with temporary_store() as store:
        made = Station(store, folder, **web)
        try:
            made.thread.start()
            wait_for(made.answers, "the page to answer")
            made.resize(*DESK)
            yield made
        finally:
            made.close()


def assert_nothing_wrong(station: Station) -> None:
    """No error in the console, no breach of the policy, and nothing was asked of another host."""
    said = [one["message"] for one in station.driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
    assert [one for one in said if "ERR_INCOMPLETE_CHUNKED_ENCODING" not in one and "ERR_EMPTY" not in one] == []
    asked = set()
    for line in station.driver.get_log("performance"):
        event = json.loads(line["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            asked.add(event["params"]["request"]["url"])
    foreign = [url for url in asked if not url.startswith((station.url + "/", "data:", "chrome:", "about:"))]
    assert foreign == []
