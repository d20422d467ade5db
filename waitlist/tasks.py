"""Celery tasks of the waitlist."""

from __future__ import annotations

from celery import shared_task

from audit.context import service
from waitlist import attention


@shared_task(ignore_result=True)
@service("worker: waitlist")
def drain_attention() -> None:
    """Take up what fell due for the waitlist until nothing is left."""
    while attention.drain():
        pass
