"""Offers, the verdicts behind them, and the claims that answer them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from scheduling.models import ScopedModel


class CandidateVerdict(ScopedModel):
    """Why an entry was offered an opening at its rank, or why not. Kept for those offered and the next 50."""

    location_scope = "opening__location"

    opening = models.ForeignKey("scheduling.Opening", on_delete=models.CASCADE, related_name="verdicts")
    entry = models.ForeignKey("waitlist.WaitlistEntry", on_delete=models.CASCADE, related_name="verdicts")
    rank = models.PositiveIntegerField()
    eligible = models.BooleanField()
    reasons = models.JSONField(default=list, help_text="Codes of waitlist.eligibility.Reason, the deciding one first.")
    wave = models.PositiveSmallIntegerField(default=0, help_text="The wave in which it was offered; 0: not offered.")
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ("opening", "rank")
        constraints = (models.UniqueConstraint(fields=("opening", "entry"), name="verdict_once"),)

    def __str__(self) -> str:
        return f"verdict on entry {self.entry_id} for opening {self.opening_id}"


class MatchSummary(models.Model):
    """Counts per reason of everybody on the list who was not looked at one by one."""

    opening = models.OneToOneField("scheduling.Opening", on_delete=models.CASCADE, related_name="match_summary")
    counts = models.JSONField(default=dict, help_text="Reason code to number of entries.")
    computed_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "match summaries"

    def __str__(self) -> str:
        return f"match summary of opening {self.opening_id}"


class Offer(ScopedModel):
    """An opening offered to a patient: type, start and end are fixed. The link's token is kept only as a hash."""

    location_scope = "opening__location"

    class Status(models.TextChoices):
        PROPOSED = "proposed", "proposed"
        SENT = "sent", "sent"
        YES = "yes", "yes"
        NO = "no", "no"
        TOO_LATE = "too_late", "too late"
        EXPIRED = "expired", "expired"
        WITHDRAWN = "withdrawn", "withdrawn"

    #: Offers a patient can still answer with yes.
    LIVE = (Status.SENT,)

    opening = models.ForeignKey("scheduling.Opening", on_delete=models.CASCADE, related_name="offers")
    entry = models.ForeignKey("waitlist.WaitlistEntry", on_delete=models.CASCADE, related_name="offers")
    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="offers")
    appointment_type = models.ForeignKey("scheduling.AppointmentType", on_delete=models.PROTECT, related_name="+")
    move_up = models.ForeignKey(
        "scheduling.Appointment", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    start = models.DateTimeField()
    end = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status, default=Status.SENT)
    wave = models.PositiveSmallIntegerField()
    rank = models.PositiveIntegerField()
    code = models.CharField(max_length=4, help_text="Digits; tells this offer apart from others to the same number.")
    token_hash = models.CharField(max_length=64, unique=True)
    asks_birth_year = models.BooleanField(default=False, help_text="The link went by e-mail.")
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    withdrawn_reason = models.CharField(max_length=40, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("opening", "patient"), name="one_offer_per_opening_and_patient"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="offer_end_after_start"),
            # A second live offer to one patient would let one YES mean two times.
            models.UniqueConstraint(fields=("patient",), condition=Q(status="sent"), name="one_live_offer_per_patient"),
        )
        indexes = (
            models.Index(fields=("expires_at",), condition=Q(status="sent"), name="offer_expiry"),
            models.Index(fields=("opening", "status"), name="offer_by_opening"),
        )

    def __str__(self) -> str:
        return f"offer {self.pk}"

    @property
    def is_told(self) -> bool:
        """False for a proposal, which only staff have seen."""
        return self.status != self.Status.PROPOSED


class Claim(ScopedModel):
    """Somebody's right to try the booking. At most one per opening is pending or confirmed."""

    location_scope = "opening__location"

    class State(models.TextChoices):
        PENDING = "pending", "received, not yet confirmed"
        CONFIRMED = "confirmed", "confirmed"
        REFUSED = "refused", "refused by the EHR"
        RELEASED = "released", "released"

    #: States in which nobody else can have the time.
    LIVE = (State.PENDING, State.CONFIRMED)

    opening = models.ForeignKey("scheduling.Opening", on_delete=models.PROTECT, related_name="claims")
    patient = models.ForeignKey("scheduling.Patient", on_delete=models.PROTECT, related_name="claims")
    entry = models.ForeignKey(
        "waitlist.WaitlistEntry", null=True, blank=True, on_delete=models.SET_NULL, related_name="claims"
    )
    offer = models.OneToOneField(Offer, null=True, blank=True, on_delete=models.PROTECT, related_name="claim")
    appointment = models.OneToOneField("scheduling.Appointment", on_delete=models.PROTECT, related_name="claim")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    channel = models.CharField(max_length=10, help_text="link, sms or staff.")
    actor = models.CharField(max_length=150)
    refused_because = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    chase_at = models.DateTimeField(null=True, blank=True, help_text="Unconfirmed by then, staff call the patient.")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("opening",), condition=Q(state__in=("pending", "confirmed")), name="one_live_claim_per_opening"
            ),
        )
        indexes = (models.Index(fields=("chase_at",), condition=Q(state="pending"), name="claim_chase"),)

    def __str__(self) -> str:
        return f"claim {self.pk}"
