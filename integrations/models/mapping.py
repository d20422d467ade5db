"""How patients' details are read from an EHR, how that fares, and what was changed about it by whom."""

from __future__ import annotations

from django.db import models

from audit.fields import EncryptedTextField
from integrations import fields
from integrations.models.connections import Connection


class FieldMapping(models.Model):
    """Where one connection tells a detail of a patient, where that differs from :data:`integrations.fields.FIELDS`.

    Who owns the detail stands in ``Source.practice_owns``; ask :func:`integrations.field_mapping.owner_of`.
    """

    class PathKind(models.TextChoices):
        FHIRPATH = "fhirpath", "FHIRPath"
        HL7V2 = "hl7v2", "HL7 v2 path"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="field_mappings")
    field = models.CharField(max_length=30, choices=fields.choices)
    path_kind = models.CharField(max_length=10, choices=PathKind, default=PathKind.FHIRPATH)
    path = models.CharField(max_length=400)
    transform = models.CharField(max_length=10, choices=fields.Transform, default=fields.Transform.TRIM)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("connection", "field", "path_kind"), name="field_mapping_once"),)

    def __str__(self) -> str:
        return f"{self.field} by {self.path_kind}"


class FieldHealth(models.Model):
    """How the reading of one field fares at one connection, counted over the patients as they are read.

    ``last_good_value`` is of the patient ``last_good_external_id`` names; it is shown only to those who may see
    patients, and the look is recorded.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="field_health")
    field = models.CharField(max_length=30, choices=fields.choices)
    last_good_at = models.DateTimeField(null=True, blank=True)
    last_good_value = EncryptedTextField(null=True, blank=True)
    last_good_external_id = models.CharField(max_length=255, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Failures in a row.")
    failing_since = models.DateTimeField(null=True, blank=True)
    last_problem = models.CharField(max_length=120, blank=True, help_text="In words of ours; nothing of the patient.")
    empty = models.PositiveIntegerField(default=0, help_text="Patients in a row who had nothing there.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("connection", "field"), name="field_health_once"),)

    def __str__(self) -> str:
        return f"health of {self.field}"


class MappingChange(models.Model):
    """One change of a connection's mappings, by a person: an edit, an import or an undo.

    ``entries`` is a list of ``{"what": key, "before": value, "after": value}``; key and values are those of
    :mod:`integrations.mapping_changes`, null for what is not there.
    """

    class How(models.TextChoices):
        EDIT = "edit", "edited"
        IMPORT = "import", "imported"
        UNDO = "undo", "undone"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="mapping_changes")
    at = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=150)
    how = models.CharField(max_length=10, choices=How)
    entries = models.JSONField(default=list)
    undoes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="undone_by", help_text="What it undid."
    )

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"change {self.pk} of the mappings"
