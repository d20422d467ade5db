"""Patients, practitioners and locations: from raw FHIR JSON to neutral records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from django.utils import timezone

from integrations.ehr.fhir.elements import (
    Json,
    Unreadable,
    codes,
    extension,
    full_date,
    is_false,
    is_true,
    items,
    reference_id,
    resource_id,
    text,
    version_of,
)
from scheduling.records import (
    ContactRecord,
    EmergencyContact,
    IdentifierRecord,
    LocationRecord,
    PatientRecord,
    ProviderRecord,
)

TIME_ZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
PHONE_EXTENSION = "http://hl7.org/fhir/StructureDefinition/contactpoint-extension"
NPI = "http://hl7.org/fhir/sid/us-npi"
NO_RANK = 99
ADULT_YEARS = 18
#: Relations whose telephone may be used for a child: HL7's role codes and SNOMED's mother, father, parent.
_GUARDIAN_CODES = frozenset(
    {"MTH", "FTH", "PRN", "NMTH", "NFTH", "NPRN", "ADOPTP", "ADOPTM", "ADOPTF", "PRNFOST", "MTHFOST", "FTHFOST"}
    | {"STPPRN", "STPMTH", "STPFTH", "GUARD", "72705000", "66839005", "40683002"}
)
_GUARDIAN_WORDS = ("guardian", "parent", "mother", "father", "madre", "padre", "tutor")
_EMERGENCY = frozenset({"C", "EP", "ECON"})
_PAST = ("old", "billing")
_USES = {"home", "work", "temp", "old", "mobile"}


def patient_record(resource: Json, base_url: str, mrn_system: str = "", fallback_version: str = "") -> PatientRecord:
    """Return the patient; raises Unreadable. Another person's numbers are taken only for a child's parent."""
    _expect(resource, "Patient", lists=("name", "telecom", "identifier", "link", "contact", "communication"))
    name = _name_in_use(list(items(resource, "name")))
    born = full_date(resource.get("birthDate"))
    deceased = resource.get("deceasedBoolean")
    return PatientRecord(
        external_id=resource_id(resource),
        version=version_of(resource, fallback_version),
        given_name=_given(name),
        family_name=_family(name),
        preferred_name=_preferred(resource, name),
        birth_date=born,
        language=_language(resource),
        active=not is_false(resource.get("active")),
        deceased=is_true(deceased) or bool(text(resource.get("deceasedDateTime"))),
        replaced_by=_replaced_by(resource, base_url),
        identifiers=tuple(_identifiers(resource, mrn_system)),
        contacts=tuple(_contacts(resource, born)),
        address=_home(resource),
        emergency_contact=_emergency_contact(resource),
        unread=frozenset({"birth_date"} if born is None and resource.get("birthDate") else ()),
    )


def provider_record(resource: Json, fallback_version: str = "") -> ProviderRecord:
    """Return the clinician of a Practitioner; raises Unreadable."""
    _expect(resource, "Practitioner", lists=("name", "identifier"))
    name = _name_in_use(list(items(resource, "name")))
    npi = (text(each.get("value"), 10) for each in items(resource, "identifier") if each.get("system") == NPI)
    return ProviderRecord(
        external_id=resource_id(resource),
        version=version_of(resource, fallback_version),
        name=_display(name)[:200],
        npi=next((number for number in npi if number), ""),
        active=not is_false(resource.get("active")),
    )


def location_record(resource: Json, fallback_version: str = "") -> LocationRecord:
    """Return the place; raises Unreadable."""
    _expect(resource, "Location", lists=("telecom", "extension"))
    phones = (text(each.get("value"), 40) for each in items(resource, "telecom") if each.get("system") == "phone")
    zone = extension(resource, TIME_ZONE)
    return LocationRecord(
        external_id=resource_id(resource),
        version=version_of(resource, fallback_version),
        name=text(resource.get("name"), 200),
        time_zone=text(zone.get("valueCode"), 64) or text(zone.get("valueString"), 64),
        phone=next((number for number in phones if number), ""),
        address=address(resource.get("address")),
        active=resource.get("status") not in ("inactive", "suspended"),
    )


def _expect(resource: Json, resource_type: str, lists: tuple[str, ...]) -> None:
    if resource.get("resourceType") != resource_type:
        raise Unreadable(f"it is not a {resource_type}")
    for name in lists:
        if not isinstance(resource.get(name, []), list | dict):
            raise Unreadable(f"its {name} is not a list")


def _name_in_use(names: list[Json]) -> Json:
    """Return the name a person goes by officially: no old or maiden one, none whose time is over."""
    rank = {"official": 0, "usual": 1, "": 2}
    current = [name for name in names if name.get("use") not in ("old", "maiden", "nickname", "anonymous")]
    today = timezone.now().date().isoformat()
    lasting = [name for name in current if not _is_over(name, today)] or current or names
    return min(lasting, key=lambda name: rank.get(text(name.get("use")), 3), default={})


def _is_over(element: Json, today: str) -> bool:
    period = element.get("period")
    end = full_date(period.get("end")) if isinstance(period, dict) else None
    return end is not None and end.isoformat() < today


def _given(name: Json) -> str:
    return " ".join(_words(name.get("given")))[:300]


def _family(name: Json) -> str:
    # Names that came as one text are searched and shown by it; where it divides is not ours to guess.
    return text(name.get("family"), 300) or ("" if _words(name.get("given")) else text(name.get("text"), 300))


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [word for word in (text(each, 200) for each in values) if word]


def _preferred(resource: Json, official: Json) -> str:
    """Return the given name the person is called by, where it is not the official one."""
    found = preferred_name_in(resource, official)
    return _given(found)[:200] if found is not None else ""


def preferred_name_in(resource: Json, official: Json | None = None) -> Json | None:
    """Return the name among the patient's names that says what they are called by, or None."""
    names = list(items(resource, "name"))
    official = _name_in_use(names) if official is None else official
    others = [name for name in names if name is not official]
    for use in ("usual", "nickname"):
        for name in others:
            if name.get("use") == use and _given(name):
                return name
    return None


