"""Sync status: how the EHR connections and the carriers fare, what waits, and the switches of a connection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from audit.log import record
from audit.models import AccessRecord
from config.desk.lines import SystemLine, carrier_line, connection_line, worker_line
from config.desk.rights import require
from integrations import discovered, performance, switches
from integrations.ehr import freshness, pace, reconcile
from integrations.models import (
    AccessToken,
    CarrierState,
    Connection,
    Difference,
    InboundEvent,
    Reconciliation,
    RefusedCall,
)
from integrations.performance import Performance
from scheduling.counting import counted
from scheduling.models import PatientWrite, Writeback
from waitlist.models import Message
from waitlist.why_not_sent import say

WINDOW = timedelta(hours=24)
OPERATE = "integrations.operate_connection"
EVENTS_WAITING, EVENTS_FAILED = ("received", "processing"), ("dead", "quarantined")
#: What the machine works on, of whatever leaves us.
MOVING = ("waiting", "sending", "unknown")


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits in one queue; ``late`` is what should have gone a minute ago.

    ``dead`` failed at each try or could not be read. ``address`` is the list, for those who have ``permission``;
    ``live`` are the states that wait, ``failed`` those of dead letters, as it filters them.
    """

    label: str
    waiting: int
    late: int
    dead: int
    address: str
    permission: str
    live: str
    failed: str


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection with its last 24 hours."""

    row: Connection
    line: SystemLine
    performance: Performance
    unmapped: int
    waiting_events: int
    waiting_writes: int
    failed_events: int
    failed_writes: int
    token_until: datetime | None
    limit_used_percent: int | None
    as_of: datetime | None
    compared: Reconciliation | None
    differ: int
    paces: list[tuple[str, str]]


@require_safe
def status_view(request: HttpRequest) -> HttpResponse:
    """Show the whole page; everybody on the staff may look."""
    now = timezone.now()
    beat, queues = worker_line(now), depths(now)
    refused = RefusedCall.objects.filter(day__gte=(now - timedelta(days=7)).date()).order_by("-last_at")
    context = {
        **admin.site.each_context(request),
        "title": "Sync status",
        "subtitle": None,
        "connections": [_row(row, now) for row in Connection.objects.select_related("source").order_by("slug")],
        "carriers": [(carrier_line(row, now), say(row.last_error)) for row in CarrierState.objects.order_by("channel")],
        "worker": beat,
        "depths": [(depth, request.user.has_perm(depth.permission)) for depth in queues],
        "any_dead": any(depth.dead for depth in queues),
        "refused": [(row, row.reason.replace("_", " ")) for row in refused[:20]],
        "may_operate": request.user.has_perm(OPERATE),
    }
    return TemplateResponse(request, "admin/desk/status.html", context)


def _row(row: Connection, now: datetime) -> ConnectionRow:
    unmapped = discovered.unmapped(row).total()
    token = AccessToken.objects.filter(connection=row, expires_at__gt=now).first()
    events = InboundEvent.objects.filter(connection=row)
    writes = Writeback.objects.filter(source_id=row.source_id), PatientWrite.objects.filter(source_id=row.source_id)
    return ConnectionRow(
        row,
        connection_line(row, now),
        performance.of_connection(row.pk, now - WINDOW, now),
        unmapped,
        waiting_events=events.filter(status__in=EVENTS_WAITING).count(),
        waiting_writes=sum(each.filter(status__in=MOVING).count() for each in writes),
        failed_events=events.filter(status__in=EVENTS_FAILED).count(),
        failed_writes=sum(each.filter(status="dead").count() for each in writes),
        token_until=token.expires_at if token else None,
        limit_used_percent=pace.used_percent(row.pk, row.calls_per_minute),
        as_of=freshness.as_of(row),
        compared=Reconciliation.objects.filter(connection=row, ended_at__isnull=False).order_by("-pk").first(),
        differ=row.differences.filter(state__in=Difference.WAITING).count(),
        paces=_paces(row),
    )


def _paces(row: Connection) -> list[tuple[str, str]]:
    """Return how each kind of change is dealt with, in few words."""
    batch = counted(row.batch_minutes, "minute")
    words = {
        Connection.Pace.REAL_TIME: "as it arrives",
        Connection.Pace.BATCH: f"every {batch}",
        Connection.Pace.HYBRID: f"urgent as it arrives, the rest every {batch}",
    }
    read_too = "" if row.only_sends else f", and read every {batch}"
    people = {**words, Connection.Pace.HYBRID: f"as it arrives{read_too}"}
    kinds = (
        ("News of appointments", row.appointment_pace, words),
        ("News of patients", row.patient_pace, people),
        ("News of clinicians, places", row.directory_pace, people),
    )
    return [(name, said[Connection.Pace(chosen)]) for name, chosen, said in kinds]


def depths(now: datetime) -> list[Depth]:
    """Return how full each queue is: events to read, changes and patients' details to write, messages to send."""
    late = now - timedelta(minutes=1)
    queues: tuple[tuple[str, Any, tuple[str, ...], tuple[str, ...]], ...] = (
        ("Events to read", InboundEvent, EVENTS_WAITING, EVENTS_FAILED),
        ("Changes to write", Writeback, MOVING, ("dead",)),
        ("Patients’ details to write", PatientWrite, MOVING, ("dead",)),
        ("Messages to send", Message, MOVING, ("dead",)),
    )
    found = []
    for label, model, live, failed in queues:
        counts = model.objects.aggregate(
            waiting=Count("pk", filter=Q(status__in=live)),
            late=Count("pk", filter=Q(status__in=live, due_at__lte=late)),
            dead=Count("pk", filter=Q(status__in=failed)),
        )
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        permission = f"{model._meta.app_label}.view_{model._meta.model_name}"
        found.append(
            Depth(label, **counts, address=address, permission=permission, live=",".join(live), failed=",".join(failed))
        )
    return found


