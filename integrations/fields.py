"""The patient's details that an EHR tells us: where each stands, how it is tidied, whose word counts.

One table declares them. A connection has a :class:`integrations.models.FieldMapping` only where it differs. The
FHIRPaths say what the built-in reader (:mod:`integrations.ehr.fhir.people`) does, which reads a page of hundreds of
patients many times faster than a path does; where the practice gives a path of its own, that path is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db.models import TextChoices

Owner = Literal["ehr", "practice"]


class Transform(TextChoices):
    """How a value is tidied before it is kept."""

    NONE = "none", "as it is"
    TRIM = "trim", "without spaces around it"
    LOWER = "lower", "in lower case"
    TITLE = "title", "with capital initials"
    PHONE = "phone", "as a telephone number (E.164)"
    DATE = "date", "as a date"
    LANGUAGE = "language", "as a language code"
    YES_NO = "yes_no", "as yes or no"


@dataclass(frozen=True, slots=True)
class Field:
    """One detail. ``fixed``: why its owner is always the EHR; empty where the practice may take it over.

    ``many``: a patient may have several, each by its rank. ``always``: a patient without one is a failure. ``usual``:
    most have one, so that hundreds in a row without are one.
    """

    key: str
    label: str
    fhirpath: str
    hl7v2: str
    transform: Transform = Transform.TRIM
    fixed: str = ""
    many: bool = False
    always: bool = False
    usual: bool = False


_IDENTITY = "The EHR’s legal name and birth date always win: by them we make sure that it is the same person."
_REACH = (
    "Consent, STOP and wrong numbers hang on the EHR’s numbers and addresses. What is corrected here, on the "
    "patient’s page, goes to the EHR."
)

FIELDS: dict[str, Field] = {
    field.key: field
    for field in (
        Field(
            "family_name",
            "Legal family name",
            "Patient.name.where(use = 'official').family",
            "PID-5.1",
            fixed=_IDENTITY,
            always=True,
        ),
        Field(
            "given_name", "Legal given name", "Patient.name.where(use = 'official').given", "PID-5.2", fixed=_IDENTITY
        ),
        Field(
            "birth_date",
            "Birth date",
            "Patient.birthDate",
            "PID-7",
            transform=Transform.DATE,
            fixed=_IDENTITY,
            always=True,
        ),
        Field(
            "preferred_name", "Preferred name", "Patient.name.where(use = 'usual' or use = 'nickname').given", "PID-9.2"
        ),
        Field(
            "language",
            "Language",
            "Patient.communication.where(preferred = true).language.coding.code",
            "PID-15.1",
            transform=Transform.LANGUAGE,
        ),
        Field(
            "phones",
            "Telephone numbers",
            "Patient.telecom.where(system = 'phone' or system = 'sms')",
            "PID-13.1",
            transform=Transform.PHONE,
            fixed=_REACH,
            many=True,
            usual=True,
        ),
        Field(
            "emails",
            "E-mail addresses",
            "Patient.telecom.where(system = 'email')",
            "PID-13.4",
            transform=Transform.LOWER,
            fixed=_REACH,
            many=True,
        ),
        Field("address", "Postal address", "Patient.address", "PID-11"),
        Field(
            "emergency_contact",
            "Emergency contact",
            "Patient.contact.where(relationship.coding.code = 'C')",
            "NK1-2",
        ),
        # No EHR tells it in a standard place: without a path of the practice's own it is not known.
        Field(
            "portal_active",
            "Portal account active",
            "",
            "",
            transform=Transform.YES_NO,
            fixed="Only the EHR knows whether the account works.",
        ),
    )
}


def choices() -> list[tuple[str, str]]:
    """Return each field and what staff call it."""
    return [(field.key, field.label) for field in FIELDS.values()]