def _display(name: Json) -> str:
    words = [*_words(name.get("prefix")), *_words(name.get("given")), text(name.get("family"))]
    plain = " ".join(word for word in words if word) or text(name.get("text"))
    return ", ".join([plain, *_words(name.get("suffix"))])


def _language(resource: Json) -> str:
    spoken = list(items(resource, "communication"))
    preferred = [each for each in spoken if is_true(each.get("preferred"))] or spoken
    return next((found for each in preferred if (found := language_of(each))), "")


def language_of(communication: Json) -> str:
    """Return the code of one language the patient speaks, else what it is called."""
    language = communication.get("language")
    for code in (text(coding.get("code"), 40) for coding in items(language, "coding")):
        if code:
            return code.replace("_", "-")
    return text(language.get("text"), 40) if isinstance(language, dict) else ""


def _replaced_by(resource: Json, base_url: str) -> str:
    links = (link for link in items(resource, "link") if link.get("type") == "replaced-by")
    return next((found for link in links if (found := reference_id(link.get("other"), "Patient", base_url))), "")


def _identifiers(resource: Json, mrn_system: str) -> Iterator[IdentifierRecord]:
    for each in items(resource, "identifier"):
        system, value = text(each.get("system")), text(each.get("value"))
        # A number without its system could be anybody's.
        if not system or not value or each.get("use") == "old":
            continue
        kind = "MR" if system == mrn_system else next(iter(sorted(codes(each.get("type")))), "")
        yield IdentifierRecord(system, value, kind[:40])


