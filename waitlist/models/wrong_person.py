"""What was disclosed to whoever was reached in a patient's place, kept for the person in charge of privacy."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedTextField
from scheduling.models import ContactPoint, ScopedModel


class WrongPersonReport(ScopedModel):
    """A contact of one patient reached somebody else. ``disclosed``: what had gone there about the patient by then.

    While it is not undone, the contact is frozen for every channel, calls included.
    """

    location_scope = "patient__locations"
    shared_when_unplaced = True

    patient = models.ForeignKey("scheduling.Patient", on_delete=models.PROTECT, related_name="wrong_person_reports")
    contact_point = models.ForeignKey(
        "scheduling.ContactPoint", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    system = models.CharField(max_length=10, choices=ContactPoint.System)
    address = EncryptedTextField()
    reply = models.ForeignKey("waitlist.Reply", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    disclosed = models.ManyToManyField("waitlist.Message", blank=True, related_name="+")
    reported_by = models.CharField(max_length=150)
    reported_at = models.DateTimeField()
    undone_by = models.CharField(max_length=150, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_because = models.CharField("why it was freed", max_length=200, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("contact_point",), condition=Q(undone_at__isnull=True), name="wrong_person_once"
            ),
        )

    @property
    def reporter(self) -> str:
        """Who said so, for staff: whoever wrote from a wrong number is not the patient whose number we took it for."""
        return "a reply from there" if self.reply_id else self.reported_by

    def __str__(self) -> str:
        return f"wrong person report {self.pk}"
