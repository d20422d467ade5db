"""What the EHR must be told about a patient."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedJSONField
from scheduling.models.scope import ScopedModel


class PatientWrite(ScopedModel):
    """Corrected details of a patient, or that one must be registered, for one EHR. The row is queue and worklist.

    ``key`` is the identifier that a registered patient is found again by. ``wanted`` is
    :func:`scheduling.corrections.written` of the details, ``conflicts`` what the EHR says of those that it changed in
    another way meanwhile. ``sending`` with ``lease_until`` is committed before the call; an expired lease means
    *unknown*.
    """

    location_scope = "patient__locations"
    shared_when_unplaced = True

    class Kind(models.TextChoices):
        UPDATE = "update", "correct details"
        REGISTER = "register", "register"

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting to send"
        SENDING = "sending", "sending"
        UNKNOWN = "unknown", "unknown"
        BY_HAND = "by_hand", "staff enter it"
        CONFLICT = "conflict", "staff decide"
        DONE = "done", "done"
        DROPPED = "dropped", "given up"
        DEAD = "dead", "dead letter"

    #: Statuses in which what we hold goes before what the EHR says.
    LIVE = (Status.WAITING, Status.SENDING, Status.UNKNOWN, Status.BY_HAND, Status.CONFLICT)
    #: Those of them in which the machine works on it.
    MOVING = (Status.WAITING, Status.SENDING, Status.UNKNOWN)

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.UPDATE)
    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="writes")
    source = models.ForeignKey("scheduling.Source", on_delete=models.PROTECT, related_name="patient_writes")
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    wanted = EncryptedJSONField(default=list, blank=True)
    conflicts = EncryptedJSONField(default=dict, blank=True)
    overrules = EncryptedJSONField(
        default=dict, blank=True, help_text="What staff saw the EHR say when they chose to send ours."
    )
    base_version = models.CharField(max_length=120, blank=True, help_text="The version held when it was corrected.")
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text="When the last call that may have had an effect began."
    )
    lease_until = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    requested_by = models.CharField(max_length=150, blank=True)
    correlation_id = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("patient", "source"), condition=Q(kind="register"), name="one_registration_per_source"
            ),
        )
        indexes = (
            models.Index(
                fields=("due_at",),
                condition=Q(status__in=("waiting", "sending", "unknown", "by_hand", "conflict")),
                name="patient_write_due",
            ),
        )

    def __str__(self) -> str:
        return f"patient write {self.pk}"
