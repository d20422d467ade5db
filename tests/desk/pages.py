"""What a page says, as a person reads it."""

from __future__ import annotations

import html
import re
from typing import Any

from audit.models import AccessRecord

_HIDDEN = re.compile(r"<(script|style|svg|head)\b.*?</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


def text_of(response: Any) -> str:
    """Return the words of a page, spaces made one; asserts that there was a page."""
    assert response.status_code == 200, response.status_code
    return plain(response.content.decode())


def plain(markup: str) -> str:
    """Return markup as the words it shows."""
    return " ".join(html.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", markup))).split())


def said(client: Any, response: Any) -> str:
    """Follow the redirect after a POST and return the last thing the page there says on top."""
    assert response.status_code == 302, (response.status_code, response.content[:300])
    page = client.get(response.url).content.decode()
    found = re.search(r'<ul class="messagelist"[^>]*>(.*?)</ul>', page, re.DOTALL)
    return plain(found[1].split("<li")[-1].partition(">")[2]) if found else ""


def records(action: str, **fields: Any) -> list[tuple[str, str]]:
    """Return subject kind and id of the access records of an action, the oldest first."""
    rows = AccessRecord.objects.filter(action=action, **fields).order_by("pk")
    return list(rows.values_list("subject_kind", "subject_id"))
