"""The Sandbox page: the EHR's desk on the left, each patient's phone and mailbox on the right, the story below."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from config.desk import sandbox
from config.desk.rights import require
from config.desk.story import latest_steps
from scheduling.admin import viewing
from scheduling.admin.scope import fetch_or_404
from scheduling.models import ExternalId, Location, Patient, Provider
from waitlist import replies
from waitlist.models import Channel, Message, Reply

PERMISSION = "scheduling.change_opening"
MOST_BOXES = 24
MOST_IN_BOX = 30
SHOWN_FOR = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Word:
    """One message in a box."""

    at: datetime
    by_patient: bool
    subject: str
    text: str
    status: str
    language: str


@dataclass(slots=True)
class Box:
    """A phone or a mailbox with what is in it, oldest first; ``message_id`` names it when one answers."""

    address: str
    channel: str
    owners: list[str]
    words: list[Word]
    message_id: int
    latest: datetime


def _guard(request: HttpRequest) -> None:
    if not sandbox.is_there():
        raise Http404
    require(request, PERMISSION)


@require_safe
def page_view(request: HttpRequest) -> HttpResponse:
    """Show both sides."""
    _guard(request)
    context = {**admin.site.each_context(request), "title": "Sandbox", "subtitle": None}
    context["who_is_written_to"] = sandbox.who_is_written_to()
    return TemplateResponse(request, "admin/desk/sandbox.html", {**context, **_ehr(request), **_people(request)})


@require_safe
def ehr_view(request: HttpRequest) -> HttpResponse:
    """The left side and the story alone."""
    _guard(request)
    return TemplateResponse(request, "admin/desk/sandbox_ehr.html", _ehr(request))


@require_safe
def people_view(request: HttpRequest) -> HttpResponse:
    """The right side alone."""
    _guard(request)
    return TemplateResponse(request, "admin/desk/sandbox_people.html", _people(request))


def _ehr(request: HttpRequest) -> dict[str, Any]:
    wanted = request.GET.get("date", ""), request.GET.get("location", "")
    day, faults, problem = None, [], ""
    try:
        day, faults = sandbox.calendar(*wanted), sandbox.faults()
    except sandbox.SandboxAway as away:
        problem = str(away)
    providers: dict[str, str] = {}
    if day is not None:
        names = _names(ExternalId.Kind.PROVIDER, Provider)
        for line in day.lines:
            if line.provider_id:
                providers[line.provider_id] = names.get(line.provider_id, line.provider)
    now = timezone.now()
    lines = day.ahead(now) if day else []
    return {
        "story": latest_steps(60),
        "earlier": len(day.lines) - len(lines) if day else 0,
        "day": day,
        "zone": ZoneInfo(day.zone) if day else None,
        "lines": _named(lines),
        "providers": sorted(providers.items(), key=lambda each: each[1]),
        "locations": sorted(_names(ExternalId.Kind.LOCATION, Location).items(), key=lambda each: each[1]),
        "before": day.date - timedelta(days=1) if day else None,
        "after": day.date + timedelta(days=1) if day else None,
        "faults": faults,
        "problem": problem,
        "reasons": sandbox.REASONS,
        "fault_kinds": sandbox.FAULTS,
    }


def _names(kind: str, model: Any) -> dict[str, str]:
    ids = dict(ExternalId.objects.filter(kind=kind).values_list("value", "object_id"))
    rows = dict(model.objects.filter(pk__in=ids.values()).values_list("pk", "name"))
    return {value: rows[pk] for value, pk in ids.items() if pk in rows}


def _named(lines: list[sandbox.Line]) -> list[tuple[sandbox.Line, str, str]]:
    """Pair each line with the patient's and the provider's name, from the EHR or from our mirror of it."""
    wanted = [line.patient_id for line in lines if not line.patient]
    ids = dict(
        ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, value__in=wanted).values_list("value", "object_id")
    )
    people = {row.pk: row.full_name for row in Patient.objects.filter(pk__in=ids.values())}
    providers = _names(ExternalId.Kind.PROVIDER, Provider)
    return [
        (
            line,
            line.patient or people.get(ids.get(line.patient_id, 0), line.patient_id),
            providers.get(line.provider_id, line.provider),
        )
        for line in lines
    ]


def _people(request: HttpRequest) -> dict[str, Any]:
    return {"boxes": boxes(request), "sms": Channel.SMS}


def boxes(request: HttpRequest) -> list[Box]:
    """Return the phones and mailboxes that got something lately, the latest first."""
    since = timezone.now() - SHOWN_FOR
    rows = Message.objects.for_user(request.user).filter(created_at__gt=since).select_related("patient")
    found: dict[str, Box] = {}
    owners: list[Patient | None] = []
    for row in rows.order_by("-created_at")[: MOST_BOXES * MOST_IN_BOX]:
        box = found.get(row.address_index)
        if box is None:
            if len(found) == MOST_BOXES:
                continue
            box = found[row.address_index] = Box(row.address, row.channel, [], [], row.pk, row.created_at)
        if row.patient is not None and row.patient.full_name not in box.owners:
            box.owners.append(row.patient.full_name)
            owners.append(row.patient)
        at = row.sent_at or row.created_at
        box.words.append(Word(at, False, row.subject, row.body, row.get_status_display(), row.language))
    for reply in Reply.objects.for_user(request.user).filter(address_index__in=found, received_at__gt=since):
        note = reply.get_outcome_display()
        found[reply.address_index].words.append(Word(reply.received_at, True, "", reply.body, note, ""))
    for box in found.values():
        box.words.sort(key=lambda word: word.at)
        box.latest = box.words[-1].at
    viewing.record_listed(request.user, owners)
    return sorted(found.values(), key=lambda box: box.latest, reverse=True)


@require_POST
def step_view(request: HttpRequest, step: str) -> HttpResponse:
    """Do one thing as the EHR's desk."""
    _guard(request)
    form = request.POST
    try:
        if step == "cancel":
            said = sandbox.cancel(form["appointment"], form.get("reason", "pat"))
        elif step == "uncancel":
            said = sandbox.uncancel(form["appointment"])
        elif step == "out":
            said = sandbox.out_today(form["provider"], form.get("date", ""))
        elif step == "book":
            said = sandbox.book(_wish(form))
        elif step == "fault":
            said = sandbox.switch_on(form["kind"], max(1, min(int(form.get("count") or 1), 100)))
        elif step == "heal":
            said = sandbox.switch_off(str(int(form["number"])))
        else:
            raise Http404
        messages.success(request, said)
    except sandbox.SandboxAway as away:
        messages.error(request, str(away))
    except (KeyError, ValueError):
        messages.error(request, "Nothing was done: something in the form is missing or cannot be read.")
    return HttpResponseRedirect(_here(form))


