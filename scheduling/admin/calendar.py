"""The mirrored calendar and its openings, to be looked at. The EHR and the verbs write them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import patient_name, slot, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import Appointment, Opening


@admin.register(Opening)
class OpeningAdmin(ReadOnlyAdmin):
    """The list; an opening's own page shows several layers and belongs to the front desk's site."""

    list_display = ("time", "provider", "location", "status_shown", "start_in", "waves_sent", "created")
    list_display_links = ("time",)
    list_filter = ("status", "held", ("location", ScopedRelatedFilter), "provider")
    list_select_related = ("provider", "location")
    ordering = ("-start",)
    date_hierarchy = "start"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        opening = fetch_or_404(self.get_queryset(request), request.user, object_id)
        return HttpResponseRedirect(reverse("admin:desk_opening", args=[opening.pk]))

    @admin.display(description="Time", ordering="start")
    def time(self, row: Opening) -> str:
        return slot(row.start, row.end, row.location.zone)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: Opening) -> str:
        return opening_state(row)

    @admin.display(description="Starts", ordering="start")
    def start_in(self, row: Opening) -> str:
        return when(row.start, row.location.zone)

    @admin.display(description="Opened", ordering="created_at")
    def created(self, row: Opening) -> str:
        return when(row.created_at, row.location.zone)


def opening_state(opening: Opening) -> str:
    """Return the opening's state; a hold is what matters most about a live one, a reason about a closed one."""
    if opening.held and opening.status in Opening.CLAIMABLE:
        return state("held", f"held: {opening.get_held_display()}")
    if opening.status == Opening.Status.CLOSED and opening.closed_reason:
        return state("closed", f"closed: {opening.get_closed_reason_display()}")
    return state(opening.status, opening.get_status_display())


@admin.register(Appointment)
class AppointmentAdmin(ReadOnlyAdmin):
    patients_in = ("patient",)
    finds_patients = "patient"
    list_display = ("time", "patient_shown", "provider", "location", "kind", "status_shown", "origin")
    list_display_links = ("time",)
    list_filter = ("status", "origin", ("location", ScopedRelatedFilter), "provider", "appointment_type")
    list_select_related = ("patient", "provider", "location", "appointment_type")
    ordering = ("-start",)
    date_hierarchy = "start"
    fieldsets = (
        (None, {"fields": ("time", "status_shown", "patient_shown", "provider", "location", "kind", "reference")}),
        (
            "As the EHR says it",
            {
                "fields": (
                    "source",
                    "status_code",
                    ("type_system", "type_code", "type_display"),
                    ("reason_system", "reason_code"),
                    "slots",
                    "origin",
                    "updated",
                )
            },
        ),
    )
    readonly_fields = (
        "time",
        "status_shown",
        "patient_shown",
        "kind",
        "slots",
        "updated",
    )

    @admin.display(description="Time", ordering="start")
    def time(self, row: Appointment) -> str:
        if row.start is None or row.end is None:
            return "no time"
        return slot(row.start, row.end, row.location.zone if row.location else None)

    @admin.display(description="Patient")
    def patient_shown(self, row: Appointment) -> str:
        return patient_name(row.patient)

    @admin.display(description="Type", ordering="appointment_type")
    def kind(self, row: Appointment) -> str:
        if row.appointment_type is not None:
            return row.appointment_type.name
        return f"{row.type_display or row.type_code or 'none'} (not mapped)" if row.type_code else "none given"

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: Appointment) -> str:
        return state(row.status, row.get_status_display(), "accent" if row.status == "booked" else "")

    @admin.display(description="Slots")
    def slots(self, row: Appointment) -> str:
        return ", ".join(row.slot_ids or ()) or "–"

    @admin.display(description="Changed here")
    def updated(self, row: Appointment) -> str:
        return when(row.updated_at)
