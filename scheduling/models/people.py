"""Patients and how they are reached. Everything that identifies a person is encrypted at rest."""

from __future__ import annotations

from datetime import date

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedDateField, EncryptedJSONField, EncryptedTextField
from scheduling.models.scope import ScopedModel


class Patient(ScopedModel):
    """A person as the EHR knows them. Written only by :mod:`scheduling.patients`."""

    location_scope = "locations"
    shared_when_unplaced = True

    given_name = EncryptedTextField(blank=True)
    family_name = EncryptedTextField(blank=True)
    preferred_name = EncryptedTextField(blank=True)
    birth_date = EncryptedDateField(null=True, blank=True)
    family_index = models.CharField(max_length=64, blank=True, editable=False, db_index=True)
    birth_date_index = models.CharField(max_length=64, blank=True, editable=False, db_index=True)
    language = models.CharField(max_length=12, blank=True, help_text="Language tag such as en or es; empty: English.")
    # NULL and not "": a load of thousands encrypts nothing for those who have none.
    address = EncryptedTextField(null=True, blank=True)
    emergency_contact = EncryptedJSONField(null=True, blank=True, help_text="name, relation and phone, as text.")
    portal_active = models.BooleanField(null=True, help_text="Empty: the EHR does not say.")
    language_code = models.CharField(max_length=40, blank=True, help_text="The language as received.")
    time_zone = models.CharField(max_length=64, blank=True, help_text="Empty: the location's zone.")
    active = models.BooleanField(default=True)
    deceased = models.BooleanField(default=False)
    restricted = models.BooleanField(default=False, help_text="No message of any kind, calls included.")
    established = models.BooleanField(default=False, help_text="Has been seen here before.")
    replaced_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replaces")
    locations = models.ManyToManyField("scheduling.Location", blank=True, related_name="patients")
    claim_serial = models.PositiveIntegerField(
        default=0, editable=False, help_text="Counts this patient's claims; updating it is the claim's lock."
    )
    attention_due_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Something changed: the waitlist looks at what is out to them."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = (
            models.Index(
                fields=("attention_due_at",), condition=Q(attention_due_at__isnull=False), name="patient_attention"
            ),
        )

    def __str__(self) -> str:
        return f"patient {self.pk}"

    @property
    def full_name(self) -> str:
        """The name staff see: preferred given name and family name."""
        return f"{self.preferred_name or self.given_name} {self.family_name}".strip()

    @property
    def may_be_offered(self) -> bool:
        """False for a record that is inactive, deceased, restricted or replaced by another one."""
        return self.active and not self.deceased and not self.restricted and self.replaced_by_id is None

    def age_on(self, day: date) -> int | None:
        """Return full years of age on ``day``, or None when the birth date is unknown."""
        born = self.birth_date
        if born is None:
            return None
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


class PatientSearchToken(models.Model):
    """A blind index token of a name's beginning, so that encrypted names can be searched by prefix."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="search_tokens")
    token = models.CharField(max_length=32)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("token", "patient"), name="search_token_once"),)

    def __str__(self) -> str:
        return f"token of patient {self.patient_id}"


class PatientIdentifier(ScopedModel):
    """A number a system gave the patient, such as an MRN. Never a key without its source and system."""

    location_scope = "patient__locations"

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="identifiers")
    source = models.ForeignKey("scheduling.Source", on_delete=models.CASCADE, related_name="+")
    system = models.CharField(max_length=255)
    type_code = models.CharField(max_length=40, blank=True, help_text="MR for a medical record number.")
    value = EncryptedTextField()
    value_index = models.CharField(max_length=64, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "system", "value_index"), name="patient_identifier_once"),
        )

    def __str__(self) -> str:
        return f"identifier {self.pk} of patient {self.patient_id}"


class ContactPoint(ScopedModel):
    """A phone number or e-mail address of a patient, in the order the EHR ranks them."""

    location_scope = "patient__locations"

    class System(models.TextChoices):
        PHONE = "phone", "phone"
        EMAIL = "email", "e-mail"

    class State(models.TextChoices):
        USABLE = "usable", "usable"
        INVALID = "invalid", "invalid"
        FROZEN = "frozen", "reached the wrong person"

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="contact_points")
    system = models.CharField(max_length=10, choices=System)
    value = EncryptedTextField(help_text="E.164 for a valid phone, lower case for an e-mail address, else as received.")
    address_index = models.CharField(max_length=64, editable=False, db_index=True)
    use = models.CharField(max_length=20, blank=True, help_text="mobile, home, work, old, temp, or empty.")
    rank = models.PositiveSmallIntegerField(default=99, help_text="Lower is preferred.")
    can_text = models.BooleanField(
        default=False, help_text="A number that can receive texts: mobile, or not known to be a landline."
    )
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)
    guardian = models.BooleanField(default=False, help_text="Belongs to a parent or guardian, with consent of its own.")
    entered_by = models.CharField(
        max_length=150, blank=True, help_text="Who of the staff entered a guardian's contact; empty: the EHR told it."
    )
    state = models.CharField(max_length=10, choices=State, default=State.USABLE)

    class Meta:
        ordering = ("patient", "rank", "pk")
        constraints = (
            models.UniqueConstraint(fields=("patient", "system", "address_index"), name="contact_point_once"),
        )

    def __str__(self) -> str:
        return f"{self.system} {self.pk} of patient {self.patient_id}"

    def usable_on(self, day: date) -> bool:
        """Return whether the contact may be used on ``day``: state, use and period."""
        return self.is_usable(day, self.state, self.use, self.valid_from, self.valid_until)

    @classmethod
    def is_usable(cls, day: date, state: str, use: str, valid_from: date | None, valid_until: date | None) -> bool:
        """Return :meth:`usable_on` of a contact with these values."""
        return (
            state == cls.State.USABLE
            and use != "old"
            and (valid_from is None or valid_from <= day)
            and (valid_until is None or day <= valid_until)
        )
