"""Celery tasks: each enters who acts, calls one function and returns. Rows carry the work; a task gets ids at most."""

from __future__ import annotations

from celery import shared_task

from audit.context import correlated, service
from integrations import alerts, demographics, health, mapping_mirror, outbox
from integrations.draining import drain
from integrations.ehr import (
    availability,
    checking,
    coverage,
    event_stream,
    history,
    inbox,
    load_requests,
    onward,
    poll,
    reconcile,
    reread,
    taking_over,
)
from integrations.messaging import catch_up, delivery
from integrations.sweep import sweep as sweep_once


@shared_task(name="integrations.tasks.sweep")
@service("worker: sweep")
def sweep() -> None:
    """Start whatever is due; every second."""
    sweep_once()


@shared_task(name="integrations.tasks.drain_inbox")
@service("worker: inbox")
def drain_inbox() -> None:
    """Interpret what the EHR sent, and offer the time it freed."""
    health.notice_missing_sweep()
    drain("inbox", inbox.due, onward.process)


@shared_task(name="integrations.tasks.drain_checks")
@service("worker: availability")
def drain_checks() -> None:
    """Take fresh looks at openings and send their waves."""
    drain("checks", availability.due, availability.look)


@shared_task(name="integrations.tasks.drain_writebacks")
@service("worker: outbox")
def drain_writebacks() -> None:
    """Write to the EHR what is due."""
    health.notice_missing_sweep()
    drain("writebacks", outbox.due, outbox.process)
    drain("writebacks", demographics.due, demographics.process)


@shared_task(name="integrations.tasks.drain_messages")
@service("worker: messages")
def drain_messages() -> None:
    """Hand due messages to their carriers, and alerts to staff."""
    drain("messages", delivery.due, delivery.send)
    drain("messages", alerts.due, alerts.send)


@shared_task(name="integrations.tasks.poll_connections")
@service("worker: polling")
def poll_connections() -> None:
    """Ask every EHR that is due what changed, and the carrier what patients sent while we were away."""
    with correlated():
        catch_up.fetch_missed()
    drain("polls", poll.poll_due, poll.poll)
    drain("polls", reread.due, reread.read_again)
    drain("polls", coverage.due, coverage.read)
    drain("polls", event_stream.due, event_stream.keep)
    drain("polls", checking.due, checking.recheck)
    drain("polls", reconcile.unplanned, reconcile.plan)


@shared_task(name="integrations.tasks.drain_loads")
@service("worker: loading")
def drain_loads() -> None:
    """Load whole connections, and read the past of some, as somebody asked for."""
    drain("loads", load_requests.due, load_requests.take_up)
    drain("loads", history.due, history.take_up)


@shared_task(name="integrations.tasks.apply_mappings")
@service("worker: mapping")
def apply_mappings() -> None:
    """Bring what is mirrored in line with codes whose meaning changed."""
    drain("mappings", mapping_mirror.due, mapping_mirror.apply)


@shared_task(name="integrations.tasks.drain_reconciles")
@service("worker: reconcile")
def drain_reconciles() -> None:
    """Compare calendars whose hour has come, and take over what staff chose."""
    drain("reconciles", taking_over.due, taking_over.work)
    drain("reconciles", reconcile.due, reconcile.take_up)


@shared_task(name="integrations.tasks.watch")
@service("worker: health")
def watch() -> None:
    """Look for silence, lateness and failure; every minute."""
    with correlated():
        health.watch()
