"""Finding a patient by what a person at the desk has in hand: a name's beginning, a phone number, an e-mail address,
a birth date. All of it is encrypted, so the search goes through blind indexes."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime

from django.db.models import QuerySet

from audit.encryption import DecryptionError, decrypt, encrypt
from scheduling import patients
from scheduling.models import ContactPoint, Patient

SHORTEST_PHONE = 7
DATE_FORMS = ("%Y-%m-%d", "%m/%d/%Y")
HELP = "The beginning of each name, a whole phone number or e-mail address, or a birth date such as 3/14/1980."


def find(query: str, among: QuerySet[Patient]) -> QuerySet[Patient]:
    """Narrow ``among`` to the patients ``query`` may mean; none when it is empty."""
    text = query.strip()
    born = _birth_date(text)
    if born is not None:
        return among.filter(birth_date_index=patients.birth_date_index(born))
    if "@" in text:
        return among.filter(pk__in=_reached_at(ContactPoint.System.EMAIL, text))
    if sum(letter.isdigit() for letter in text) >= SHORTEST_PHONE:
        return among.filter(pk__in=_reached_at(ContactPoint.System.PHONE, text))
    return patients.find_patients(text, among)


def seal(query: str) -> str:
    """Return the query in a form that may stand in an address: names must not end up in logs and histories."""
    return encrypt(query.strip()[:200].encode()).decode() if query.strip() else ""


def unseal(text: str) -> str:
    """Return the query behind :func:`seal`; empty for anything else."""
    with suppress(DecryptionError, UnicodeError):
        return decrypt(text.encode("ascii")).decode() if text else ""
    return ""


def _reached_at(system: str, value: str) -> QuerySet[ContactPoint, int]:
    index = patients.address_index(system, value)
    return ContactPoint.objects.filter(system=system, address_index=index).values_list("patient_id", flat=True)


def _birth_date(text: str) -> date | None:
    for form in DATE_FORMS:
        with suppress(ValueError):
            return datetime.strptime(text, form).date()  # noqa: DTZ007  a birth date has no zone
    return None
