"""Take the picture of the playground that the docs show.

    python tools/screenshot_playground.py URL OUT.png [--dark]

URL is a running server, for example http://127.0.0.1:8012. With the stub instead of a model:
    python -m tests.e2e.stub_server 8013
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

WIDTH, HEIGHT = 1200, 720
WAIT_MS = 60_000


def take(url: str, out: Path, *, is_dark: bool) -> None:
    """Open the first example, accept one word of its ghost text and save what is seen."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        sys.exit(
            "No Chromium: set CHROMIUM=/path, or install it (Debian: apt-get install chromium)."
        )
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme="dark" if is_dark else "light",
        )
        page.goto(url)
        page.locator("#examples").select_option(index=1)
        expect(page.locator(".cm-ghost-text")).to_be_visible(timeout=WAIT_MS)
        page.keyboard.press("Control+ArrowRight")
        expect(page.locator(".cm-ghost-text")).to_be_visible(timeout=WAIT_MS)
        expect(page.locator("#model")).not_to_have_text("")
        expect(page.locator("#state")).to_have_text("idle")
        page.screenshot(path=out, animations="disabled", caret="initial")
        browser.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Take the picture of the playground.")
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--dark", action="store_true", help="with the dark theme")
    arguments = parser.parse_args()
    take(arguments.url, arguments.out, is_dark=arguments.dark)


if __name__ == "__main__":
    main()
