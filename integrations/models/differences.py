"""Where the EHR's calendar and ours differ, and the nightly comparisons that found it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedJSONField
from integrations.models.connections import Connection
from scheduling.models import ScopedModel


class Reconciliation(models.Model):
    """One comparison of the next days with the EHR, from end to end. Without an end it was interrupted or goes on.

    ``missed`` counts those among the differing of which no event and no poll had told us.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="reconciliations")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(help_text="Appointments that begin before this were compared.")
    compared = models.PositiveIntegerField(default=0)
    differing = models.PositiveIntegerField(default=0)
    missed = models.PositiveIntegerField(default=0, help_text="Differing, and no event had told us.")
    unreadable = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=60, blank=True, help_text="Why it ended early; nothing was concluded then.")

    class Meta:
        indexes = (models.Index(fields=("connection", "began_at"), name="reconciliation_by_time"),)

    def __str__(self) -> str:
        return f"reconciliation {self.pk}"


class Difference(ScopedModel):
    """One appointment that the EHR and we hold differently, until somebody decides or it is no more.

    ``subject`` is ``ext:<the EHR's id>`` or, for a booking of ours that the EHR has no name for, ``own:<our key>``; at
    most one difference per subject waits for a decision. ``ehr_says`` and ``we_hold`` are what was compared: status,
    start, end, patient, provider, location and type, in the EHR's own names; empty where there is nothing.
    """

    location_scope = "location"
    shared_when_unplaced = True

    class Kind(models.TextChoices):
        MISSING_HERE = "missing_here", "only in the EHR"
        MISSING_THERE = "missing_there", "gone from the EHR"
        NOT_WRITTEN = "not_written", "our booking, not in the EHR"
        DIFFERS = "differs", "different in the EHR"

    class State(models.TextChoices):
        OPEN = "open", "to be decided"
        TAKING = "taking", "being taken over"
        TAKEN = "taken", "the EHR's was taken"
        SENT = "sent", "ours was sent"
        LEFT = "left", "left as it is"
        GONE = "gone", "no longer there"

    #: States in which something is still to happen.
    WAITING = (State.OPEN, State.TAKING)

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="differences")
    subject = models.CharField(max_length=260)
    kind = models.CharField(max_length=20, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    fields = models.JSONField(default=list, blank=True, help_text="What differs: status, time, provider, …")
    ehr_says = EncryptedJSONField(default=dict, blank=True)
    we_hold = EncryptedJSONField(default=dict, blank=True)
    ehr_version = models.CharField(max_length=120, blank=True)
    start = models.DateTimeField(null=True, blank=True, help_text="When it begins, or would.")
    appointment = models.ForeignKey(
        "scheduling.Appointment", null=True, blank=True, on_delete=models.CASCADE, related_name="differences"
    )
    patient = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.SET_NULL, related_name="differences"
    )
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.SET_NULL, related_name="differences"
    )
    opens_time = models.BooleanField(default=False, help_text="Time that taking the EHR's frees is to be offered.")
    due_at = models.DateTimeField(null=True, blank=True, help_text="When taking it over is tried next.")
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last found to be there.")
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=150, blank=True)
    outcome = models.CharField(max_length=200, blank=True, help_text="What came of the decision; no patient data.")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("connection", "subject"),
                condition=Q(state__in=("open", "taking")),
                name="one_waiting_difference_per_subject",
            ),
        )
        indexes = (
            models.Index(fields=("due_at",), condition=Q(state="taking"), name="difference_due"),
            models.Index(fields=("connection", "subject"), name="difference_by_subject"),
            models.Index(fields=("state", "start"), name="difference_by_state"),
        )

    def __str__(self) -> str:
        return f"difference {self.pk}"
