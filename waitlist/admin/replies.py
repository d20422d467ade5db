"""What patients wrote, each with the thread it stands in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Case, Exists, OuterRef, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import WorkItem
from waitlist.admin import answers
from waitlist.models import Message, Offer, Reply, WrongPersonReport

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
    by: str = ""


def waiting(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return those of the replies that a person is asked to look at and nobody has dealt with."""
    asked = WorkItem.objects.filter(
        status=WorkItem.Status.OPEN, subject_kind=Reply._meta.label_lower, subject_id=OuterRef("pk")
    )
    return rows.filter(Exists(asked))


class WaitsFilter(admin.SimpleListFilter):
    title = "needs a person"
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("yes", "yes: urgent words first, then the longest waiting")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return waiting(queryset) if self.value() == "yes" else queryset


@admin.register(Reply)
class ReplyAdmin(ReadOnlyAdmin):
    patients_in = ("patient",)
    finds_patients = "patient"
    records_row = True
    empty_list_says = "No patient has written yet. Their answers to offers appear here."
    list_display = ("received", "patient_shown", "outcome_shown", "channel", "handled")
    list_display_links = ("received",)
    list_filter = (WaitsFilter, "outcome", "channel", ("location", ScopedRelatedFilter))
    list_select_related = ("patient", "location")
    ordering = ("-received_at",)
    change_form_template = "admin/waitlist/reply/change_form.html"
    fields = ("patient_shown", "address", "outcome_shown", "received", "handled")
    readonly_fields = ("patient_shown", "outcome_shown", "received", "handled")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.answer_view)
        return [path("<path:object_id>/answer/", view, name="waitlist_reply_answer"), *super().get_urls()]

    def answer_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer in a person's own words."""
        return answers.page(self, request, fetch_or_404(self.get_queryset(request), request.user, object_id))

    def get_ordering(self, request: HttpRequest) -> Any:
        if request.GET.get(WaitsFilter.parameter_name) == "yes":
            urgent_first = Case(When(outcome=Reply.Outcome.URGENT, then=Value(0)), default=Value(1))
            return (urgent_first, "received_at", "pk")
        return super().get_ordering(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")
        return rows.defer("body", "address") if is_list else rows

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        is_inbox = request.GET.get(WaitsFilter.parameter_name) == "yes" and len(request.GET) == 1
        more = {"empty_filter_says": "No patient waits for an answer from a person."} if is_inbox else {}
        return super().changelist_view(request, {**more, **(extra_context or {})})

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
            "wrong_person": WrongPersonReport.objects.for_user(request.user).filter(reply=row)
            if request.user.has_perm("waitlist.view_wrongpersonreport")
            else (),
            **answers.shown_on_reply(request, row),
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
        Said(row.sent_at or row.created_at, False, row.body, row.get_status_display(), row.language, row.written_by)
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
