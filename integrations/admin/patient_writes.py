"""Corrected details of patients on their way to the EHR: both sides of a conflict, and what staff enter by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from integrations import demographics
from scheduling import corrections, patient_writes
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.comparing import language_name
from scheduling.models import PatientWrite

Status = PatientWrite.Status
TONES = {Status.CONFLICT: "danger", Status.DROPPED: "stop"}
OVERTAKEN = "Nothing changed: it was decided before, or it is under way."
CHANGED_THERE = "Nothing changed: the EHR has changed it again since you opened the page. Look at both sides once more."


@dataclass(frozen=True, slots=True)
class Line:
    """One corrected detail; ``ours`` is empty where it was removed, ``theirs`` where the EHR does not contradict it."""

    label: str
    was: str
    ours: str
    theirs: str


@admin.register(PatientWrite)
class PatientWriteAdmin(ReadOnlyAdmin):
    """``theirs``, ``ours``, ``again`` and ``give-up`` are POSTs from the page; all rules are the verbs'."""

    patients_in = ("patient",)
    list_title = "Patients’ details for the EHR"
    empty_list_says = (
        "Nobody was registered, and nothing corrected, that an EHR must be told. A patient’s page has “Correct contact "
        "details”."
    )
    list_display = ("asked", "what", "patient_shown", "status_shown", "source", "attempts", "due")
    list_display_links = ("asked",)
    list_filter = ("status", "kind", "source")
    list_select_related = ("patient", "source")
    ordering = ("-pk",)
    change_form_template = "admin/scheduling/patientwrite/change_form.html"
    fields = ("patient_shown", "source", "status_shown", "why", "attempts", "due", "asked", "requested_by", "finished")
    readonly_fields = ("patient_shown", "status_shown", "why", "due", "asked", "finished")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.step_view)
        own = path("<path:object_id>/do/<slug:step>/", view, name="scheduling_patientwrite_do")
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row: PatientWrite = fetch_or_404(self.get_queryset(request), request.user, object_id)
        more = {
            "title": self.what(row),
            "subtitle": None,
            "lines": lines(row),
            "mark": patient_writes.mark(row),
            "may_decide": request.user.has_perm("scheduling.change_patient"),
        }
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def step_view(self, request: HttpRequest, object_id: str, step: str) -> HttpResponse:
        """Do what the button says, once."""
        if request.method != "POST" or step not in _STEPS:
            return HttpResponseNotAllowed(["POST"])
        row: PatientWrite = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not request.user.has_perm("scheduling.change_patient"):
            raise PermissionDenied
        act, said = _STEPS[step]
        if step in _OF_TWO_SIDES and row.conflicts and request.POST.get("mark") != patient_writes.mark(row):
            messages.warning(request, CHANGED_THERE)
        elif act(row):
            messages.success(request, said)
        else:
            messages.warning(request, OVERTAKEN)
        return HttpResponseRedirect(reverse("admin:scheduling_patientwrite_change", args=[row.pk]))

    @admin.display(description="What", ordering="kind")
    def what(self, row: PatientWrite) -> str:
        registers = row.kind == PatientWrite.Kind.REGISTER
        return "Register in the EHR" if registers else "Corrected details for the EHR"

    @admin.display(description="Since", ordering="pk")
    def asked(self, row: PatientWrite) -> str:
        return when(row.created_at)

    @admin.display(description="Patient")
    def patient_shown(self, row: PatientWrite) -> str:
        return patient_name(row.patient)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: PatientWrite) -> str:
        return state(row.status, row.get_status_display(), TONES.get(Status(row.status), ""))

    @admin.display(description="Why")
    def why(self, row: PatientWrite) -> str:
        return _WHY.get(row.error_code, row.error_code) or "–"

    @admin.display(description="Next try", ordering="due_at")
    def due(self, row: PatientWrite) -> str:
        return when(row.due_at) if row.status in PatientWrite.MOVING else "–"

    @admin.display(description="Finished")
    def finished(self, row: PatientWrite) -> str:
        return when(row.finished_at)


_WHY = {
    "conflict": "the EHR says something else of the same",
    "found_in_ehr": "somebody in the EHR may be this patient",
    "unavailable": "the EHR does not answer",
    "throttled": "the EHR asks for patience",
    "login_refused": "the EHR does not let us in, or not to patients",
    "no_right": "we have no right to register patients there",
    "rejected": "the EHR refused it",
    "stale_version": "it changed in the EHR again and again",
    "outcome_unknown": "the EHR’s answer was lost",
    "worker_lost": "it was interrupted",
    "our_fault": "a fault of ours",
    "mismatch": "under our key the EHR has somebody else",
    "several_by_key": "the EHR has several records under our key",
    "not_found": "the EHR has no such patient any more",
    "unknown_reference": "the EHR’s name for the patient is not known here",
}


def lines(row: PatientWrite) -> list[Line]:
    """Return what was corrected, each beside what the EHR says otherwise."""
    found = []
    for each in corrections.read(row.wanted):
        say = language_name if each.detail == corrections.Detail.LANGUAGE else str
        theirs = ", ".join(map(say, row.conflicts.get(each.key, ())))
        found.append(Line(each.detail.label, say(each.old), say(each.new), theirs))
    return found


#: Steps that decide between two sides, and only between those that were looked at.
_OF_TWO_SIDES = ("theirs", "ours")
_STEPS: dict[str, tuple[Callable[[PatientWrite], bool], str]] = {
    "theirs": (demographics.take_theirs, "The EHR’s is taken: it is fetched anew, and stands here in a moment."),
    "ours": (patient_writes.send_ours, "Ours is on its way to the EHR, which is read back afterwards."),
    "again": (patient_writes.retry, "It is taken up again. The EHR is asked first whether it has it already."),
    "give-up": (demographics.give_up, "Given up: what the EHR says stands here in a moment."),
}
