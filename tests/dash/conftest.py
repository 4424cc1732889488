"""A real dashboard, in a process of its own, and a real browser where there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from dash_process import PATIENCE, Dashboard


@pytest.fixture
def dashboard() -> Iterator[Callable[..., Dashboard]]:
    """Starts one; all are ended with the test."""
    with ExitStack() as started:

        def start(*words: str, port: int = 0) -> Dashboard:
            made = Dashboard(*words, port=port)
            started.callback(made.end)
            return made

        yield start


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """The same for all tests of a file, but nothing is left in it."""
    yield chromium
    chromium.get("about:blank")
    chromium.get_log("browser")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, without a screen."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver, log_output=os.devnull)
    made = webdriver.Chrome(options, service)
    made.set_page_load_timeout(PATIENCE)
    made.set_script_timeout(PATIENCE)
    try:
        yield made
    finally:
        made.quit()