@require_POST
def step_view(request: HttpRequest, pk: int, step: str) -> HttpResponse:
    """Pause, resume or sync one connection."""
    require(request, OPERATE)
    row = Connection.objects.select_related("source").filter(pk=pk).first()
    if row is None or step not in _STEPS:
        raise Http404
    text, action = _STEPS[step](row, timezone.now())
    if action:
        record(action, subject=row)
        messages.success(request, text)
    else:
        messages.info(request, text)
    return HttpResponseRedirect(reverse("admin:desk_status"))


def _pause(row: Connection, now: datetime) -> tuple[str, str]:
    if not switches.pause(row):
        return f"Nothing changed: {row.source.name} is {row.get_state_display()}.", ""
    return f"{row.source.name} is paused: nothing is read or written. What arrives is kept.", AccessRecord.Action.PAUSE


def _resume(row: Connection, now: datetime) -> tuple[str, str]:
    if not switches.resume(row, now):
        return f"Nothing changed: {row.source.name} is {row.get_state_display()}.", ""
    if row.only_sends:
        return f"{row.source.name} goes on: what it sent meanwhile is dealt with now.", AccessRecord.Action.RESUME
    if row.loaded_at is None:
        says = f"{row.source.name} is active. It is read once its calendar is loaded: see Connect, step by step."
        return says, AccessRecord.Action.RESUME
    return f"{row.source.name} goes on. It is read at once, then what waits is written.", AccessRecord.Action.RESUME


def _sync(row: Connection, now: datetime) -> tuple[str, str]:
    if not switches.sync_now(row, now):
        return f"Nothing changed: {row.source.name} is {row.get_state_display()}. Resume it first.", ""
    if row.only_sends:
        return f"What {row.source.name} sent and waits is dealt with within seconds.", AccessRecord.Action.CALL
    return f"{row.source.name} is read within a few seconds.", AccessRecord.Action.CALL


def _compare(row: Connection, now: datetime) -> tuple[str, str]:
    if not reconcile.ask(row, now):
        return f"Nothing changed: {row.source.name} is {row.get_state_display()}, or was never loaded.", ""
    return (
        f"{row.source.name} is compared with our calendar now. What differs is listed for you.",
        AccessRecord.Action.CALL,
    )


_STEPS = {"pause": _pause, "resume": _resume, "sync": _sync, "compare": _compare}
