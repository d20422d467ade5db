"""What arrives from an EHR: events as they came, calls that were refused."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedBinaryField
from integrations.models.connections import Connection


class InboundEvent(models.Model):
    """Something a source said, stored as received before it is acknowledged, and interpreted afterwards.

    ``dedupe_key`` is the event's id, else resource type, id and version, else a hash of the body. ``subject_key``
    names the resource it is about ("Appointment/123"); one event per subject is processed at a time.
    """

    class Via(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        POLL = "poll", "poll"
        LOAD = "load", "initial load"

    class Status(models.TextChoices):
        RECEIVED = "received", "received"
        PROCESSING = "processing", "processing"
        DONE = "done", "done"
        IGNORED = "ignored", "nothing to do"
        QUARANTINED = "quarantined", "cannot be read"
        DEAD = "dead", "dead letter"

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="events")
    via = models.CharField(max_length=10, choices=Via)
    dedupe_key = models.CharField(max_length=255)
    subject_key = models.CharField(max_length=255, blank=True)
    body = EncryptedBinaryField()
    content_type = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.RECEIVED)
    outcome = models.CharField(max_length=120, blank=True, help_text="What came of it, for staff; no patient data.")
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    correlation_id = models.CharField(max_length=32, blank=True)
    received_at = models.DateTimeField()
    changed_after = models.DateTimeField(
        null=True, blank=True, help_text="Found by a poll: the read that was complete up to then did not show it yet."
    )
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("connection", "dedupe_key"), name="event_once_per_source"),
            models.UniqueConstraint(
                fields=("connection", "subject_key"),
                condition=Q(status="processing") & ~Q(subject_key=""),
                name="one_event_per_subject_at_a_time",
            ),
        )
        indexes = (
            models.Index(fields=("due_at",), condition=Q(status__in=("received", "processing")), name="event_due"),
            models.Index(fields=("connection", "received_at"), name="event_by_time"),
        )

    def __str__(self) -> str:
        return f"event {self.pk}"


class RefusedCall(models.Model):
    """How often a webhook call was refused, per day and reason. Their bodies are not kept."""

    endpoint = models.CharField(max_length=60, help_text="The connection's slug, or sms.")
    day = models.DateField()
    reason = models.CharField(max_length=60)
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("endpoint", "day", "reason"), name="refused_call_once"),)

    def __str__(self) -> str:
        return f"{self.count} x {self.reason} at {self.endpoint}"
