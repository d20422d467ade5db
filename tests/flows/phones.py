"""Phones, each a process of its own that knows nothing of the product; so this imports nothing of it either."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

import requests

#: Seconds a phone waits for its answer.
PATIENCE = 60


def all_at_once(url: str, calls: Sequence[tuple[str, bytes, dict[str, str]]]) -> list[int]:
    """Make every call from a process of its own, all at the same moment; return the statuses."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(calls))
    results: Any = context.Queue()
    phones = [context.Process(target=_phone, args=(barrier, results, url, *call)) for call in calls]
    for phone in phones:
        phone.start()
    statuses = [results.get(timeout=PATIENCE) for _ in phones]
    for phone in phones:
        phone.join(PATIENCE)
    return statuses


def _phone(barrier: Any, results: Any, url: str, path: str, body: bytes, headers: dict[str, str]) -> None:
    barrier.wait(PATIENCE)
    response = requests.post(f"{url}{path}", data=body, headers=headers, timeout=PATIENCE, allow_redirects=False)
    results.put(response.status_code)
