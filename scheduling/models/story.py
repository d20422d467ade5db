"""What happened to an opening, and what a person must do. Every layer writes both."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from scheduling.models.scope import ScopedModel


class TimelineEntry(ScopedModel):
    """One step of a slot's story, with its time. ``summary`` is a sentence without patient data."""

    location_scope = "opening__location"

    opening = models.ForeignKey(
        "scheduling.Opening", null=True, blank=True, on_delete=models.CASCADE, related_name="timeline"
    )
    at = models.DateTimeField()
    kind = models.CharField(max_length=60, help_text="Dotted name of the step, such as opening.opened or offer.sent.")
    summary = models.CharField(max_length=300)
    data = models.JSONField(default=dict, blank=True, help_text="Ids and figures; no patient data.")
    actor = models.CharField(max_length=150)
    correlation_id = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering = ("at", "pk")
        verbose_name_plural = "timeline entries"
        indexes = (models.Index(fields=("opening", "at"), name="timeline_by_opening"),)

    def __str__(self) -> str:
        return f"{self.kind} of opening {self.opening_id}"


class WorkItem(ScopedModel):
    """Something a person must do. At most one open item per ``dedupe_key``."""

    location_scope = "location"
    shared_when_unplaced = True

    class Status(models.TextChoices):
        OPEN = "open", "needs you"
        DONE = "done", "done"

    class Urgency(models.IntegerChoices):
        RED = 0, "now"
        SOON = 1, "today"
        NORMAL = 2, "when there is time"

    kind = models.CharField(max_length=60, help_text="Dotted name, such as opening.provider_day or writeback.dead.")
    dedupe_key = models.CharField(max_length=200)
    title = models.CharField(max_length=200, help_text="What happened, in front desk words, without patient data.")
    advice = models.CharField(max_length=400, blank=True, help_text="What is safe, and what to do.")
    urgency = models.PositiveSmallIntegerField(choices=Urgency, default=Urgency.SOON)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    subject_kind = models.CharField(max_length=60, blank=True, help_text="Model label such as scheduling.writeback.")
    subject_id = models.BigIntegerField(null=True, blank=True)
    opening = models.ForeignKey(
        "scheduling.Opening", null=True, blank=True, on_delete=models.CASCADE, related_name="work_items"
    )
    patient = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.CASCADE, related_name="work_items"
    )
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.CASCADE, related_name="work_items"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="work_items"
    )
    due_at = models.DateTimeField(null=True, blank=True)
    times_seen = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.CharField(max_length=150, blank=True)
    resolution = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("dedupe_key",), condition=Q(status="open"), name="one_open_item_per_key"),
        )
        indexes = (models.Index(fields=("status", "urgency", "due_at"), name="work_item_queue"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
