"""Working through due rows: one by one, shared between workers, for a bounded time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.db import DatabaseError

from integrations.outcomes import SomebodyElseHasIt
from scheduling.contention import is_deadlock
from scheduling.exceptions import IllegalTransition
from scheduling.wake import wake
from scheduling.worklist import ask_staff

logger = logging.getLogger(__name__)

#: Threads of one process that may wait for an EHR together. An EHR that hangs must leave room for everything else;
#: a process that runs one task at a time never gets near it.
AT_THE_EHR = threading.BoundedSemaphore(4)
EHR_TOPICS = frozenset({"inbox", "checks", "writebacks", "polls"})
#: A task ends after this long, so that other work has its turn and a worker can be stopped; what is left goes to the
#: back of the line. A patient's YES passes several tasks and must not wait for a thousand offers at each.
LONGEST_SECONDS = 2.0


def drain(topic: str, due: Callable[[], list[int]], work: Callable[[int], object]) -> int:
    """Call ``work`` with each id that ``due`` lists until it lists none that was not tried; return how many.

    Each row is claimed by ``work`` itself, so any number of workers can drain one topic together; when there is
    more than one row to do, another worker is called. A row whose work fails leaves the others alone. Where too many
    threads of this process wait for an EHR already, nothing is done: the next sweep calls again.
    """
    if topic not in EHR_TOPICS:
        return _drain(topic, due, work)
    if not AT_THE_EHR.acquire(blocking=False):
        return 0
    try:
        return _drain(topic, due, work)
    finally:
        AT_THE_EHR.release()


def _drain(topic: str, due: Callable[[], list[int]], work: Callable[[int], object]) -> int:
    stop_at = time.monotonic() + LONGEST_SECONDS
    tried: set[int] = set()
    done = 0
    has_called = False
    while time.monotonic() < stop_at:
        ids = [each for each in due() if each not in tried]
        if not ids:
            break
        if len(ids) > 1 and not has_called and topic in settings.WAKE_TASKS:
            # Once: were every worker to call at every look, others' work would stand in line behind the calls.
            has_called = True
            wake(topic)
        for row_id in ids:
            done += _work_on(topic, row_id, work)
            tried.add(row_id)
            if time.monotonic() >= stop_at:
                break
    return done


def _work_on(topic: str, row_id: int, work: Callable[[int], object]) -> bool:
    try:
        return bool(work(row_id))
    except (SomebodyElseHasIt, IllegalTransition) as error:
        logger.info("%s: row %s is another worker's by now: %s", topic, row_id, type(error).__name__)
    except Exception as error:
        if is_deadlock(error):
            logger.warning("%s: row %s gave way to another worker and is tried again", topic, row_id)
            return False
        # A fault of ours: the row's own lease and its counted tries bring it to rest, staff know, the rest goes on.
        logger.exception("%s: row %s failed: %s", topic, row_id, type(error).__name__)
        with suppress(DatabaseError):  # where the database is what fails, nothing can be told by it
            _tell_staff(topic)
    return False


def _tell_staff(topic: str) -> None:
    ask_staff(
        f"worker.{topic}",
        "The machine failed at some of its work in the background",
        advice="It is tried again, and everything else goes on. Tell whoever runs the system: the log says "
        f"“{topic}: row … failed” and by which error. Mark this as done once that is mended; else it comes back.",
        dedupe_key=f"worker.failed:{topic}",
    )
