"""Records that may be one person, side by side, and what became of those that are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from scheduling import comparing, local_patients, reviews
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.merging import MergeRefused
from scheduling.models import ExternalId, Patient, PatientMerge, PatientReview, WorkItem
from waitlist import closed_records
from waitlist.entries import LIVE
from waitlist.importing import reviewing
from waitlist.models import WaitlistEntry

State = PatientReview.State


@admin.register(PatientReview)
class PatientReviewAdmin(ReadOnlyAdmin):
    """``same``, ``different``, ``later``, ``undo`` and ``again`` are POSTs from the page; all rules are the verbs'."""

    patients_in = ("patient", "other")
    records_row = True
    list_title = "Patient reviews"
    empty_list_says = "No two records look like one person. Pairs that might be come here; nothing is merged by itself."
    list_display = ("asked", "state_shown", "patient_shown", "other_shown", "why")
    list_display_links = ("asked",)
    list_filter = ("state",)
    list_select_related = ("patient", "other")
    ordering = ("state", "-pk")
    change_form_template = "admin/scheduling/patientreview/change_form.html"

    def get_fieldsets(self, request: HttpRequest, obj: PatientReview | None = None) -> Any:
        """Both records are shown side by side, not field by field."""
        return ()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.step_view)
        own = path("<path:object_id>/do/<slug:step>/", view, name="scheduling_patientreview_do")
        return [own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")
        return rows.defer("described") if is_list else rows

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        review: PatientReview = fetch_or_404(self.get_queryset(request), request.user, object_id)
        merge = reviews.merge_of(review)
        is_ours = merge is not None and merge.told_by == PatientMerge.ToldBy.STAFF
        more = {
            "review": review,
            # A worker only passes on what the EHR said.
            "decided_by": "the EHR" if review.decided_by.startswith("worker:") else review.decided_by,
            "title": "Are these the same person?",
            "subtitle": None,
            "lines": [*comparing.lines(review), *_waiting(review)],
            "why": comparing.why(review.reasons),
            "is_undecided": review.state in reviews.UNDECIDED,
            "may_decide": self._may_decide(request),
            "both_in_ehr": _both_in_ehr(review),
            "keeps_other": _is_only_other_in_ehr(review),
            "merge": merge,
            "is_ours": is_ours,
            "take_over": _asked_to_take_over(request, merge),
            "row_went_on": reviewing.is_ours(review),
            "why_not_undone": closed_records.why_it_cannot_be_undone(merge) if merge is not None and is_ours else [],
        }
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def step_view(self, request: HttpRequest, object_id: str, step: str) -> HttpResponse:
        """Take the person's answer."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        review: PatientReview = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not self._may_decide(request):
            raise PermissionDenied
        steps: dict[str, Callable[[HttpRequest, PatientReview], str]] = {
            "same": _same,
            "different": _different,
            "later": _later,
            "undo": _undo,
            "again": _again,
        }
        if step not in steps:
            return HttpResponseRedirect(reverse("admin:scheduling_patientreview_change", args=[review.pk]))
        try:
            messages.success(request, steps[step](request, review))
        except MergeRefused as refused:
            messages.warning(request, f"Nothing changed. {refused}")
            return HttpResponseRedirect(reverse("admin:scheduling_patientreview_change", args=[review.pk]))
        if step in ("different", "later"):
            return HttpResponseRedirect(reverse("admin:scheduling_patientreview_changelist") + "?state__exact=open")
        return HttpResponseRedirect(reverse("admin:scheduling_patientreview_change", args=[review.pk]))

    def _may_decide(self, request: HttpRequest) -> bool:
        return request.user.has_perm("scheduling.change_patientreview")

    @admin.display(description="Asked", ordering="created_at")
    def asked(self, row: PatientReview) -> str:
        return when(row.created_at)

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: PatientReview) -> str:
        tones = {State.OPEN: "danger", State.LATER: "wait", State.SAME: "ok", State.DIFFERENT: "stop"}
        return state(row.state, row.get_state_display(), tones[State(row.state)])

    @admin.display(description="One record")
    def patient_shown(self, row: PatientReview) -> str:
        return patient_name(row.patient)

    @admin.display(description="The other")
    def other_shown(self, row: PatientReview) -> str:
        return patient_name(row.other) if row.other is not None else row.origin or "somebody described elsewhere"

    @admin.display(description="Why asked")
    def why(self, row: PatientReview) -> str:
        return comparing.why(row.reasons)


def _same(request: HttpRequest, review: PatientReview) -> str:
    with transaction.atomic():
        merge = reviews.same(review, keep=review.other if request.POST.get("keep") == "other" else None)
        if reviewing.is_ours(review):
            return reviewing.take_answer(review)
    if merge is None:
        return "Noted: the same person. What waited for this answer goes on within minutes."
    said = "Noted: the same person. The waitlist goes on with the record you kept; the other one is offered nothing."
    return f"{said} Merge the two in the EHR as well, where both still stand." if _both_in_ehr(review) else said


def _different(request: HttpRequest, review: PatientReview) -> str:
    with transaction.atomic():
        if not reviews.different(review):
            raise MergeRefused(reviews.DECIDED)
        if reviewing.is_ours(review):
            return reviewing.take_answer(review)
    return "Noted: two people. You are not asked about this pair again."


def _later(request: HttpRequest, review: PatientReview) -> str:
    if not reviews.later(review):
        raise MergeRefused("It was put off or decided already.")
    return f"You are asked again in {reviews.LATER.days} days."


def _undo(request: HttpRequest, review: PatientReview) -> str:
    merge = reviews.merge_of(review)
    if merge is None or merge.told_by != PatientMerge.ToldBy.STAFF:
        raise MergeRefused("There is no merge made here to undo. What was merged in the EHR is separated there.")
    why_not = closed_records.undo(merge)
    if why_not:
        raise MergeRefused(" ".join(why_not))
    reviews.take_back(review)
    return "Undone: two people. What was taken over has been given back."


def _again(request: HttpRequest, review: PatientReview) -> str:
    if reviewing.is_ours(review):
        raise MergeRefused("The row of the imported list went on with this answer. Look at it there.")
    if not reviews.ask_again(review):
        raise MergeRefused("It is asked again already, or the two are one record by now.")
    return "It needs an answer again. Nothing else has changed."


def _asked_to_take_over(request: HttpRequest, merge: PatientMerge | None) -> WorkItem | None:
    """Return what asks whether the entries of the record that was replaced go over."""
    if merge is None or not request.user.has_perm("scheduling.view_workitem"):
        return None
    rows = WorkItem.objects.for_user(request.user).filter(dedupe_key=closed_records.work_key(merge))
    asked: WorkItem | None = rows.filter(status=WorkItem.Status.OPEN).first()
    return asked


def _both_in_ehr(review: PatientReview) -> bool:
    if review.other_id is None:
        return False
    named = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id__in=(review.patient_id, review.other_id))
    return named.values("object_id").distinct().count() == 2


def _is_only_other_in_ehr(review: PatientReview) -> bool:
    """Whether the EHR knows the second record alone: it is the one that is kept up to date from there."""
    if review.other_id is None:
        return False
    return set(local_patients.in_ehr([review.patient_id, review.other_id])) == {review.other_id}


def _waiting(review: PatientReview) -> list[comparing.Line]:
    def waits(patient: Patient | None) -> tuple[str, ...]:
        rows = WaitlistEntry.objects.filter(patient=patient, status__in=LIVE).select_related("appointment_type")
        return tuple(row.appointment_type.name for row in rows) if patient is not None else ()

    left, right = waits(review.patient), waits(review.other)
    return [comparing.Line("Waits for", left, right, nothing="nothing")] if left or right else []


@admin.register(PatientMerge)
class PatientMergeAdmin(ReadOnlyAdmin):
    patients_in = ("kept", "retired")
    list_title = "Merged patient records"
    empty_list_says = "No patient record has been replaced by another one."
    list_display = ("merged", "state_shown", "retired_shown", "kept_shown", "told_by")
    list_display_links = ("merged",)
    list_filter = ("told_by",)
    list_select_related = ("kept", "retired")
    ordering = ("-pk",)
    fields = (
        "state_shown",
        "retired_shown",
        "kept_shown",
        "told_by",
        "by",
        "merged",
        "taken_over",
        "undone",
        "undone_by",
    )
    readonly_fields = ("state_shown", "retired_shown", "kept_shown", "merged", "taken_over", "undone")

    @admin.display(description="Merged", ordering="at")
    def merged(self, row: PatientMerge) -> str:
        return when(row.at)

    @admin.display(description="State")
    def state_shown(self, row: PatientMerge) -> str:
        return state("ok", "one record") if row.undone_at is None else state("no", "undone", "stop")

    @admin.display(description="Replaced")
    def retired_shown(self, row: PatientMerge) -> str:
        return patient_name(row.retired)

    @admin.display(description="Kept")
    def kept_shown(self, row: PatientMerge) -> str:
        return patient_name(row.kept)

    @admin.display(description="Entries taken over")
    def taken_over(self, row: PatientMerge) -> str:
        count = sum("entry" in each for each in row.moved)
        if not row.taken_over_at:
            return "none"
        return format_html("{} {}, {}", count, "entry" if count == 1 else "entries", when(row.taken_over_at))

    @admin.display(description="Undone")
    def undone(self, row: PatientMerge) -> str:
        return when(row.undone_at) if row.undone_at else "no"
