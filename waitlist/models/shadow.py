"""What would have happened: offers of a shadow run. Nobody was told of them, and nobody can claim by them."""

from __future__ import annotations

from django.db import models

from scheduling.models import ScopedModel


class ShadowOffer(ScopedModel):
    """Somebody whom a wave would have offered an opening, had its source not been in shadow."""

    location_scope = "opening__location"

    class Way(models.TextChoices):
        MESSAGE = "message", "by text or e-mail"
        CALL = "call", "by a call"

    opening = models.ForeignKey("scheduling.Opening", on_delete=models.CASCADE, related_name="shadow_offers")
    entry = models.ForeignKey("waitlist.WaitlistEntry", on_delete=models.CASCADE, related_name="shadow_offers")
    appointment_type = models.ForeignKey("scheduling.AppointmentType", on_delete=models.PROTECT, related_name="+")
    start = models.DateTimeField()
    end = models.DateTimeField()
    wave = models.PositiveSmallIntegerField()
    rank = models.PositiveIntegerField()
    way = models.CharField(max_length=10, choices=Way)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("opening", "wave", "rank")
        constraints = (models.UniqueConstraint(fields=("opening", "entry"), name="shadow_offer_once"),)

    def __str__(self) -> str:
        return f"shadow offer {self.pk}"
