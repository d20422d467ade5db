"""How the HL7 v2 messages of a connection are read, and which of them was the newest of each patient."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

#: Where a visit's time can stand: a segment, in the order in which they are looked at.
TIMES = ("AIS", "AIP", "AIL", "AIG", "TQ1", "SCH")


def validate_times(written: str) -> None:
    """Refuse an order of segments that names none, or one that holds no time."""
    named = written.split()
    if not named or not set(named) <= set(TIMES):
        raise ValidationError(
            "Name segments that hold a visit’s time, with spaces between them: %(known)s.",
            params={"known": " ".join(TIMES)},
        )


class MessageSettings(models.Model):
    """What a connection declares about its HL7 v2 messages."""

    class MessagesTell(models.TextChoices):
        NEWS = "news", "that something changed: it is then read by FHIR"
        FIELDS = "fields", "also each field of patients that has an HL7 v2 path of your own"

    class AppointmentNumber(models.TextChoices):
        FILLER = "filler", "the filler’s number (SCH-2)"
        PLACER = "placer", "the placer’s number (SCH-1)"

    class Place(models.TextChoices):
        FACILITY = "facility", "the facility (AIL-3.4)"
        POINT_OF_CARE = "point_of_care", "the point of care (AIL-3.1)"

    class Charset(models.TextChoices):
        UTF_8 = "utf-8", "UTF-8"
        LATIN_1 = "iso8859-1", "ISO 8859-1 (Latin 1)"
        WINDOWS = "cp1252", "Windows 1252"

    messages_tell = models.CharField(
        "messages tell",
        max_length=10,
        choices=MessagesTell,
        default=MessagesTell.NEWS,
        help_text="A kind of EHR without FHIR is told everything by its messages, whatever stands here.",
    )
    mrn_authority = models.CharField(
        "authority of MRNs",
        max_length=255,
        blank=True,
        help_text="CX.4 of the record number in PID-3: the authority’s name or its universal id. Empty: the messages "
        "name only one.",
    )
    appointment_number = models.CharField(
        "appointments are known by", max_length=10, choices=AppointmentNumber, default=AppointmentNumber.FILLER
    )
    appointment_system = models.CharField(
        "system of that number",
        max_length=255,
        blank=True,
        help_text="The identifier system of that number on FHIR appointments. Empty: it is their own id.",
    )
    place_in_messages = models.CharField("a place is", max_length=20, choices=Place, default=Place.FACILITY)
    times_in_messages = models.CharField(
        "times stand in",
        max_length=40,
        default=" ".join(TIMES),
        validators=[validate_times],
        help_text="Segments in the order in which they are looked at; the first with a start counts.",
    )
    message_charset = models.CharField(
        "letters",
        max_length=20,
        choices=Charset,
        default=Charset.UTF_8,
        help_text="Of messages that do not say it themselves (MSH-18).",
    )

    class Meta:
        abstract = True


class MessageClock(models.Model):
    """When the newest message about a patient or a visit was made that was taken over."""

    connection = models.ForeignKey("integrations.Connection", on_delete=models.CASCADE, related_name="+")
    subject_key = models.CharField(max_length=255)
    sent_at = models.DateTimeField()
    details = models.JSONField(
        null=True,
        blank=True,
        help_text="Of a patient: when the newest message was made that told this detail; empty: sent_at holds for all.",
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=("connection", "subject_key"), name="message_clock_once"),)

    def __str__(self) -> str:
        return f"message clock {self.pk}"
