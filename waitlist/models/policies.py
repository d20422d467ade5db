"""The numbers of outreach: those a practice sets, and how many of its offers were accepted."""

from __future__ import annotations

from datetime import time

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q


class OutreachPolicy(models.Model):
    """The numbers of outreach, for everybody or for one location, type or both; the narrowest row wins."""

    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.CASCADE, related_name="outreach_policies"
    )
    appointment_type = models.ForeignKey(
        "scheduling.AppointmentType", null=True, blank=True, on_delete=models.CASCADE, related_name="outreach_policies"
    )
    start_delay_seconds = models.PositiveIntegerField(
        default=30,
        validators=[MaxValueValidator(900)],
        help_text="Wait so many seconds, at most 900 (15 minutes), after a cancellation before the first look, since "
        "staff undo things.",
    )
    cut_off_minutes = models.PositiveIntegerField(
        default=60,
        help_text="No more offers so many minutes before the start; a kind of visit may ask for more.",
    )
    offers_per_day = models.PositiveSmallIntegerField(
        default=2, help_text="A patient gets at most so many offers in 24 hours, whatever opens up."
    )
    offers_per_week = models.PositiveSmallIntegerField(
        default=5, help_text="A patient gets at most so many offers in seven days."
    )
    silences_before_asking = models.PositiveSmallIntegerField(
        default=3,
        help_text="After so many offers in a row without an answer a patient is asked “still want this?” and gets no "
        "more offers until they answer.",
    )
    calls_per_clerk = models.PositiveSmallIntegerField(
        default=2,
        help_text="Calls of any kind that may wait at once for each of the staff who work at the location; while so "
        "many wait, no wave gives out offers by phone, and waves go on without them. Calls that must be made, and "
        "offers that you send by hand, go beyond it. In office hours only. 0: no wave has anybody called.",
    )
    offer_open_hours = models.PositiveSmallIntegerField(
        default=24,
        validators=[MinValueValidator(1), MaxValueValidator(168)],
        help_text="An offer may be answered for so many hours, but never beyond the opening's cut-off.",
    )
    hear_by_hours = models.PositiveSmallIntegerField(
        default=24,
        validators=[MinValueValidator(1), MaxValueValidator(168)],
        help_text="Whoever said yes is told when to call if they hear nothing: after half of the time that is left, "
        "and never later than so many hours. Staff are asked to call them then.",
    )
    quiet_from = models.TimeField(default=time(20, 0), help_text="No text of ours after this, in the patient's zone.")
    quiet_until = models.TimeField(
        default=time(8, 0), help_text="Texts that waited for the night leave from this time on, in the patient's zone."
    )
    waves = models.JSONField(
        default=list,
        blank=True,
        help_text="How many offers at once, and minutes until the next ones, by the hours left: "
        '[{"lead_hours": 2, "size": 5, "gap_minutes": 3}, …], the last one without lead_hours. Empty: the usual ones.',
    )
    fill_target_percent = models.PositiveSmallIntegerField(
        default=95,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text="How sure you want to be that an opening is filled before its cut-off. Once enough patients have "
        "answered, waves are made as large as that takes.",
    )
    largest_wave = models.PositiveSmallIntegerField(
        default=20, validators=[MinValueValidator(1)], help_text="Never more offers at once than this."
    )
    most_waiting = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1)],
        help_text="Never more patients than this wait for the same opening with an offer they have not answered.",
    )

    class Meta:
        verbose_name_plural = "outreach policies"
        constraints = (
            models.UniqueConstraint(fields=("location", "appointment_type"), name="policy_once"),
            models.UniqueConstraint(
                fields=("location",), condition=Q(appointment_type__isnull=True), name="policy_once_per_location"
            ),
            models.UniqueConstraint(
                fields=("appointment_type",), condition=Q(location__isnull=True), name="policy_once_per_type"
            ),
        )

    def __str__(self) -> str:
        where = self.location.name if self.location else "all locations"
        what = self.appointment_type.name if self.appointment_type else "all types"
        return f"{what}, {where}"


class AcceptanceTally(models.Model):
    """How many offers of a type came to an end at a lead time, and how many were accepted. Counted anew by the hour.

    ``lead_band`` is :func:`waitlist.pacing.lead_band` of the time from the offer to the visit.
    """

    appointment_type = models.ForeignKey("scheduling.AppointmentType", on_delete=models.CASCADE, related_name="+")
    lead_band = models.PositiveSmallIntegerField()
    decided = models.PositiveIntegerField()
    accepted = models.PositiveIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("appointment_type", "lead_band"), name="tally_once"),)

    def __str__(self) -> str:
        return f"acceptance of type {self.appointment_type_id} at lead time {self.lead_band}"
