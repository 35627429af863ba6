"""The browser demo as a visitor sees it: from the command to a usable page, and from choosing a clip to the face.

python benchmarks/demo_browser.py [CLIP]

Debian's chromium runs on the same cores as the demo. "Usable" is the page with its example buttons in the browser; the
face counts when its picture has loaded.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

VISITS = 9
WATCH = """() => {
  window.faceAt = null;
  new MutationObserver(() => {
    const face = document.querySelector('img[alt^="The face drawn"]');
    if (!face || window.faceAt) return;
    if (face.complete) window.faceAt = performance.now();
    else face.onload = () => { window.faceAt = performance.now(); };
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""


def seconds_to_face(browser: Browser, url: str, clip: str) -> float:
    """Seconds from choosing a clip to the loaded picture of the face, in a page of its own."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(url)
    page.get_by_text("Ready. Checkpoint").wait_for(timeout=120_000)
    page.get_by_label("It is my own voice").check()
    page.wait_for_timeout(1000)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload a file").click()
    page.evaluate(WATCH)
    started = page.evaluate("performance.now()")
    chooser.value.set_files(clip)
    page.wait_for_function("window.faceAt !== null", polling=50)
    seconds = (page.evaluate("window.faceAt") - started) / 1000
    page.close()
    return seconds


def main() -> None:
    """Print the figures."""
    clip = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[1] / "examples" / "voice.wav")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        started = time.perf_counter()
        command = [shutil.which("s2f") or "s2f", "demo", "--port", "0"]
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert demo.stdout is not None, "no pipe"
            url = demo.stdout.readline().split()[2]
            page = browser.new_page()
            page.goto(url)
            page.get_by_role("button", name="Example: woman").wait_for()
            print(f"usable page after {time.perf_counter() - started:.1f} s", end="; ")
            page.get_by_text("Ready. Checkpoint").wait_for(timeout=120_000)
            print(f"it says that the model is ready after {time.perf_counter() - started:.1f} s")
            page.close()
            times = [seconds_to_face(browser, url, clip) for _ in range(VISITS)]
            print(
                f"clip to face in the browser, {VISITS} visits: median {statistics.median(times):.2f} s, "
                f"{min(times):.2f} to {max(times):.2f} s"
            )
        finally:
            demo.terminate()
            demo.wait(60)


if __name__ == "__main__":
    main()
