"""Where rows come from, and what they are called there."""

from __future__ import annotations

from django.db import models


class Source(models.Model):
    """A system that knows patients and appointments by names of its own: an EHR, a spreadsheet, ourselves."""

    class Registers(models.TextChoices):
        MACHINE = "machine", "by machine, after a search that finds nobody"
        STAFF = "staff", "by staff, in the EHR"

    key = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    writable = models.BooleanField(
        default=True, help_text="Off: bookings go to staff, who enter them in the EHR by hand."
    )
    cancels = models.BooleanField(
        default=True, help_text="Off: the EHR lets us cancel nothing; staff cancel by hand, and patients are told so."
    )
    books_one_slot = models.BooleanField(
        default=False, help_text="On: the EHR books exactly one slot at a time, so only times that fit one are offered."
    )
    registers_patients = models.CharField(
        "new patients",
        max_length=10,
        choices=Registers,
        default=Registers.STAFF,
        help_text="How somebody on the waitlist whom this EHR does not know is registered there. A record that may be "
        "theirs is always for staff to compare.",
    )
    shadow_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the last shadow run began: all computed, nothing sent."
    )
    shadow_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="When it ended.")
    practice_owns = models.JSONField(
        default=list,
        blank=True,
        editable=False,
        help_text="Details of patients, by column, that this source tells once and the practice keeps from then on.",
    )

    def __str__(self) -> str:
        return self.name

    @property
    def in_shadow(self) -> bool:
        """Whether everything is computed and nothing is offered, sent or written."""
        return self.shadow_since is not None and self.shadow_until is None


class ExternalId(models.Model):
    """What a source calls one of our rows, and the version of it that we hold.

    ``value`` is the source's own id (a FHIR logical id). ``version`` is opaque: equal or different, never greater.
    ``seen_at`` is our clock when the fetch that produced the held version began; an answer to an earlier fetch
    never overwrites it.
    """

    class Kind(models.TextChoices):
        PATIENT = "patient"
        PROVIDER = "provider"
        LOCATION = "location"
        APPOINTMENT = "appointment"
        APPOINTMENT_TYPE = "appointment_type"
        SCHEDULE = "schedule"
        BLOCK = "block"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="external_ids")
    kind = models.CharField(max_length=20, choices=Kind)
    value = models.CharField(max_length=255)
    version = models.CharField(max_length=120, blank=True)
    object_id = models.BigIntegerField()
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("source", "kind", "value"), name="external_id_once"),)
        indexes = (models.Index(fields=("kind", "object_id"), name="external_id_by_object"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id} at source {self.source_id}"
