"""Celery's way into the audit trail."""

from celery import shared_task

from audit.context import correlated, service
from audit.seal import seal_committed


@shared_task(name="audit.tasks.seal")
def seal() -> None:
    with service("worker: audit"), correlated():
        seal_committed()
