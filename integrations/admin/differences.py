"""Differences from the EHR's calendar and what became of them, and the comparisons that found them."""

from __future__ import annotations

from django.contrib import admin

from integrations.models import Difference, Reconciliation
from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import link, patient_name, state, when


@admin.register(Difference)
class DifferenceAdmin(ReadOnlyAdmin):
    """The history; what is still to be decided has a page of its own."""

    patients_in = ("patient",)
    list_display = ("begins", "kind", "state_shown", "patient_shown", "location", "found", "decided", "outcome")
    list_display_links = ("begins",)
    list_filter = ("state", "kind", ("location", ScopedRelatedFilter), "connection")
    list_select_related = ("patient", "location", "connection__source")
    ordering = ("-pk",)
    empty_list_says = "No night has found a difference."
    fields = (
        "begins",
        "kind",
        "state_shown",
        "what",
        "patient_shown",
        "location",
        "ehr",
        "appointment_shown",
        "found",
        "seen",
        "decided",
        "decided_by",
        "outcome",
    )
    readonly_fields = (
        "begins",
        "state_shown",
        "what",
        "patient_shown",
        "ehr",
        "appointment_shown",
        "found",
        "seen",
        "decided",
    )

    @admin.display(description="EHR")
    def ehr(self, row: Difference) -> str:
        return row.connection.source.name

    @admin.display(description="Begins", ordering="start")
    def begins(self, row: Difference) -> str:
        return when(row.start, row.location.zone if row.location else None)

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: Difference) -> str:
        tone = {"open": "wait", "taking": "wait", "taken": "ok", "sent": "ok"}.get(row.state, "stop")
        return state(row.state, row.get_state_display(), tone)

    @admin.display(description="What differs")
    def what(self, row: Difference) -> str:
        return ", ".join(row.fields) or "–"

    @admin.display(description="Patient")
    def patient_shown(self, row: Difference) -> str:
        return patient_name(row.patient)

    @admin.display(description="Appointment")
    def appointment_shown(self, row: Difference) -> str:
        if row.appointment_id is None:
            return "only in the EHR"
        return link("ours", "scheduling_appointment_change", row.appointment_id)

    @admin.display(description="Found", ordering="found_at")
    def found(self, row: Difference) -> str:
        return when(row.found_at)

    @admin.display(description="Last seen", ordering="seen_at")
    def seen(self, row: Difference) -> str:
        return when(row.seen_at)

    @admin.display(description="Decided", ordering="decided_at")
    def decided(self, row: Difference) -> str:
        return when(row.decided_at)


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    everyones = "A comparison counts appointments of all locations and names none."
    list_display = ("begun", "ehr", "ended", "compared", "differing", "missed", "unreadable", "error")
    list_filter = ("connection",)
    list_select_related = ("connection__source",)
    list_display_links = None
    ordering = ("-pk",)
    empty_list_says = "Nothing has been compared yet. The first comparison is made in the night after the load."

    @admin.display(description="EHR")
    def ehr(self, row: Reconciliation) -> str:
        return row.connection.source.name

    @admin.display(description="Began", ordering="began_at")
    def begun(self, row: Reconciliation) -> str:
        return when(row.began_at)

    @admin.display(description="Ended", ordering="ended_at")
    def ended(self, row: Reconciliation) -> str:
        return when(row.ended_at)
