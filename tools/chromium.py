"""Drive Debian's Chromium, for tests of the page and for pictures of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

__all__ = ["open_chromium", "resize"]

FLAGS = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "hide-scrollbars",
)


def open_chromium(folder: Path) -> Any:
    """A browser without a window, as Selenium's driver; `quit` ends it. It logs its console and every request.

    Args:
        folder: an empty one, for its profile.

    Raises:
        FileNotFoundError: Chromium or its driver is not installed.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        raise FileNotFoundError("Chromium with its driver is missing; apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"user-data-dir={folder}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def resize(driver: Any, width: int, height: int) -> None:
    """Show pages as a screen of this size does; below 600 pixels as a phone."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
