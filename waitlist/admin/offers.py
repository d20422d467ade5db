"""Offers, claims and the verdicts behind them, to be looked at."""

from __future__ import annotations

from django.contrib import admin

from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import channel, opening_link, patient_name, slot, state, when
from waitlist import explain, why_withdrawn
from waitlist.models import CandidateVerdict, Claim, Offer


class _OfOpening(ReadOnlyAdmin):
    """What rows of an opening have in common."""

    @admin.display(description="Opening", ordering="opening")
    def opening_shown(self, row: Offer | Claim | CandidateVerdict) -> str:
        return opening_link(row.opening)


@admin.register(Offer)
class OfferAdmin(_OfOpening):
    patients_in = ("patient",)
    finds_patients = "patient"
    list_display = (
        "time",
        "patient_shown",
        "status_shown",
        "rank",
        "wave",
        "code",
        "opening_shown",
        "sent",
        "answered",
    )
    list_display_links = ("time",)
    list_filter = ("status", ("opening__location", ScopedRelatedFilter), "appointment_type")
    list_select_related = ("patient", "opening__provider", "opening__location", "appointment_type")
    ordering = ("-created_at",)
    # Neither the token's hash nor anything made of it is shown: it opens the patient's page.
    fields = (
        "time",
        "patient_shown",
        "status_shown",
        "opening_shown",
        "appointment_type",
        "rank",
        "wave",
        "code",
        "expires",
        "sent",
        "answered",
        "withdrawn_because",
    )
    readonly_fields = (
        *("time", "patient_shown", "status_shown", "opening_shown"),
        *("expires", "sent", "answered", "withdrawn_because"),
    )

    @admin.display(description="Withdrawn because")
    def withdrawn_because(self, row: Offer) -> str:
        return why_withdrawn.say(row.withdrawn_reason) or "–"

    @admin.display(description="Time offered", ordering="start")
    def time(self, row: Offer) -> str:
        return slot(row.start, row.end, row.opening.location.zone)

    @admin.display(description="Patient")
    def patient_shown(self, row: Offer) -> str:
        return patient_name(row.patient)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: Offer) -> str:
        return state(row.status, row.get_status_display())

    @admin.display(description="Sent", ordering="created_at")
    def sent(self, row: Offer) -> str:
        return when(row.created_at, row.opening.location.zone)

    @admin.display(description="Answered", ordering="answered_at")
    def answered(self, row: Offer) -> str:
        return when(row.answered_at, row.opening.location.zone)

    @admin.display(description="Good until", ordering="expires_at")
    def expires(self, row: Offer) -> str:
        return when(row.expires_at, row.opening.location.zone)


@admin.register(Claim)
class ClaimAdmin(_OfOpening):
    patients_in = ("patient",)
    finds_patients = "patient"
    list_display = ("patient_shown", "state_shown", "way", "actor", "opening_shown", "reference", "made", "settled")
    list_display_links = None
    list_filter = ("state", "channel", ("opening__location", ScopedRelatedFilter))
    list_select_related = ("patient", "opening__provider", "opening__location", "appointment")
    ordering = ("-created_at",)
    fields = ("patient_shown", "state_shown", "way", "actor", "opening_shown", "reference", "refused_because")
    readonly_fields = ("patient_shown", "state_shown", "way", "opening_shown", "reference")

    @admin.display(description="Patient")
    def patient_shown(self, row: Claim) -> str:
        return patient_name(row.patient)

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: Claim) -> str:
        return state(row.state, row.get_state_display())

    @admin.display(description="By", ordering="channel")
    def way(self, row: Claim) -> str:
        return channel(row.channel)

    @admin.display(description="Booking reference")
    def reference(self, row: Claim) -> str:
        return row.appointment.reference or "–"

    @admin.display(description="Said yes", ordering="created_at")
    def made(self, row: Claim) -> str:
        return when(row.created_at, row.opening.location.zone)

    @admin.display(description="Settled", ordering="settled_at")
    def settled(self, row: Claim) -> str:
        return when(row.settled_at, row.opening.location.zone)


@admin.register(CandidateVerdict)
class CandidateVerdictAdmin(_OfOpening):
    patients_in = ("entry.patient",)
    finds_patients = "entry__patient"
    list_display = ("rank", "patient_shown", "suits", "why", "wave", "opening_shown", "computed")
    list_display_links = None
    list_filter = ("eligible", ("opening__location", ScopedRelatedFilter))
    list_select_related = ("entry__patient", "opening__provider", "opening__location")
    ordering = ("-opening", "rank")
    fields = ("rank", "patient_shown", "suits", "why", "wave", "opening_shown", "computed")
    readonly_fields = ("patient_shown", "suits", "why", "opening_shown", "computed")

    @admin.display(description="Patient")
    def patient_shown(self, row: CandidateVerdict) -> str:
        return patient_name(row.entry.patient)

    @admin.display(description="Suits", ordering="eligible")
    def suits(self, row: CandidateVerdict) -> str:
        return state("eligible", "suits", "ok") if row.eligible else state("no", "does not suit")

    @admin.display(description="Why, or why not")
    def why(self, row: CandidateVerdict) -> str:
        return explain.explain_all(row.reasons)

    @admin.display(description="Judged", ordering="computed_at")
    def computed(self, row: CandidateVerdict) -> str:
        return when(row.computed_at, row.opening.location.zone)
