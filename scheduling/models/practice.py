"""The practice: its places, its people and what can be booked with whom."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from scheduling.models.scope import ScopedModel


def validate_time_zone(name: str) -> None:
    """Refuse a name that is not an IANA time zone such as ``America/New_York``."""
    if name not in available_timezones():
        raise ValidationError(
            "%(name)s is not an IANA time zone. Write for example America/New_York.", params={"name": name}
        )


def validate_days(digits: str) -> None:
    """Refuse anything but different digits from 1, Monday, to 7, Sunday."""
    if not set(digits) <= set("1234567") or len(set(digits)) != len(digits):
        raise ValidationError("Write each day once as a digit, 1 for Monday to 7 for Sunday, e.g. 12345.")


class Practice(models.Model):
    """The one row that describes the practice and holds its *Pause everything* switch."""

    name = models.CharField(max_length=120, default="Our practice")
    phone = models.CharField(
        max_length=40, blank=True, help_text="The number a person answers; it stands on every page."
    )
    time_zone = models.CharField(max_length=64, default="America/New_York", validators=[validate_time_zone])
    office_days = models.CharField(
        max_length=7, default="12345", blank=True, validators=[validate_days], help_text="1 is Monday, 7 is Sunday."
    )
    office_opens = models.TimeField(
        default=time(8, 0),
        help_text="From this time until it closes somebody answers the phone: patients are told to call then.",
    )
    office_closes = models.TimeField(
        default=time(18, 0), help_text="Silence of the EHR is a fault only while the office is open."
    )
    mine_minutes = models.PositiveSmallIntegerField(
        "minutes of “Mine”",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(240)],
        help_text="So long “Mine” keeps offers back while somebody fills a time by hand; pressing it again renews it.",
    )
    deepest_chain = models.PositiveSmallIntegerField(
        "move-ups in a row",
        default=3,
        validators=[MaxValueValidator(10)],
        help_text="A patient moved up frees a time, whose taker may be moved up too. After so many the rest is left to "
        "staff. 0: nobody is moved up.",
    )
    absence_cancellations = models.PositiveSmallIntegerField(
        "cancellations that look like an absence",
        default=3,
        validators=[MinValueValidator(2), MaxValueValidator(50)],
        help_text="So many cancellations of one clinician's day within the minutes below hold that day: staff are "
        "asked whether the clinician is out before anybody is offered it.",
    )
    absence_minutes = models.PositiveSmallIntegerField(
        "within minutes",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(240)],
        help_text="Cancellations further apart than this are taken for patients', not for an absence.",
    )
    guardian_until_age = models.PositiveSmallIntegerField(
        "guardian decides below age",
        default=12,
        validators=[MaxValueValidator(18)],
        help_text="Offers for younger patients go to a guardian's contact only. From this age to the next one staff "
        "decide whom to talk to.",
    )
    adult_at_age = models.PositiveSmallIntegerField(
        "adult at age",
        default=18,
        validators=[MinValueValidator(18), MaxValueValidator(21)],
        help_text="From this age a patient is written to themselves. Some states set it above 18.",
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=150, blank=True)
    pause_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "practice"
        constraints = (models.CheckConstraint(condition=Q(pk=1), name="practice_is_one_row"),)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def current(cls) -> Practice:
        """Return the practice's row, made with its defaults at first use."""
        return cls.objects.get_or_create(pk=1)[0]


class Location(ScopedModel):
    """A place where patients are seen. Naive times from its EHR are in its zone."""

    location_scope = "pk"

    name = models.CharField(max_length=200)
    signature = models.CharField(
        max_length=60, blank=True, help_text="How texts from here are signed. Empty: the practice's name."
    )
    time_zone = models.CharField(max_length=64, validators=[validate_time_zone])
    phone = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=300, blank=True)
    names_providers = models.BooleanField(
        "names providers in messages",
        default=False,
        help_text="Off: texts and e-mails do not say who the visit is with.",
    )
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ("name",)
        permissions = (("see_all_locations", "Can see the rows of all locations"),)

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """The location's time zone."""
        return ZoneInfo(self.time_zone)