def _wish(form: Any) -> dict[str, Any]:
    local = datetime.fromisoformat(f"{form['date']}T{form['time']}").replace(tzinfo=ZoneInfo(form["zone"]))
    return {
        "patient": form["patient"],
        "practitioner": form["provider"],
        "location": form["location"],
        "start": local.isoformat(),
        "minutes": int(form.get("minutes") or 30),
    }


def _here(form: Any) -> str:
    kept = {name: form[name] for name in ("date", "location") if form.get(name)}
    address = reverse("admin:desk_sandbox")
    return f"{address}?{urlencode(kept)}" if kept else address


@require_POST
def reply_view(request: HttpRequest) -> HttpResponse:
    """Answer as the patient: the text takes the way every inbound text takes."""
    _guard(request)
    message: Message = fetch_or_404(Message.objects.all(), request.user, request.POST.get("message", ""))
    replies.receive(message.channel, f"sandbox-{uuid.uuid4().hex}", message.address, request.POST.get("body", ""))
    messages.success(request, "The patient’s answer is in.")
    return HttpResponseRedirect(_here(request.POST))


VIEWS = (
    ("sandbox/", page_view, "desk_sandbox"),
    ("sandbox/ehr/", ehr_view, "desk_sandbox_ehr"),
    ("sandbox/people/", people_view, "desk_sandbox_people"),
    ("sandbox/reply/", reply_view, "desk_sandbox_reply"),
    ("sandbox/do/<slug:step>/", step_view, "desk_sandbox_step"),
)
