"""The floors' own tables: the columns and indexes of the product's, without its rules, encryption and audit."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q


class FloorEvent(models.Model):
    """A webhook as it came."""

    objects: ClassVar[models.Manager[FloorEvent]]

    connection_id = models.BigIntegerField()
    via = models.CharField(max_length=10)
    dedupe_key = models.CharField(max_length=255)
    subject_key = models.CharField(max_length=255, blank=True)
    body = models.BinaryField()
    content_type = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=12, default="received")
    outcome = models.CharField(max_length=120, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)
    correlation_id = models.CharField(max_length=32, blank=True)
    received_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("connection_id", "dedupe_key"), name="floor_event_once"),
            models.UniqueConstraint(
                fields=("connection_id", "subject_key"),
                condition=Q(status="processing") & ~Q(subject_key=""),
                name="floor_event_one_at_a_time",
            ),
        )
        indexes = (
            models.Index(
                fields=("due_at",), condition=Q(status__in=("received", "processing")), name="floor_event_due"
            ),
            models.Index(fields=("connection_id", "received_at"), name="floor_event_by_time"),
        )

    def __str__(self) -> str:
        return f"floor event {self.pk}"


class FloorOpening(models.Model):
    """A time that one of many may take."""

    objects: ClassVar[models.Manager[FloorOpening]]

    status = models.CharField(max_length=10, default="offering")
    taken_by = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"floor opening {self.pk}"


class FloorAppointment(models.Model):
    """An appointment as a bulk upsert keeps it: one row by the EHR's id, with its version."""

    objects: ClassVar[models.Manager[FloorAppointment]]

    external_id = models.CharField(max_length=255, unique=True)
    version = models.CharField(max_length=120)
    status = models.CharField(max_length=20)
    start = models.DateTimeField(null=True)
    end = models.DateTimeField(null=True)
    patient = models.CharField(max_length=255)
    provider = models.CharField(max_length=255)
    location = models.CharField(max_length=255)
    type_system = models.CharField(max_length=255)
    type_code = models.CharField(max_length=120)
    type_display = models.CharField(max_length=200)
    slot_ids = models.JSONField(default=list)

    class Meta:
        indexes = (
            models.Index(fields=("provider", "start"), name="floor_by_provider"),
            models.Index(fields=("patient", "start"), name="floor_by_patient"),
            models.Index(fields=("location", "start"), name="floor_by_location"),
        )

    def __str__(self) -> str:
        return f"floor appointment {self.pk}"


FLOOR_MODELS: tuple[type[models.Model], ...] = (FloorEvent, FloorOpening, FloorAppointment)
