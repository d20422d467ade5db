"""Who waits, for what, and when they could come."""

from __future__ import annotations

from datetime import time

from django.db import models
from django.db.models import F, Q

from scheduling.models import ScopedModel


class WaitlistEntry(ScopedModel):
    """A patient waits for a visit of one type. Written only by :mod:`waitlist.entries`, which keeps the match keys.

    No provider, location or window named means any. ``move_up`` is the later appointment to be moved; it is
    cancelled only after the earlier one is confirmed.
    """

    location_scope = "patient__locations"
    shared_when_unplaced = True

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting"
        PAUSED = "paused", "paused"
        ASKED = "asked", "asked: still want this?"
        BOOKED = "booked", "booked"
        LEFT = "left", "left the list"
        EXPIRED = "expired", "expired"

    class Origin(models.TextChoices):
        STAFF = "staff", "staff"
        SPREADSHEET = "spreadsheet", "a spreadsheet"
        EHR = "ehr", "the EHR’s own waitlist"
        BOOKING = "booking", "a booking that could be earlier"

    class Urgency(models.IntegerChoices):
        URGENT = 0, "urgent"
        SOON = 1, "soon"
        ROUTINE = 2, "routine"

    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="waitlist_entries")
    appointment_type = models.ForeignKey(
        "scheduling.AppointmentType", on_delete=models.PROTECT, related_name="waitlist_entries"
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    urgency = models.PositiveSmallIntegerField(choices=Urgency, default=Urgency.ROUTINE)
    providers = models.ManyToManyField("scheduling.Provider", blank=True, related_name="waitlist_entries")
    locations = models.ManyToManyField("scheduling.Location", blank=True, related_name="waitlist_entries")
    earliest_date = models.DateField(null=True, blank=True)
    latest_date = models.DateField(null=True, blank=True)
    minimum_notice_minutes = models.PositiveIntegerField(
        default=120, help_text="How long before the start the patient must know."
    )
    texts_by_night = models.BooleanField(
        "texts in quiet hours too",
        default=False,
        help_text="The patient asked for it: a time that would be gone by the morning is offered by text at once.",
    )
    move_up = models.ForeignKey(
        "scheduling.Appointment",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="move_up_entries",
        verbose_name="appointment to move up",
    )
    needs = models.JSONField(
        default=list,
        blank=True,
        help_text='What must be arranged, with its own notice: [{"need": "interpreter", "notice_minutes": 1440}].',
    )
    referral_required = models.BooleanField(default=False)
    referral_valid_until = models.DateField(null=True, blank=True)
    authorization_required = models.BooleanField(default=False)
    authorization_valid_until = models.DateField(null=True, blank=True)
    plan = models.ForeignKey(
        "scheduling.Plan",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="waitlist_entries",
        verbose_name="insurance plan",
        help_text="Empty: not known. A visit that needs insurance is then offered only by a person.",
    )
    lost_races = models.PositiveSmallIntegerField(default=0, help_text="How often the patient said yes too late.")
    silences = models.PositiveSmallIntegerField(default=0, help_text="Offers in a row without an answer.")
    joined_at = models.DateTimeField()
    note = models.CharField(max_length=300, blank=True, help_text="For staff. No diagnosis.")
    origin = models.CharField(max_length=12, choices=Origin, default=Origin.STAFF)
    ehr_appointment = models.OneToOneField(
        "scheduling.Appointment",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="ehr_entry",
        help_text="The appointment without a time by which the EHR says that the patient waits.",
    )
    added_by = models.CharField(max_length=150, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "waitlist entries"
        constraints = (
            models.CheckConstraint(
                condition=Q(earliest_date__isnull=True)
                | Q(latest_date__isnull=True)
                | Q(latest_date__gte=F("earliest_date")),
                name="entry_latest_after_earliest",
            ),
            models.UniqueConstraint(
                fields=("patient", "appointment_type"),
                condition=Q(status__in=("waiting", "paused", "asked")),
                name="one_live_entry_per_patient_and_type",
            ),
        )

    def __str__(self) -> str:
        return f"waitlist entry {self.pk}"


class RequestLink(models.Model):
    """A link to a patient's own request that went out in a message. The token is kept only as a hash."""

    entry = models.ForeignKey(WaitlistEntry, on_delete=models.CASCADE, related_name="links")
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"link {self.pk} to entry {self.entry_id}"


class EntryWindow(models.Model):
    """Hours of one weekday, in the location's zone, in which the patient could come."""

    class Weekday(models.IntegerChoices):
        MONDAY = 0, "Monday"
        TUESDAY = 1, "Tuesday"
        WEDNESDAY = 2, "Wednesday"
        THURSDAY = 3, "Thursday"
        FRIDAY = 4, "Friday"
        SATURDAY = 5, "Saturday"
        SUNDAY = 6, "Sunday"

    entry = models.ForeignKey(WaitlistEntry, on_delete=models.CASCADE, related_name="windows")
    weekday = models.PositiveSmallIntegerField(choices=Weekday)
    start = models.TimeField(default=time(0, 0))
    end = models.TimeField(default=time(23, 59))

    class Meta:
        ordering = ("weekday", "start")
        constraints = (models.CheckConstraint(condition=Q(end__gt=F("start")), name="window_end_after_start"),)

    def __str__(self) -> str:
        return f"window {self.pk} of entry {self.entry_id}"


class MatchKey(models.Model):
    """Precomputed line position of a waiting entry: one row per provider, location, weekday and hours it accepts.

    0 stands for any provider or location, 7 for any weekday; minutes count from midnight in the location's zone.
    The ordered index answers "the next ten for this time" in the same moment for a thousand or a million waiting:
    the first four columns are looked up, the next five are the order, the rest is read from the index itself.
    """

    ANY = 0
    ANY_DAY = 7
    DAY_MINUTES = 24 * 60

    # Neither key gets an index of its own: the constraint begins with one, the ordered index with the other.
    entry = models.ForeignKey(WaitlistEntry, on_delete=models.CASCADE, related_name="match_keys", db_index=False)
    appointment_type = models.ForeignKey(
        "scheduling.AppointmentType", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    provider_key = models.BigIntegerField(default=ANY)
    location_key = models.BigIntegerField(default=ANY)
    weekday_key = models.PositiveSmallIntegerField(default=ANY_DAY)
    urgency = models.PositiveSmallIntegerField()
    moving_up = models.BooleanField()
    races_won_by_others = models.SmallIntegerField(help_text="Minus the lost races: ascending order is the rank.")
    joined_at = models.DateTimeField()
    earliest_date = models.DateField(null=True)
    latest_date = models.DateField(null=True)
    notice_minutes = models.PositiveIntegerField(help_text="The longest notice of the patient and of what they need.")
    from_minute = models.PositiveSmallIntegerField(default=0)
    until_minute = models.PositiveSmallIntegerField(default=DAY_MINUTES)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("entry", "provider_key", "location_key", "weekday_key", "from_minute"), name="match_key_once"
            ),
        )
        indexes = (
            models.Index(
                fields=(
                    "appointment_type",
                    "provider_key",
                    "location_key",
                    "weekday_key",
                    "urgency",
                    "moving_up",
                    "races_won_by_others",
                    "joined_at",
                    "entry",
                    "earliest_date",
                    "latest_date",
                    "notice_minutes",
                    "from_minute",
                    "until_minute",
                ),
                name="match_key_line",
            ),
        )

    def __str__(self) -> str:
        return f"match key {self.pk}"
