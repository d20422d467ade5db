"""A burst wakes a worker once, and one topic's burst keeps no other topic waiting."""

from __future__ import annotations

import queue

import pytest

from scheduling import wake
from scheduling.wake import _Publisher

PATIENCE_SECONDS = 20


class Recording(_Publisher):
    """Publishes into a queue that a test reads."""

    def __init__(self) -> None:
        super().__init__()
        self.published: queue.Queue[str] = queue.Queue()

    def _publish(self, topic: str) -> None:
        self.published.put(topic)


def test_a_burst_is_published_once_and_another_topic_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "PAUSE_SECONDS", 3600)
    publisher = Recording()

    publisher.mark("inbox")
    assert publisher.published.get(timeout=PATIENCE_SECONDS) == "inbox"
    for _ in range(1000):
        publisher.mark("inbox")
    publisher.mark("checks")

    assert publisher.published.get(timeout=PATIENCE_SECONDS) == "checks"
    assert publisher.published.empty()


def test_what_was_marked_during_the_pause_is_published_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "PAUSE_SECONDS", 0.01)
    publisher = Recording()

    publisher.mark("inbox")
    assert publisher.published.get(timeout=PATIENCE_SECONDS) == "inbox"
    publisher.mark("inbox")

    assert publisher.published.get(timeout=PATIENCE_SECONDS) == "inbox"
    assert publisher.published.empty()
