"""A number or e-mail address that a patient wrote on their own page, until it is shown to be theirs."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedTextField


class ContactChange(models.Model):
    """A new contact point on its way in: nothing on record changes before its code came back.

    ``replaces`` is the contact it is to stand for, none where it is one more. Of the code only a keyed hash is kept.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting for its code"
        CONFIRMED = "confirmed", "confirmed"
        DROPPED = "dropped", "dropped"
        STAFF = "staff", "for staff"

    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="contact_changes")
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    system = models.CharField(max_length=10)
    address = EncryptedTextField()
    address_index = models.CharField(max_length=64)
    replaces = models.ForeignKey(
        "scheduling.ContactPoint", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    wording_version = models.CharField(
        max_length=40, blank=True, help_text="The words that were agreed to; empty where messages were not agreed to."
    )
    code_hash = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("patient",), condition=Q(state="waiting"), name="one_waiting_contact_change_per_patient"
            ),
        )
        indexes = (
            models.Index(fields=("patient", "created_at"), name="contact_change_by_patient"),
            models.Index(fields=("address_index", "created_at"), name="contact_change_by_address"),
        )

    def __str__(self) -> str:
        return f"contact change {self.pk}"
