"""A patient's thread: what was written to them and what they wrote, in order, as far as the person may see it.

Merged records are one person with one thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from config.desk.rights import require
from scheduling import families
from scheduling.admin import viewing
from scheduling.admin.scope import fetch_or_404
from scheduling.models import ContactPoint, Patient, WorkItem
from waitlist.admin.answers import shown_on_reply
from waitlist.admin.replies import TONES, text_of_reply
from waitlist.models import Message, Reply

PER_PAGE = 50
RIGHTS = ("scheduling.view_patient", "waitlist.view_message", "waitlist.view_reply")


@dataclass(frozen=True, slots=True)
class Line:
    """One message. ``from_shared``: it came from a number of the patient's, and who wrote it is not known."""

    at: datetime
    by_patient: bool
    row: Any
    text: str
    tone: str
    from_shared: bool = False


@require_safe
def thread_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a page of the thread, the newest page first, each page from its oldest line down."""
    for right in RIGHTS:
        require(request, right)
    patient: Patient = fetch_or_404(Patient.objects.all(), request.user, pk)
    page = Paginator(_keys(request.user, patient), PER_PAGE).get_page(request.GET.get("page"))
    viewing.record_view(Patient.objects.filter(pk__in=families.all_records(patient)), reason="messages")
    context = {
        **admin.site.each_context(request),
        "title": "Thread",
        "subtitle": None,
        "patient": patient,
        "page": page,
        "lines": _lines(page),
        **_answer(request, page),
        "work": WorkItem.objects.for_user(request.user).filter(
            patient__in=families.all_records(patient), status=WorkItem.Status.OPEN, kind__startswith="reply."
        ),
    }
    return TemplateResponse(request, "admin/desk/thread.html", context)


def _answer(request: HttpRequest, page: Page[Any]) -> dict[str, Any]:
    """Return the form that answers what they wrote last; it stands on the newest page."""
    newest = next((pk for _, kind, pk in page if kind == "reply"), None) if page.number == 1 else None
    return shown_on_reply(request, Reply.objects.get(pk=newest)) if newest else {}


def _keys(user: AbstractBaseUser | AnonymousUser, patient: Patient) -> list[tuple[datetime, str, int]]:
    """Return time, kind and id of everything in the thread, the newest first; no words are read for it."""
    records = families.all_records(patient)
    numbers = ContactPoint.objects.filter(patient__in=records).order_by().values("address_index")
    to_all_at_the_number = Q(patient__isnull=True, test_by="", address_index__in=numbers)
    ours = Message.objects.for_user(user).filter(Q(patient__in=records) | to_all_at_the_number)
    ours = ours.annotate(at=Coalesce("sent_at", "created_at"))
    theirs = Reply.objects.for_user(user).filter(
        Q(patient__in=records) | Q(patient__isnull=True, address_index__in=numbers)
    )
    keys = [(at, "message", pk) for at, pk in ours.order_by().values_list("at", "pk")]
    keys += [(at, "reply", pk) for at, pk in theirs.order_by().values_list("received_at", "pk")]
    return sorted(keys, reverse=True)


def _lines(page: Page[Any]) -> list[Line]:
    keys = list(page)
    messages = Message.objects.in_bulk(_of("message", keys))
    replies = Reply.objects.in_bulk(_of("reply", keys))
    lines = []
    for at, kind, pk in reversed(keys):
        if kind == "message":
            row = messages[pk]
            lines.append(Line(at, False, row, row.body, "ok" if row.status == Message.Status.SENT else ""))
        else:
            reply = replies[pk]
            tone = TONES.get(Reply.Outcome(reply.outcome), "")
            lines.append(Line(at, True, reply, text_of_reply(reply), tone, from_shared=reply.patient_id is None))
    return lines


def _of(kind: str, keys: Iterable[tuple[datetime, str, int]]) -> list[int]:
    return [pk for _, each, pk in keys if each == kind]
