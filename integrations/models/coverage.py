"""When each patient's insurance was last asked for."""

from __future__ import annotations

from django.db import models

from integrations.models.connections import Connection


class CoverageRead(models.Model):
    """A patient whose insurance an EHR was asked for, because they wait for a visit that needs it.

    What it told is :class:`scheduling.models.Coverage`. Written only by :mod:`integrations.ehr.coverage`.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="coverage_reads")
    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="+")
    read_at = models.DateTimeField(null=True, blank=True, help_text="When it last answered; empty: not yet.")
    due_at = models.DateTimeField(help_text="When to ask again, if the patient still waits for such a visit.")
    problem = models.CharField(max_length=40, blank=True, help_text="Why the last answer could not be read, as a code.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("connection", "patient"), name="coverage_read_once"),)

    def __str__(self) -> str:
        return f"insurance of patient {self.patient_id}"
