"""The page as a person sees it: in a real browser, where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dash_process import PATIENCE, Dashboard

import conveyor

SIZES = [(390, 844), (1280, 800), (1920, 1080)]
HOSTILE = "<img src=x onerror=document.title='owned'>"


PROGRAM = """
import sys, threading
import conveyor
url, label = sys.argv[1:]
named, full, topic = conveyor.connect(url), conveyor.Queue(maxsize=1, label=label), conveyor.Topic(label="prices")
for _ in range(10):
    named.put(label)
full.put(1)
threading.Thread(target=full.put, args=(2,), daemon=True).start()
subscription = topic.subscribe()
executors = [conveyor.ProcessPoolExecutor(1, name="twice") for _ in range(2)]
assert [executor.submit(len, "two").result() for executor in executors] == [3, 3]
print("ready", flush=True)
sys.stdin.read()
for executor in executors:
    executor.shutdown()
named.close()
conveyor.remove(url)
"""


@pytest.fixture
def url() -> Iterator[str]:
    """Of a queue with ten items. There are a full one as well, at which somebody waits, and a topic."""
    url = f"shm://page-{os.getpid()}"
    command = [sys.executable, "-c", PROGRAM, url, HOSTILE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        yield url
        program.stdin.close()
        assert program.wait(PATIENCE) == 0


def until(browser: Any, found: Callable[[], Any], what: str) -> Any:
    """What is found, as soon as it is there."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE, 0.05, [StaleElementReferenceException]).until(
        lambda _: found(), what
    )


def text(browser: Any) -> str:
    """Headings stand alone on a line."""
    return str(
        browser.execute_script("return document.getElementById('main').innerText + document.body.innerText")
    )


def complaints(browser: Any) -> list[Any]:
    """What the browser's console has, and what axe finds wrong."""
    import axe_core_python

    source = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
    found: list[Any] = browser.execute_cdp_cmd("Runtime.evaluate", {"expression": source + ";0"}).get(
        "exceptionDetails", []
    )
    script = (
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((r) => "
        "done(r.violations.map((v) => [v.id, v.nodes.map((n) => n.html.slice(0, 150))])))"
    )
    return [*found, *browser.execute_async_script(script), *browser.get_log("browser")]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_view_can_be_read_at_every_size(
    dashboard: Callable[..., Dashboard], browser: Any, url: str, dark: bool
) -> None:
    running = dashboard("redis://127.0.0.1:1/0/nobody")
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(running.url)
    until(browser, lambda: "Overview of" in text(browser), "the overview")
    id_ = next(row["id"] for row in running.json("/api/queues") if row["url"])
    for view, said in (
        ("overview", "Queues under most pressure"),
        ("queues", HOSTILE),
        ("topics", "prices"),
        ("pipelines", "Pipelines\n"),
        ("failures", "Failures\n"),
        ("processes", "command"),
        ("brokers", "redis://127.0.0.1:1/0/nobody"),
        (f"queue/{id_}", "Items per second"),
    ):
        browser.execute_script("location.hash = arguments[0]", f"#/{view}")
        until(browser, lambda said=said: said in text(browser), f"{said} in {view}")
        for width, height in SIZES:
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
            )
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (
                view,
                width,
            )
        assert complaints(browser) == [], view
    assert browser.title.startswith("Queue ")


def test_a_person_peeks_and_purges(dashboard: Callable[..., Dashboard], browser: Any, url: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    running = dashboard()
    browser.get(running.url + "#/queues")
    name, queue = url, conveyor.connect(url, create=False)
    until(browser, lambda: name in text(browser), "the queue")
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    browser.switch_to.active_element.send_keys(name)
    until(browser, lambda: HOSTILE not in text(browser), "the filter")
    browser.find_element(By.LINK_TEXT, name).click()
    press = lambda act: until(  # noqa: E731
        browser, lambda: browser.find_elements(By.CSS_SELECTOR, f"[data-act={act}]"), act
    )[0].click()
    press("peek")
    until(browser, lambda: "The first 10 items" in text(browser), "the items")
    assert queue.qsize() == 10
    press("purge")
    until(browser, lambda: "10 items will be thrown away" in text(browser), "the question")
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert queue.qsize() == 10
    press("purge")
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "[data-yes]"), "the button")[0].click()
    until(browser, lambda: "10 items thrown away" in text(browser), "what was done")
    assert queue.qsize() == 0
    assert complaints(browser) == []
    assert browser.title != "owned"
    queue.close()


def test_who_may_only_read_peeks(dashboard: Callable[..., Dashboard], browser: Any, url: str) -> None:
    from selenium.webdriver.common.by import By

    running = dashboard("--read-only")
    browser.get(running.url + "#/queues")
    until(browser, lambda: browser.find_elements(By.LINK_TEXT, url), "the queue")[0].click()
    found = lambda act: browser.find_elements(By.CSS_SELECTOR, f"[data-act={act}]")  # noqa: E731
    until(browser, lambda: found("peek"), "the button")[0].click()
    until(browser, lambda: "The first 10 items" in text(browser), "the items")
    assert not [act for act in ("purge", "move", "retry") if found(act)]
    assert complaints(browser) == []
