"""What axe-core finds wrong with a page, by the rules of WCAG 2.2 AA."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    """Return each broken rule with the elements that break it; empty is good. The page must allow scripts to run."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}, "preload": False}).response
    return [
        f"{each['id']}: {each['help']}: {', '.join(node['html'][:120] for node in each['nodes'])}"
        for each in found["violations"]
    ]
