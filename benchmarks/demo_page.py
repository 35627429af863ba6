"""Pictures of the demo's page, from a running `s2f demo`, by Debian's chromium.

python benchmarks/demo_page.py URL OUT

Writes OUT/demo.png (the first example drawn, with two variants) and OUT/demo_guess.png (a question answered).
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH_PX, HEIGHT_PX = 1100, 900


def main() -> None:
    """Write the pictures."""
    url, out = sys.argv[1], Path(sys.argv[2])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(url)
        page.get_by_text("Ready. Checkpoint").wait_for()
        page.get_by_role("button", name="Variants").click()
        page.get_by_role("spinbutton", name=re.compile("How many")).fill("2")
        page.get_by_role("button", name="Example: woman").click()
        page.get_by_alt_text("variant 2").wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=out / "demo.png", full_page=True)
        page.get_by_role("tab", name="Guess").click()
        page.get_by_label("Face 1", exact=True).check()
        page.get_by_role("button", name="That one").click()
        page.get_by_text("So far: you").wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=out / "demo_guess.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
