"""What patients wrote, each with the thread it stands in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import WorkItem
from waitlist.models import Message, Offer, Reply

MOST_IN_THREAD = 100
#: How an outcome looks; those not named look as everywhere.
TONES = {
    Reply.Outcome.URGENT: "danger",
    Reply.Outcome.WRONG_PERSON: "danger",
    Reply.Outcome.STAFF: "wait",
    Reply.Outcome.OPTED_OUT: "pause",
    Reply.Outcome.CLAIMED: "ok",
}


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a thread; ``by_patient`` tells the sides apart."""

    at: datetime
    by_patient: bool
    text: str
    note: str
    language: str = ""


@admin.register(Reply)
class ReplyAdmin(ReadOnlyAdmin):
    patients_in = ("patient",)
    finds_patients = "patient"
    records_row = True
    empty_list_says = "No patient has written yet. Their answers to offers appear here."
    list_display = ("received", "patient_shown", "outcome_shown", "channel", "handled")
    list_display_links = ("received",)
    list_filter = ("outcome", "channel", ("location", ScopedRelatedFilter))
    list_select_related = ("patient", "location")
    ordering = ("-received_at",)
    change_form_template = "admin/waitlist/reply/change_form.html"
    fields = ("patient_shown", "address", "outcome_shown", "received", "handled")
    readonly_fields = ("patient_shown", "outcome_shown", "received", "handled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")
        return rows.defer("body", "address") if is_list else rows

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row: Reply = fetch_or_404(self.get_queryset(request), request.user, object_id)
        more = {
            "title": "Reply",
            "subtitle": None,
            "thread": thread_of(row, request),
            "work": WorkItem.objects.for_user(request.user).filter(
                subject_kind=Reply._meta.label_lower, subject_id=row.pk, status=WorkItem.Status.OPEN
            ),
            "offer": Offer.objects.for_user(request.user).filter(pk=row.offer_id).first() if row.offer_id else None,
        }
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    @admin.display(description="Received", ordering="received_at")
    def received(self, row: Reply) -> str:
        return when(row.received_at, row.location.zone if row.location else None)

    @admin.display(description="Patient")
    def patient_shown(self, row: Reply) -> str:
        return patient_name(row.patient)

    @admin.display(description="Understood as", ordering="outcome")
    def outcome_shown(self, row: Reply) -> str:
        return state(row.outcome, row.get_outcome_display(), TONES.get(Reply.Outcome(row.outcome), ""))

    @admin.display(description="Read by the machine", ordering="handled_at")
    def handled(self, row: Reply) -> str:
        return when(row.handled_at)


def thread_of(reply: Reply, request: HttpRequest) -> list[Said]:
    """Return what was written to and from the reply's address, as far as the person may see it, oldest first."""
    ours = Message.objects.for_user(request.user).filter(address_index=reply.address_index)
    theirs = Reply.objects.for_user(request.user).filter(address_index=reply.address_index)
    said = [
        Said(row.sent_at or row.created_at, False, row.body, row.get_status_display(), row.language)
        for row in ours.order_by("-created_at")[:MOST_IN_THREAD]
    ]
    said += [
        Said(row.received_at, True, text_of_reply(row), row.get_outcome_display())
        for row in theirs.order_by("-received_at")[:MOST_IN_THREAD]
    ]
    return sorted(said, key=lambda each: each.at)


def text_of_reply(row: Reply) -> str:
    """Return what was written, with a word where there was none."""
    pictures = f" [{row.media_count} picture{'' if row.media_count == 1 else 's'}, not kept]" if row.media_count else ""
    return (row.body + pictures).strip() or "[empty message]"
