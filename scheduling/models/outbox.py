"""What the EHR must be told."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from scheduling.models.scope import ScopedModel


class Writeback(ScopedModel):
    """One change that must reach the EHR exactly once in effect. The row is the queue and the worklist.

    ``key`` is the identifier the EHR stores with the booking, by which a lost answer is found again.
    ``sending`` with ``lease_until`` is committed before the call; an expired lease means *unknown*, never due.
    """

    location_scope = "appointment__location"

    class Kind(models.TextChoices):
        CREATE = "create", "book"
        CANCEL = "cancel", "cancel"

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting to send"
        SENDING = "sending", "sending"
        UNKNOWN = "unknown", "unknown"
        BY_HAND = "by_hand", "entered by staff"
        DONE = "done", "done"
        REFUSED = "refused", "refused"
        DEAD = "dead", "dead letter"

    #: Statuses in which the write is still under way.
    LIVE = (Status.WAITING, Status.SENDING, Status.UNKNOWN, Status.BY_HAND)

    kind = models.CharField(max_length=10, choices=Kind)
    appointment = models.ForeignKey("scheduling.Appointment", on_delete=models.PROTECT, related_name="writebacks")
    opening = models.ForeignKey(
        "scheduling.Opening", null=True, blank=True, on_delete=models.PROTECT, related_name="writebacks"
    )
    source = models.ForeignKey("scheduling.Source", on_delete=models.PROTECT, related_name="writebacks")
    by_patient = models.BooleanField(default=False, help_text="The patient asked for it, and is told what comes of it.")
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    slots = models.JSONField(default=list, blank=True, help_text="Ids of every EHR slot the booking consumes.")
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text="When the last call that may have had an effect began."
    )
    lease_until = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(
        help_text="Never written after this: the start of the appointment, for a booking shortly before it."
    )
    error_code = models.CharField(max_length=60, blank=True)
    error_detail = models.CharField(max_length=300, blank=True, help_text="For staff; holds no patient data.")
    correlation_id = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("appointment",),
                condition=Q(status__in=("waiting", "sending", "unknown", "by_hand")),
                name="one_live_writeback_per_appointment",
            ),
        )
        indexes = (
            models.Index(
                fields=("due_at",), condition=Q(status__in=("waiting", "sending", "unknown")), name="writeback_due"
            ),
        )

    def __str__(self) -> str:
        return f"writeback {self.pk}"
