"""Celery tasks of the waitlist."""

from __future__ import annotations

from celery import shared_task

from audit.context import service
from waitlist import attention, entries, rates


@shared_task(ignore_result=True)
@service("worker: waitlist")
def drain_attention() -> None:
    """Take up what fell due for the waitlist until nothing is left."""
    while attention.drain():
        pass


@shared_task(ignore_result=True)
@service("worker: waitlist")
def expire_entries() -> None:
    """Take entries off the list whose latest date is over."""
    while entries.expire():
        pass


@shared_task(ignore_result=True)
@service("worker: waitlist")
def count_acceptance() -> None:
    """Count what share of offers patients accept."""
    rates.recount()
