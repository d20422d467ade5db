"""What the codes of an EHR mean here, and every change of that."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from integrations.models.connections import Connection


class CodeMapping(models.Model):
    """What a code of the EHR means here. An unknown code is kept and shown, and holds up what depends on it.

    Without a location it holds everywhere; a row for the visit's location goes before it. Written only by
    :mod:`integrations.mapping`.
    """

    class Domain(models.TextChoices):
        TYPE = "type", "appointment type"
        REASON = "reason", "cancellation reason"
        STATUS = "status", "appointment status"
        PROVIDER = "provider", "clinician"
        LOCATION = "location", "location"
        LANGUAGE = "language", "language"
        PLAN = "plan", "insurance plan"

    class State(models.TextChoices):
        UNMAPPED = "unmapped", "not mapped yet"
        MAPPED = "mapped", "mapped"

    #: Targets of cancellation reasons; types map to an AppointmentType's code.
    REBOOKABLE: ClassVar[str] = "rebookable"
    NOT_REBOOKABLE: ClassVar[str] = "not_rebookable"
    ASK_STAFF: ClassVar[str] = "ask_staff"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="code_mappings")
    location = models.ForeignKey(
        "scheduling.Location",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Empty: the code means the same at all locations.",
    )
    domain = models.CharField(max_length=10, choices=Domain)
    system = models.CharField(max_length=255, blank=True)
    code = models.CharField(max_length=120)
    display = models.CharField(max_length=200, blank=True)
    target = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.UNMAPPED)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    apply_due_at = models.DateTimeField(
        null=True, blank=True, help_text="Set when what is mirrored already has to be brought in line with it."
    )

    class Meta:
        constraints = (
            # Two, since a constraint lets any number of NULLs pass.
            models.UniqueConstraint(
                fields=("connection", "domain", "system", "code"),
                condition=Q(location__isnull=True),
                name="code_mapping_once",
            ),
            models.UniqueConstraint(
                fields=("connection", "domain", "system", "code", "location"), name="code_mapping_once_per_location"
            ),
        )
        indexes = (
            models.Index(fields=("apply_due_at",), condition=Q(apply_due_at__isnull=False), name="mapping_apply_due"),
        )

    def __str__(self) -> str:
        return f"{self.domain} {self.code}"


class CodeChange(models.Model):
    """One change of what a code means, kept so that it can be taken back. Empty: not mapped."""

    mapping = models.ForeignKey(CodeMapping, on_delete=models.CASCADE, related_name="changes")
    before = models.CharField(max_length=120, blank=True)
    after = models.CharField(max_length=120, blank=True)
    at = models.DateTimeField()
    by = models.CharField(max_length=150)
    part_of = models.ForeignKey(
        "integrations.MappingChange",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="code_changes",
        help_text="The import, or the undo of one, that this was a part of.",
    )
    undoes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="undone_by", help_text="Once at most."
    )

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"change {self.pk} of mapping {self.mapping_id}"
