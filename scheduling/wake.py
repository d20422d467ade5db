"""Wake-ups: they only shorten the wait, since a sweep finds every due row within seconds anyway.

A request must not wait for a broker that is slow, full or silent, and a burst of a thousand rows should start a worker
once, not a thousand times. So a wake-up only marks its topic; one background thread per process publishes what is
marked, at most every :data:`PAUSE_SECONDS` per topic, and a failure to publish is forgotten.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from celery import current_app
from django.conf import settings
from django.db import transaction

logger = logging.getLogger(__name__)

#: Shortest time between two publications of one topic by one process.
PAUSE_SECONDS = 0.02


class _Publisher:
    """Publishes marked topics from a thread of its own, started at the first mark of a process."""

    def __init__(self) -> None:
        self._marked: dict[str, None] = {}
        self._changed = threading.Condition()
        self._process_id = 0

    def mark(self, topic: str) -> None:
        with self._changed:
            self._marked[topic] = None
            if self._process_id != os.getpid():  # a fork leaves its parent's threads behind
                self._process_id = os.getpid()
                threading.Thread(target=self._run, name="wake", daemon=True).start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._marked:
                    self._changed.wait()
                topics = list(self._marked)
                self._marked.clear()
            for topic in topics:
                self._publish(topic)
            time.sleep(PAUSE_SECONDS)

    def _publish(self, topic: str) -> None:
        try:
            current_app.send_task(settings.WAKE_TASKS[topic], ignore_result=True, retry=False)
        except Exception as error:
            logger.warning("wake-up of %s not published: %s", topic, type(error).__name__)


_publisher = _Publisher()


def wake(topic: str) -> None:
    """Have the worker of ``topic`` look at its rows once the current transaction is committed.

    ``topic`` is a key of ``settings.WAKE_TASKS``. Never raises for a broker's sake and never blocks.
    """
    transaction.on_commit(lambda: _publisher.mark(topic), robust=True)
