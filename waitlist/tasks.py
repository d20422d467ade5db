"""Celery tasks of the waitlist."""

from __future__ import annotations

from celery import shared_task

from audit.context import service
from waitlist import attention, entries, from_calendar, rates
from waitlist.importing import working


@shared_task(ignore_result=True)
@service("worker: waitlist")
def drain_attention() -> None:
    """Take up what fell due for the waitlist until nothing is left."""
    while attention.drain():
        pass


@shared_task(ignore_result=True)
@service("worker: waitlist")
def expire_entries() -> None:
    """Take entries off the list whose latest date is over, and delete imported files that were kept long enough."""
    while entries.expire():
        pass
    while working.forget_old():
        pass


@shared_task(ignore_result=True)
@service("worker: waitlist")
def follow_calendar() -> None:
    """Bring the list in line with the EHR's own waitlist, and with the bookings that seek an earlier time."""
    from_calendar.follow()


@shared_task(ignore_result=True)
@service("worker: imports")
def drain_imports() -> None:
    """Check and add the lists that staff uploaded."""
    while working.drain():
        pass


@shared_task(ignore_result=True)
@service("worker: waitlist")
def count_acceptance() -> None:
    """Count what share of offers patients accept."""
    rates.recount()
