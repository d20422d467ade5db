"""What the columns of a list mean, guessed from their headings in English and Spanish and from what stands in them.

Pure. A guess is only shown; a person confirms or changes each.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from waitlist.importing import values

#: Field to what staff call it. The order is that of the choices.
FIELDS: Final[dict[str, str]] = {
    "full_name": "Whole name",
    "given_name": "First name",
    "family_name": "Last name",
    "birth_date": "Birth date",
    "phone": "Phone",
    "other_phone": "Second phone",
    "email": "E-mail",
    "mrn": "Chart number (MRN)",
    "language": "Language",
    "appointment_type": "Kind of visit",
    "provider": "Clinician wanted",
    "location": "Location wanted",
    "urgency": "Urgency",
    "joined_on": "On the list since",
    "earliest_date": "Not before",
    "latest_date": "Not after",
    "consent": "Agreed to messages (yes or no)",
    "note": "Note for staff",
}
DATES: Final = ("birth_date", "joined_on", "earliest_date", "latest_date")

#: Headings as they are written, accents and signs aside. Whole words; the longest one found in a heading decides.
_HEADINGS: Final[dict[str, str]] = {
    "full_name": "patient name|name of patient|patient|full name|name|nombre completo|nombre del paciente|paciente|"
    "nombre y apellido|nombre y apellidos|pt name|pt|client|client name",
    "given_name": "first name|given name|first|fname|forename|nombre|nombres|primer nombre|patient first name",
    "family_name": "last name|family name|surname|last|lname|apellido|apellidos|primer apellido|patient last name",
    "birth_date": "birth date|date of birth|dob|d o b|birthdate|birthday|born|b day|fecha de nacimiento|nacimiento|"
    "fecha nac|f nacimiento|fec nac",
    "phone": "phone|phone number|mobile|mobile phone|cell|cell phone|cellphone|cell number|telephone|tel|"
    "contact number|"
    "primary phone|telefono|celular|movil|tel celular|numero de telefono|telefono movil|phone 1|contact",
    "other_phone": "home phone|second phone|other phone|alternate phone|alt phone|work phone|phone 2|telefono de casa|"
    "telefono 2|otro telefono|secondary phone|landline|telefono fijo",
    "email": "email|e mail|email address|mail|correo|correo electronico|e mail address",
    "mrn": "mrn|medical record number|chart|chart number|chart no|record number|patient id|patient number|pid|"
    "expediente|numero de expediente|historia clinica|no de expediente|account number",
    "language": "language|preferred language|lang|idioma|lengua|idioma preferido",
    "appointment_type": "appointment type|visit type|type of visit|type|reason|reason for visit|appt type|visit|"
    "service|procedure|tipo de cita|tipo de visita|tipo|motivo|servicio|cita|kind of visit|waiting for|appointment",
    "provider": "provider|doctor|dr|physician|clinician|md|preferred provider|with|medico|doctora|proveedor|doctor a|"
    "therapist|dentist|hygienist",
    "location": "location|site|office|clinic|place|sede|clinica|lugar|consultorio|sucursal|ubicacion",
    "urgency": "urgency|priority|urgent|prioridad|urgencia|acuity",
    "joined_on": "date added|added|added on|waiting since|on list since|on the list since|since|date|request date|"
    "requested|date requested|fecha|fecha de solicitud|en lista desde|desde|agregado|fecha de ingreso|waitlist date",
    "earliest_date": "not before|earliest|earliest date|available from|no antes de|a partir de|disponible desde",
    "latest_date": "not after|latest|latest date|needed by|by|before|deadline|no despues de|hasta|fecha limite",
    "consent": "consent|text consent|ok to text|sms consent|texts ok|agrees to texts|may we text|can text|opt in|optin|"
    "consentimiento|acepta mensajes|acepta textos|consentimiento sms|text ok",
    "note": "note|notes|comment|comments|remarks|nota|notas|comentario|comentarios|observaciones|availability|"
    "disponibilidad",
}
_BY_WORDS: Final = {words: field for field, text in _HEADINGS.items() for words in text.split("|")}
_SAMPLE = 200
#: Share of a column's cells that must look like something before the content alone decides.
_MOST = 0.7


def plain(text: str) -> str:
    """Return words in lower case without accents and signs."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[a-z0-9]+", letters))


def field_of(heading: str) -> str:
    """Return the field a heading names, "" for none."""
    words = plain(heading)
    if words in _BY_WORDS:
        return _BY_WORDS[words]
    inside = [known for known in _BY_WORDS if len(known) > 3 and f" {known} " in f" {words} "]
    return _BY_WORDS[max(inside, key=len)] if inside else ""


def likeness_of_headings(cells: Sequence[str]) -> int:
    """Return how many different fields a row names, each in a cell of its own."""
    return len({field_of(cell) for cell in cells if cell and len(cell) <= 40} - {""})


def holds_data(cells: Sequence[str]) -> bool:
    """Return whether a row holds a phone number, an e-mail address or a date, which headings never do."""
    return any(
        values.looks_like_phone(cell) or values.looks_like_email(cell) or values.looks_like_date(cell) for cell in cells
    )


def guess(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a field for each column, "" for one to leave out; no field twice."""
    found = [""] * len(headings)
    taken: set[str] = set()
    exact = sorted(range(len(headings)), key=lambda each: plain(headings[each]) not in _BY_WORDS)
    for place in exact:
        field = field_of(headings[place])
        if field == "phone" and "phone" in taken:
            field = "other_phone"
        if field and field not in taken:
            found[place] = field
            taken.add(field)
    for place in range(len(headings)):
        field = "" if found[place] else _by_content([row[place] for row in rows if place < len(row)])
        if field == "phone" and "phone" in taken:
            field = "other_phone"
        if field and field not in taken:
            found[place] = field
            taken.add(field)
    if "full_name" in taken and taken & {"given_name", "family_name"}:
        found = _one_way_of_naming(found, taken)
    return found


def _one_way_of_naming(found: list[str], taken: set[str]) -> list[str]:
    """First and last name say more than the whole one; "Nombre" beside no last name is the whole one."""
    if {"given_name", "family_name"} <= taken:
        return ["" if field == "full_name" else field for field in found]
    return ["" if field in ("given_name", "family_name") else field for field in found]


def _by_content(cells: Sequence[str]) -> str:
    filled = [cell for cell in cells if cell][:_SAMPLE]
    if not filled:
        return ""
    looks = {
        "email": values.looks_like_email,
        "phone": values.looks_like_phone,
        "language": values.looks_like_language,
        "birth_date": values.looks_like_birth_date,
    }
    for field, test in looks.items():
        if sum(map(test, filled)) >= _MOST * len(filled):
            return field
    return ""


def shows_day_first(cells: Sequence[str]) -> bool | None:
    """Return whether a column's dates are day/month/year; None when its values leave it open."""
    orders = {values.order_of(cell) for cell in cells if cell} - {""}
    if "day" in orders and "month" not in orders:
        return True
    if "month" in orders:
        return False
    return None if "either" in orders else False
