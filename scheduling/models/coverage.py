"""What pays for a patient's visits, as the EHR knows it."""

from __future__ import annotations

from django.db import models

from scheduling.models.scope import ScopedModel


class Coverage(ScopedModel):
    """One insurance of a patient that was in force or to come when it was last read.

    Written only by :mod:`scheduling.coverages`. No member or group number is kept: what decides is the plan.
    """

    location_scope = "patient__locations"
    shared_when_unplaced = True

    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="coverages")
    source = models.ForeignKey("scheduling.Source", on_delete=models.CASCADE, related_name="+")
    external_id = models.CharField(max_length=255)
    system = models.CharField(max_length=255, blank=True, help_text="Whose plan it is, as received.")
    code = models.CharField(max_length=120, blank=True, help_text="The plan, as received; empty: it names none.")
    display = models.CharField(max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Lower applies before others; empty: the EHR does not say."
    )
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True, help_text="The last day on which it holds.")
    plan = models.ForeignKey(
        "scheduling.Plan",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="coverages",
        help_text="Which plan of ours it is; empty: the code is not mapped.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("source", "patient", "external_id"), name="coverage_once"),)
        indexes = (models.Index(fields=("source", "system", "code"), name="coverage_by_code"),)

    def __str__(self) -> str:
        return f"coverage {self.pk} of patient {self.patient_id}"
