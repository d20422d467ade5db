"""By what patients are found again: normalised numbers and the blind indexes of what is encrypted."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers

from audit.encryption import blind_index
from scheduling.models import ContactPoint

REGION = "US"


def normalise_phone(raw: str, region: str = REGION) -> tuple[str, bool]:
    """Return the E.164 form and whether it is a valid number; an unreadable one comes back stripped, with False."""
    value, valid, _ = read_phone(raw, region)
    return value, valid


@lru_cache(maxsize=4096)
def read_phone(raw: str, region: str = REGION) -> tuple[str, bool, str]:
    """Return the normalised number, whether it is valid, and its extension."""
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return raw.strip(), False, ""
    extension = number.extension or ""
    if not phonenumbers.is_valid_number(number):
        return raw.strip(), False, extension
    # An extension cannot be texted, so it is kept in the value but not in the number that is compared.
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), True, extension


def address_index(system: str, value: str) -> str:
    """Return the blind index of a phone (E.164) or e-mail address."""
    plain = normalise_phone(value)[0] if system == ContactPoint.System.PHONE else value.strip().lower()
    return blind_index(plain, f"contact {system}")


def family_index(family_name: str) -> str:
    """Return the blind index of a family name, case and spaces aside; empty for none."""
    plain = " ".join(family_name.casefold().split())
    return blind_index(plain, "family name") if plain else ""


def birth_date_index(birth_date: object) -> str:
    """Return the blind index of an ISO birth date; empty for none."""
    return blind_index(str(birth_date), "birth date") if birth_date else ""


def identifier_index(system: str, value: str) -> str:
    """Return the blind index of an identifier within its system."""
    return blind_index(f"{system}|{value.strip()}", "patient identifier")
