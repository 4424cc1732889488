"""What the dashboard takes: `python benchmarks/dashboard.py [SECONDS]`, ten minutes without an argument.

100 queues of 20 processes are shown to somebody who has the page open, every second. Its share of a processor and its
memory are printed ten times. Before that, where Debian's Chromium and selenium are: how long it takes from the
request until the page has its first content, and all that it has fetched.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from typing import Any

from rounds import Run
from watched import Served, many, processor_seconds, resident_bytes

PARTS = 10
LOADS = 9

# Of a page that is loaded: milliseconds until its first content, and the bytes of all that it fetched.
FIRST = """
const [paint] = performance.getEntriesByName("first-contentful-paint");
const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
return paint ? [paint.startTime, all.reduce((sum, each) => sum + each.transferSize, 0)] : null;
"""


def browser() -> Any:
    """Chromium without a screen; None: it is not here, or selenium is not."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        return None
    try:
        from selenium import webdriver
    except ImportError:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    return webdriver.Chrome(options, webdriver.ChromeService(driver))


def loaded(chromium: Any, url: str) -> tuple[float, int]:
    """Seconds until the first content of the page, and its bytes; nothing of it is kept from before."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Network.clearBrowserCache", {})
    chromium.get(url)
    while (found := chromium.execute_script(FIRST)) is None:
        time.sleep(0.01)
    return found[0] / 1e3, int(found[1])


def first_content(run: Run, url: str) -> None:
    """Judge how soon the page is there."""
    chromium = browser()
    if chromium is None:
        run.say(
            "first content is not measured: apt-get install chromium chromium-driver, pip install selenium"
        )
        return
    try:
        found = [loaded(chromium, url) for _ in range(LOADS)]
    finally:
        chromium.quit()
    seconds = sorted(each[0] for each in found)
    size = max(each[1] for each in found)
    middle, worst = statistics.median(seconds), seconds[-1]
    run.judge("first content", "< 1 s", f"{middle:.2f} s, worst {worst:.2f} s", middle < 1)
    run.judge("the page in all", "< 250 KB", f"{size / 1e3:.0f} KB", size < 250e3)


def main() -> None:
    """Print all of it; the status is 1 if a bar is missed."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    run = Run(rounds=1, quick=False, quiet=False)
    with many(), Served() as page:
        first_content(run, page.url)
        with page.streamed():
            time.sleep(3)  # its start is none of what is measured
            shares: list[float] = []
            sizes = [resident_bytes(page.pid)]
            for part in range(PARTS):
                begun, before = time.perf_counter(), processor_seconds(page.pid)
                time.sleep(seconds / PARTS)
                took = time.perf_counter() - begun
                shares.append((processor_seconds(page.pid) - before) / took)
                sizes.append(resident_bytes(page.pid))
                at = seconds * (part + 1) / PARTS
                run.say(f"  {at:5.0f} s  {shares[-1]:6.2%} of a processor  {sizes[-1] / 2**20:6.1f} MiB")
    share, worst = statistics.median(shares), max(shares)
    run.judge("100 queues, every second", "< 3 % of a core", f"{share:.2%}, worst {worst:.2%}", share < 0.03)
    run.judge("its memory", "< 80 MiB", f"{max(sizes) / 2**20:.1f} MiB", max(sizes) < 80 * 2**20)
    # In the first tenth its rings and the allocator's arenas fill.
    growth = sizes[-1] - sizes[1]
    run.judge("its growth after that", "< 1 MiB", f"{growth / 2**20:.2f} MiB", growth < 2**20)
    sys.exit(not all(bar.met for bar in run.bars))


if __name__ == "__main__":
    main()