class ClosedDay(ScopedModel):
    """A day on which nobody is at a location, or at none of them: a public holiday, a closure."""

    location_scope = "location"
    shared_when_unplaced = True

    location = models.ForeignKey(
        Location,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="closed_days",
        help_text="Empty: the whole practice is closed.",
    )
    day = models.DateField()
    name = models.CharField(max_length=80, blank=True)
    yearly = models.BooleanField(
        "every year", default=False, help_text="On: on this day of every year, such as July 4; not for days that move."
    )

    class Meta:
        ordering = ("day",)
        constraints = (
            models.UniqueConstraint(fields=("location", "day"), name="closed_day_once"),
            models.UniqueConstraint(
                fields=("day",), condition=Q(location__isnull=True), name="closed_day_once_everywhere"
            ),
        )

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"{self.day:%b} {self.day.day}, {self.day.year}", self.name)))


class Plan(models.Model):
    """An insurance plan, as far as it decides whom a visit may be offered to."""

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    active = models.BooleanField(default=True)

    class Meta:
        verbose_name = "insurance plan"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Provider(models.Model):
    """A clinician patients are booked with."""

    name = models.CharField(max_length=200)
    npi = models.CharField("NPI", max_length=10, blank=True)
    plans = models.ManyToManyField(
        Plan,
        blank=True,
        related_name="providers",
        help_text="Insurance plans this clinician takes. Empty: not entered; a person decides where a visit needs one.",
    )
    active = models.BooleanField(default=True)
    claim_serial = models.PositiveIntegerField(
        default=0, editable=False, help_text="Counts claims on this provider's time; updating it is the claim's lock."
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class AppointmentType(models.Model):
    """A kind of visit, with how far the machine may go in filling it."""

    class Automation(models.TextChoices):
        AUTOMATIC = "automatic", "automatic"
        STAFF_CONFIRM = "staff_confirm", "staff confirm each booking"
        NEVER = "never", "never offered"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    duration_minutes = models.PositiveSmallIntegerField()
    automation = models.CharField(
        max_length=20,
        choices=Automation,
        default=Automation.AUTOMATIC,
        help_text="How far the machine goes. Choose “staff confirm” for new patients, procedures, and whatever needs "
        "preparation, a referral or an authorisation; “never” keeps the kind from being offered.",
    )
    minimum_notice_minutes = models.PositiveIntegerField(
        default=60, help_text="Time is not offered for this type when it starts sooner than this."
    )
    needs_insurance = models.BooleanField(
        "insurance needed",
        default=False,
        help_text="On: offered by itself only where the patient's plan is known and the clinician takes it.",
    )
    seeks_earlier = models.BooleanField(
        "booked visits seek earlier times",
        default=False,
        help_text="On: whoever has a booked visit of this kind and agreed to messages is offered earlier times, too.",
    )
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.CheckConstraint(condition=Q(duration_minutes__gt=0), name="type_duration_positive"),)

    def __str__(self) -> str:
        return self.name


class Bookable(ScopedModel):
    """What fits where: this provider takes this type, for so long, at this location."""

    location_scope = "location"

    class Mode(models.TextChoices):
        AUTOMATIC = "automatic", "automatic"
        ASK_FIRST = "ask_first", "ask first"
        OFF = "off", "off"

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="bookables")
    location = models.ForeignKey(Location, on_delete=models.CASCADE, related_name="bookables")
    appointment_type = models.ForeignKey(AppointmentType, on_delete=models.CASCADE, related_name="bookables")
    duration_minutes = models.PositiveSmallIntegerField()
    mode = models.CharField(
        max_length=20,
        choices=Mode,
        default=Mode.ASK_FIRST,
        help_text="Ask first: the machine proposes and a person sends with one click.",
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("provider", "location", "appointment_type"), name="bookable_once"),
            models.CheckConstraint(condition=Q(duration_minutes__gt=0), name="bookable_duration_positive"),
        )

    def __str__(self) -> str:
        what = f"{self.appointment_type.name} with {self.provider.name} at {self.location.name}"
        return f"{what}, {self.duration_minutes} min"
