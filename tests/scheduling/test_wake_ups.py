"""A burst wakes a worker once, one topic's burst keeps no other waiting, and what is in hand calls nobody."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction

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


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[str]:
    """A broker that refuses everything; the names of the threads that turned to it."""
    threads: queue.Queue[str] = queue.Queue()

    def send_task(*_: Any, **__: Any) -> None:
        threads.put(threading.current_thread().name)
        raise ConnectionError

    monkeypatch.setattr(wake, "current_app", SimpleNamespace(send_task=send_task))
    monkeypatch.setattr(wake, "_publisher", _Publisher())
    return threads


@pytest.mark.django_db(transaction=True)
def test_whoever_commits_leaves_the_broker_to_a_thread_that_outlives_its_refusals(refused: queue.Queue[str]) -> None:
    for _ in range(3):
        wake.wake("inbox")
        assert refused.get(timeout=PATIENCE_SECONDS) == "wake"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    topics: list[str] = []
    monkeypatch.setattr(wake._publisher, "mark", topics.append)
    return topics


@pytest.mark.django_db(transaction=True)
def test_rows_in_hand_call_no_worker_and_all_others_do(published: list[str]) -> None:
    with wake.in_hand("attention", "checks") as woken:
        with transaction.atomic():
            wake.wake("attention", 7)
            wake.wake("messages", 8)
            wake.wake("attention")  # no row is named, so nobody here can see to it
            assert woken == {"attention": [], "checks": []}, "only what is committed is due"
        assert woken == {"attention": [7], "checks": []}
        woken["attention"].clear()
    assert published == ["messages", "attention"]
    wake.wake("attention", 7)
    assert published == ["messages", "attention", "attention"]


@pytest.mark.django_db(transaction=True)
def test_what_is_left_in_hand_calls_a_worker(published: list[str]) -> None:
    def fail() -> None:
        with wake.in_hand("attention", "checks"):
            wake.wake("checks", 7)
            wake.wake("checks", 8)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert published == ["checks"]
