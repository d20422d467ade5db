"""Debian's Chromium against a live server of the test process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.waitlist.conftest import Scene, scene
from tests.waitlist.pages import nobody_has_guessed

__all__ = ["Scene", "nobody_has_guessed", "scene"]

Opener = Callable[..., Page]
WIDTHS = {390: 844, 768: 1024, 1280: 800}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each opens contexts of its own."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "these tests need Debian's chromium package"
    # Django takes the loop that drives the browser in this thread for one that serves requests.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def opened(chromium: Browser, live_server: Any) -> Iterator[Opener]:
    """Open a path of the site in a browser of its own, a phone without scripts unless told otherwise."""
    contexts = []

    def open_path(path: str, *, width: int = 390, scheme: str = "light", scripts: bool = False) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": WIDTHS.get(width, 844)},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
            has_touch=width < 768,
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{live_server.url}{path}")
        return page

    yield open_path
    for context in contexts:
        context.close()


def hold_still(page: Page) -> Page:
    """Keep a page that loads itself again from doing so while it is measured."""
    page.route("**/*", lambda route: route.abort())
    return page


def keep_picture(page: Page, name: str) -> None:
    """Keep a picture of the whole page where ``SCREENSHOTS`` names a directory to look at them in."""
    directory = os.environ.get("SCREENSHOTS")
    if directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(directory, f"{name}.png"), full_page=True)