def _contacts(resource: Json, born: date | None) -> Iterator[ContactRecord]:
    for point in items(resource, "telecom"):
        yield from _contact(point, guardian=False)
    if born is None or not _is_minor(born):
        return
    for person in items(resource, "contact"):
        if any(_is_guardian(relation) for relation in items(person, "relationship")):
            for point in items(person, "telecom"):
                yield from _contact(point, guardian=True)


def _is_minor(born: date) -> bool:
    today = timezone.now().date()
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day)) < ADULT_YEARS


def _is_guardian(relation: Json) -> bool:
    said = " ".join([text(relation.get("text")), *(text(each.get("display")) for each in items(relation, "coding"))])
    return bool(_GUARDIAN_CODES & codes(relation)) or any(word in said.lower() for word in _GUARDIAN_WORDS)


def contacts(points: list[Json]) -> list[ContactRecord]:
    """Return the telephone numbers and e-mail addresses among FHIR ContactPoints."""
    return [found for point in points for found in _contact(point, guardian=False)]


def _contact(point: Json, *, guardian: bool) -> Iterator[ContactRecord]:
    value, system, use = text(point.get("value")), point.get("system"), text(point.get("use"))
    if not value or system not in ("phone", "sms", "email"):
        return
    inner = text(extension(point, PHONE_EXTENSION).get("valueString"), 12)
    if inner and system == "phone":
        value = f"{value} x{inner}"
    period = point.get("period")
    period = period if isinstance(period, dict) else {}
    yield ContactRecord(
        system="email" if system == "email" else "phone",
        value=value,
        use="mobile" if system == "sms" and use != "old" else use if use in _USES else "",
        rank=_rank(point.get("rank")),
        valid_from=full_date(period.get("start")),
        valid_until=full_date(period.get("end")),
        guardian=guardian,
    )


def _home(resource: Json) -> str:
    """Return where the patient lives, else another address that holds today."""
    if not resource.get("address"):
        return ""
    today = timezone.now().date().isoformat()
    held = [each for each in items(resource, "address") if each.get("use") not in _PAST and not _is_over(each, today)]
    rank = {"home": 0, "": 1, "temp": 2, "work": 3}
    return address(min(held, key=lambda each: rank.get(text(each.get("use")), 4), default=None))


def _emergency_contact(resource: Json) -> EmergencyContact | None:
    if not resource.get("contact"):
        return None
    for person in items(resource, "contact"):
        if any(_EMERGENCY & codes(relation) for relation in items(person, "relationship")):
            return emergency_contact(person)
    return None


def emergency_contact(person: Json) -> EmergencyContact | None:
    """Return who a ``Patient.contact`` is and how they are reached; None where it says nothing of that."""
    name = person.get("name")
    phones = (text(point.get("value"), 40) for point in items(person, "telecom") if point.get("system") == "phone")
    relations = [_relation(each) for each in items(person, "relationship") if not _EMERGENCY & codes(each)]
    found = EmergencyContact(
        name=_display(name)[:200] if isinstance(name, dict) else "",
        relation=next((relation for relation in relations if relation), "")[:80],
        phone=next((number for number in phones if number), ""),
    )
    return found if found.name or found.phone else None


def _relation(concept: Json) -> str:
    displays = (text(each.get("display"), 80) for each in items(concept, "coding"))
    return text(concept.get("text"), 80) or next((display for display in displays if display), "")


def _rank(value: Any) -> int:
    """Return the rank, which some write as text; what is no positive number counts as none."""
    try:
        rank = int(value)
    except (TypeError, ValueError, OverflowError):
        return NO_RANK
    return min(rank, NO_RANK) if rank > 0 else NO_RANK


def address(value: Any) -> str:
    """Return a FHIR Address, or the first of several, in one line; empty where it is none."""
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, dict):
        return ""
    lines = _words(value.get("line"))
    place = [text(value.get(name)) for name in ("city", "state", "postalCode")]
    return (", ".join([*lines, " ".join(part for part in place if part)]) or text(value.get("text")))[:300].strip(", ")
