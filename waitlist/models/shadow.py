"""What would have happened: offers of a shadow run, and past cancellations judged by today's waitlist."""

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


class PastCancellation(ScopedModel):
    """A cancellation of the last weeks, what would have come of its time, and what did.

    Judged by the waitlist as it was at ``judged_at``, not as it was then. ``suited`` counts the first hundred in line
    at most; ``entries`` are the keys of the first of them, the next in line first.
    """

    location_scope = "location"

    class Verdict(models.TextChoices):
        OFFERED = "offered", "would have been offered"
        NOBODY = "nobody", "nobody on today’s list fits"
        REASON = "reason", "reason not mapped: staff would have been asked"
        TYPE = "type", "kind of visit not mapped: staff would have been asked"
        ASK = "ask", "its reason leaves it to staff"
        DAY = "day", "several of the clinician’s day at once: staff would have been asked"
        CLOSED = "closed", "its reason says not to offer it"
        NOTICE = "notice", "cancelled too shortly before"
        AFTER = "after", "changed in the EHR only after its start"
        OFF = "off", "nothing is offered with this clinician there"
        PATIENT = "patient", "its patient is not known here"
        PLACE = "place", "its clinician or place is not known here"

    class Became(models.TextChoices):
        REFILLED = "refilled", "booked again in the EHR"
        PARTLY = "partly", "booked again in part"
        WASTED = "wasted", "went to waste"

    source = models.ForeignKey("scheduling.Source", on_delete=models.CASCADE, related_name="past_cancellations")
    external_id = models.CharField(max_length=255)
    provider = models.ForeignKey(
        "scheduling.Provider", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    appointment_type = models.ForeignKey(
        "scheduling.AppointmentType", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    start = models.DateTimeField()
    end = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True, blank=True)
    type_code = models.CharField(max_length=120, blank=True)
    reason_code = models.CharField(max_length=120, blank=True)
    verdict = models.CharField(max_length=10, choices=Verdict)
    became = models.CharField(max_length=10, choices=Became)
    suited = models.PositiveSmallIntegerField(default=0)
    entries = models.JSONField(default=list, blank=True)
    judged_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("source", "external_id"), name="past_cancellation_once"),)
        indexes = (models.Index(fields=("source", "start"), name="past_cancellation_by_start"),)

    def __str__(self) -> str:
        return f"past cancellation {self.pk}"
