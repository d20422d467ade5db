"""The mirror of the practice's calendar, and the time that was freed in it."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from audit.fields import EncryptedTextField
from scheduling.models.scope import ScopedModel


class Appointment(ScopedModel):
    """One appointment as the EHR holds it, or one we are about to write there.

    Codes are kept as received beside what they map to, so that nothing unknown is dropped. ``reference`` is
    what the patient can read over the phone; only bookings made here have one.
    """

    location_scope = "location"

    class Status(models.TextChoices):
        PROPOSED = "proposed", "proposed"
        PENDING = "pending", "pending"
        BOOKED = "booked", "booked"
        ARRIVED = "arrived", "arrived"
        CHECKED_IN = "checked-in", "checked in"
        FULFILLED = "fulfilled", "fulfilled"
        CANCELLED = "cancelled", "cancelled"
        NOSHOW = "noshow", "no-show"
        BUMPED = "bumped", "cancelled by the practice"
        ENTERED_IN_ERROR = "entered-in-error", "entered in error"
        WAITLIST = "waitlist", "on the EHR's waitlist"
        UNKNOWN = "unknown", "unknown"

    class Origin(models.TextChoices):
        EHR = "ehr", "the EHR"
        WAITLIST = "waitlist", "the waitlist"

    #: Statuses that take up the provider's and the patient's time.
    OCCUPYING = (Status.PENDING, Status.BOOKED, Status.ARRIVED, Status.CHECKED_IN, Status.FULFILLED)
    #: Statuses by which a patient was seen here.
    SEEN = (Status.ARRIVED, Status.CHECKED_IN, Status.FULFILLED)
    #: Statuses after which the time is nobody's any more. A no-show frees nothing, and time from which the practice
    #: itself removed the patient is the practice's.
    FREEING = (Status.CANCELLED, Status.ENTERED_IN_ERROR)

    source = models.ForeignKey("scheduling.Source", on_delete=models.PROTECT, related_name="appointments")
    patient = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.PROTECT, related_name="appointments"
    )
    provider = models.ForeignKey(
        "scheduling.Provider", null=True, blank=True, on_delete=models.PROTECT, related_name="appointments"
    )
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.PROTECT, related_name="appointments"
    )
    appointment_type = models.ForeignKey(
        "scheduling.AppointmentType", null=True, blank=True, on_delete=models.SET_NULL, related_name="appointments"
    )
    status = models.CharField(max_length=20, choices=Status)
    start = models.DateTimeField(null=True, blank=True)
    end = models.DateTimeField(null=True, blank=True)
    status_code = models.CharField(max_length=60, blank=True, help_text="The status as received.")
    status_seen_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When the EHR told us of the change to this status. Empty: it had it when its calendar was read.",
    )
    type_system = models.CharField(max_length=255, blank=True)
    type_code = models.CharField(max_length=120, blank=True)
    type_display = models.CharField(max_length=200, blank=True)
    reason_system = models.CharField(max_length=255, blank=True)
    reason_code = models.CharField(max_length=120, blank=True)
    slot_ids = models.JSONField(default=list, blank=True, help_text="The EHR's slot ids, as last seen with it.")
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.EHR)
    reference = models.CharField(max_length=12, null=True, blank=True, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                # Both or neither; spelled out, since a CHECK lets NULL pass.
                condition=Q(start__isnull=True, end__isnull=True)
                | Q(start__isnull=False, end__isnull=False, end__gt=F("start")),
                name="appointment_end_after_start",
            ),
        )
        indexes = (
            models.Index(fields=("provider", "start"), name="appointment_by_provider"),
            models.Index(fields=("patient", "start"), name="appointment_by_patient"),
            models.Index(fields=("location", "start"), name="appointment_by_location"),
            models.Index(fields=("id",), condition=Q(status__in=("waitlist", "proposed")), name="appointment_waits"),
        )

    def __str__(self) -> str:
        return f"appointment {self.pk}"

    @property
    def occupies_time(self) -> bool:
        """Whether the appointment takes up its time."""
        return self.status in self.OCCUPYING and self.start is not None


class CancellationNote(ScopedModel):
    """Why an appointment was cancelled, where the EHR says it in free text alone: for a person to read."""

    location_scope = "appointment__location"

    appointment = models.OneToOneField(Appointment, on_delete=models.CASCADE, related_name="cancellation_note")
    text = EncryptedTextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"note on appointment {self.appointment_id}"


class Block(ScopedModel):
    """Time a provider is not to be booked: a meeting, an illness."""

    location_scope = "location"
    shared_when_unplaced = True

    provider = models.ForeignKey("scheduling.Provider", on_delete=models.CASCADE, related_name="blocks")
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.CASCADE, related_name="blocks"
    )
    start = models.DateTimeField()
    end = models.DateTimeField()
    reason = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(end__gt=F("start")), name="block_end_after_start"),)
        indexes = (models.Index(fields=("provider", "start"), name="block_by_provider"),)

    def __str__(self) -> str:
        zone = self.location.zone if self.location else None
        start, end = timezone.localtime(self.start, zone), timezone.localtime(self.end, zone)
        until = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%b %-d, %H:%M}"
        return f"{self.provider.name}, {start:%b %-d, %Y}, {start:%H:%M} to {until}"


class Opening(ScopedModel):
    """Free time of one provider at one location. Made only by :func:`scheduling.freed_time.open_freed_time`.

    ``origin_key`` names the appointment, its cancelled version and the interval, so the same cancellation heard
    twice opens once. Two due times drive it: ``check_due_at`` asks for a fresh look at the EHR and
    ``attention_due_at`` tells the waitlist that something about it changed.
    """

    location_scope = "location"

    class Status(models.TextChoices):
        OPEN = "open", "open"
        CHECKING = "checking", "checking"
        OFFERING = "offering", "offering"
        CLAIMED = "claimed", "claimed"
        FILLED = "filled", "filled"
        CLOSED = "closed", "closed"

    class Held(models.TextChoices):
        NO = "", "not held"
        PROVIDER_DAY = "provider_day", "several cancellations of this day: is the provider out?"
        BLOCKED = "blocked", "a block lies over this day"
        REASON = "reason", "the cancellation reason does not say whether it may be offered"
        TYPE = "type", "the kind of visit is not mapped: nobody knows what this time was for"
        STATUS = "status", "the status by which it was freed is not mapped"
        REFUSED = "refused", "the EHR keeps refusing to book it"
        ASK_FIRST = "ask_first", "a person decides before offers go out"
        EHR_SILENT = "ehr_silent", "the EHR does not answer"

    class Closed(models.TextChoices):
        NO = "", ""
        TAKEN = "taken", "the time was booked in the EHR"
        RESTORED = "restored", "the appointment was un-cancelled"
        BLOCKED = "blocked", "the time was blocked"
        CUT_OFF = "cut_off", "too close to its start"
        UNFILLABLE = "unfillable", "nobody on the list could take it"
        REASON = "reason", "what its codes mean says that it is not offered"
        STAFF = "staff", "closed by staff"
        MERGED = "merged", "joined with the opening beside it"
        SPLIT = "split", "replaced by what remained of it"

    #: Statuses in which the time can still be claimed.
    CLAIMABLE = (Status.OPEN, Status.CHECKING, Status.OFFERING)
    LIVE = (*CLAIMABLE, Status.CLAIMED)

    provider = models.ForeignKey("scheduling.Provider", on_delete=models.PROTECT, related_name="openings")
    location = models.ForeignKey("scheduling.Location", on_delete=models.PROTECT, related_name="openings")
    source = models.ForeignKey("scheduling.Source", on_delete=models.PROTECT, related_name="openings")
    start = models.DateTimeField()
    end = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    held = models.CharField(max_length=20, choices=Held, default=Held.NO, blank=True)
    closed_reason = models.CharField(max_length=20, choices=Closed, default=Closed.NO, blank=True)
    freed_by = models.ForeignKey(Appointment, null=True, blank=True, on_delete=models.SET_NULL, related_name="openings")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="remainders")
    origin_key = models.CharField(max_length=255, unique=True)
    depth = models.PositiveSmallIntegerField(default=0, help_text="How many move-ups led to this opening.")
    slots = models.JSONField(
        default=list,
        blank=True,
        help_text='Free EHR slots at the last look: [{"id", "start", "end"}], times in ISO 8601 UTC.',
    )
    check_due_at = models.DateTimeField(null=True, blank=True)
    check_lease_until = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    attention_due_at = models.DateTimeField(null=True, blank=True)
    waves_sent = models.PositiveSmallIntegerField(default=0)
    mine_by = models.CharField(max_length=150, blank=True, help_text="The clerk who is filling this slot by hand.")
    mine_until = models.DateTimeField(null=True, blank=True)
    correlation_id = models.CharField(max_length=32, blank=True)
    freed_at = models.DateTimeField(default=timezone.now, help_text="When the EHR told us that it was given up.")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(end__gt=F("start")), name="opening_end_after_start"),)
        indexes = (
            models.Index(fields=("check_due_at",), condition=Q(check_due_at__isnull=False), name="opening_check_due"),
            models.Index(
                fields=("attention_due_at",), condition=Q(attention_due_at__isnull=False), name="opening_attention_due"
            ),
            models.Index(fields=("provider", "start"), name="opening_by_provider"),
            models.Index(fields=("status", "start"), name="opening_by_status"),
        )

    def __str__(self) -> str:
        return f"opening {self.pk}"

    @property
    def duration(self) -> timedelta:
        """Length of the free time."""
        return self.end - self.start
