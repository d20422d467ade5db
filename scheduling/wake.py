"""Wake-ups: they only shorten the wait, since a sweep finds every due row within seconds anyway.

A request must not wait for a broker that is slow, full or silent, and a burst of a thousand rows should start a worker
once, not a thousand times. So a wake-up only marks its topic; one background thread per process publishes what is
marked, each topic at once and then at most every :data:`PAUSE_SECONDS`, and a failure to publish is forgotten.

A worker that sees to the rows it woke by itself (:func:`in_hand`) calls nobody.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from celery import current_app
from django.conf import settings
from django.db import transaction

logger = logging.getLogger(__name__)

#: Shortest time between two publications of one topic by one process. A worker that was woken goes on until nothing
#: is due, so of a burst only what comes just after that waits for so long.
PAUSE_SECONDS = 0.05


class _Publisher:
    """Publishes marked topics from a thread of its own, started at the first mark of a process."""

    def __init__(self) -> None:
        self._marked: dict[str, None] = {}
        self._changed = threading.Condition()
        self._process_id = 0

    def mark(self, topic: str) -> None:
        with self._changed:
            if topic in self._marked and self._process_id == os.getpid():
                return  # of a burst only the first mark wakes the thread
            self._marked[topic] = None
            if self._process_id != os.getpid():  # a fork leaves its parent's threads behind
                self._process_id = os.getpid()
                threading.Thread(target=self._run, name="wake", daemon=True).start()
            self._changed.notify()

    def _run(self) -> None:
        published_at: dict[str, float] = {}
        while True:
            for topic in self._next(published_at):
                published_at[topic] = time.monotonic()
                self._publish(topic)

    def _next(self, published_at: dict[str, float]) -> list[str]:
        """Wait for marked topics that did not have their publication just now, unmark and return them."""
        with self._changed:
            while True:
                now = time.monotonic()
                waits = {topic: published_at.get(topic, -math.inf) + PAUSE_SECONDS - now for topic in self._marked}
                due = [topic for topic, seconds in waits.items() if seconds <= 0]
                if due:
                    for topic in due:
                        del self._marked[topic]
                    return due
                self._changed.wait(min(waits.values(), default=None))

    def _publish(self, topic: str) -> None:
        try:
            current_app.send_task(settings.WAKE_TASKS[topic], ignore_result=True, retry=False)
        except Exception as error:
            # Whatever a broker's client raises: the sweep finds the row within a second or two.
            logger.warning("wake-up of %s not published: %s", topic, type(error).__name__)


_publisher = _Publisher()

#: Per topic the rows woken so far: for whoever said that these topics are in hand.
Woken = dict[str, list[int]]
_in_hand: ContextVar[Woken | None] = ContextVar("wake_in_hand", default=None)


def wake(topic: str, row_id: int | None = None) -> None:
    """Have the worker of ``topic`` look at its rows once the current transaction is committed.

    ``topic`` is a key of ``settings.WAKE_TASKS``; ``row_id`` tells which row fell due, where that is known. Never
    raises for a broker's sake and never blocks.
    """
    transaction.on_commit(lambda: _call(topic, row_id), robust=True)


def _call(topic: str, row_id: int | None) -> None:
    woken = _in_hand.get()
    if woken is not None and row_id is not None and topic in woken:
        woken[topic].append(row_id)
    else:
        _publisher.mark(topic)


@contextmanager
def in_hand(*topics: str) -> Iterator[Woken]:
    """Collect the rows woken inside, instead of calling a worker who would only race with the caller.

    The caller takes out what it sees to; for what is left at the end a worker is called.
    """
    woken: Woken = {topic: [] for topic in topics}
    token = _in_hand.set(woken)
    try:
        yield woken
    finally:
        _in_hand.reset(token)
        for topic, rows in woken.items():
            if rows:
                wake(topic)
