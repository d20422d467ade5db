"""Harbor Family Practice: its locations, providers, what each of them offers, and when. All invented."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

EXAMPLE = "https://sandbox-ehr.example.org"
MRN_SYSTEM = f"{EXAMPLE}/mrn"
TYPE_SYSTEM = f"{EXAMPLE}/appointment-type"
APPOINTMENT_SYSTEM = f"{EXAMPLE}/appointment"
DURATION_EXTENSION = f"{EXAMPLE}/duration-minutes"
NPI_SYSTEM = "http://hl7.org/fhir/sid/us-npi"
TIMEZONE_EXTENSION = "http://hl7.org/fhir/StructureDefinition/timezone"
CANCELLATION_SYSTEM = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
LOCAL_CANCELLATION_SYSTEM = f"{EXAMPLE}/cancel-reason"


@dataclass(frozen=True)
class Site:
    id: str
    name: str
    zone: str
    phone: str
    street: str
    city: str
    state: str
    postal_code: str


@dataclass(frozen=True)
class VisitType:
    code: str
    name: str
    minutes: int


@dataclass(frozen=True)
class Provider:
    """``days``: per site's id the weekdays (Monday is 0) worked there; ``slot_minutes``: the length of a slot."""

    id: str
    npi_base: str
    prefix: str
    given: str
    family: str
    suffix: str
    specialty: str
    slot_minutes: int
    types: tuple[str, ...]
    days: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def display(self) -> str:
        return " ".join(part for part in (self.prefix, self.given, self.family) if part) + (
            f", {self.suffix}" if self.suffix else ""
        )


RIVERSIDE = Site(
    "riverside",
    "Harbor Family Practice Riverside",
    "America/New_York",
    "(212) 555-0100",
    "18 Pier Street",
    "New York",
    "NY",
    "10004",
)
LAKEVIEW = Site(
    "lakeview",
    "Harbor Family Practice Lakeview",
    "America/Chicago",
    "(312) 555-0100",
    "240 Shore Avenue",
    "Chicago",
    "IL",
    "60611",
)
SITES = (RIVERSIDE, LAKEVIEW)

VISIT_TYPES = {
    visit.code: visit
    for visit in (
        VisitType("FOLLOWUP", "Follow-up visit", 30),
        VisitType("NEWPATIENT", "New patient visit", 60),
        VisitType("PHYSICAL", "Annual physical", 60),
        VisitType("NURSE", "Nurse visit", 15),
        VisitType("PROCEDURE", "Minor procedure", 60),
    )
}

_WEEK = (0, 1, 2, 3, 4)
PROVIDERS = (
    Provider(
        "chen",
        "199999990",
        "Dr.",
        "Maya",
        "Chen",
        "MD",
        "Family medicine",
        30,
        ("FOLLOWUP", "NEWPATIENT", "PHYSICAL"),
        (("riverside", _WEEK),),
    ),
    Provider(
        "ortega",
        "199999991",
        "Dr.",
        "Luis",
        "Ortega",
        "MD",
        "Family medicine",
        30,
        ("FOLLOWUP", "PHYSICAL"),
        (("riverside", _WEEK),),
    ),
    Provider("oneill", "199999992", "", "Grace", "O'Neill", "RN", "Nursing", 15, ("NURSE",), (("riverside", _WEEK),)),
    Provider(
        "okafor",
        "199999993",
        "Dr.",
        "Amara",
        "Okafor",
        "MD",
        "Internal medicine",
        30,
        ("FOLLOWUP", "NEWPATIENT", "PHYSICAL"),
        (("riverside", (0, 1, 2)), ("lakeview", (3, 4))),
    ),
    Provider(
        "lindqvist",
        "199999994",
        "Dr.",
        "Henrik",
        "Lindqvist",
        "MD",
        "Family medicine",
        60,
        ("PHYSICAL", "NEWPATIENT", "PROCEDURE"),
        (("lakeview", _WEEK),),
    ),
    Provider(
        "raman",
        "199999995",
        "",
        "Priya",
        "Raman",
        "NP",
        "Family medicine",
        30,
        ("FOLLOWUP", "NEWPATIENT"),
        (("lakeview", _WEEK),),
    ),
)


def national_provider_identifier(base: str) -> str:
    """Nine digits with their check digit: Luhn over the prefix 80840 and the number, as CMS defines it."""
    digits = [int(digit) for digit in "80840" + base]
    doubled = [
        sum(divmod(2 * digit, 10)) if position % 2 == 0 else digit for position, digit in enumerate(reversed(digits))
    ]
    return f"{base}{-sum(doubled) % 10}"


def schedule_id(provider: Provider, site_id: str) -> str:
    return f"{provider.id}-{site_id}"


def practice(today: date) -> list[dict[str, Any]]:
    """Locations, Practitioners, PractitionerRoles and Schedules."""
    resources: list[dict[str, Any]] = [_location(site) for site in SITES]
    for provider in PROVIDERS:
        resources.append(_practitioner(provider))
    for provider in PROVIDERS:
        for site_id, weekdays in provider.days:
            resources.append(_role(provider, site_id, weekdays))
            resources.append(_schedule(provider, site_id, today))
    return resources


def visit_type_concept(code: str) -> dict[str, Any]:
    visit = VISIT_TYPES[code]
    return {"coding": [{"system": TYPE_SYSTEM, "code": visit.code, "display": visit.name}], "text": visit.name}


def _location(site: Site) -> dict[str, Any]:
    return {
        "resourceType": "Location",
        "id": site.id,
        "status": "active",
        "name": site.name,
        "mode": "instance",
        "extension": [{"url": TIMEZONE_EXTENSION, "valueCode": site.zone}],
        "identifier": [{"system": f"{EXAMPLE}/location", "value": site.id.upper()}],
        "telecom": [{"system": "phone", "value": site.phone, "use": "work"}],
        "address": {
            "line": [site.street],
            "city": site.city,
            "state": site.state,
            "postalCode": site.postal_code,
            "country": "US",
        },
    }


def _practitioner(provider: Provider) -> dict[str, Any]:
    name: dict[str, Any] = {
        "use": "official",
        "family": provider.family,
        "given": [provider.given],
        "suffix": [provider.suffix],
    }
    if provider.prefix:
        name["prefix"] = [provider.prefix]
    return {
        "resourceType": "Practitioner",
        "id": provider.id,
        "active": True,
        "name": [name],
        "identifier": [
            {"use": "official", "system": NPI_SYSTEM, "value": national_provider_identifier(provider.npi_base)}
        ],
        "telecom": [{"system": "email", "value": f"{provider.id}@example.org", "use": "work"}],
    }


def _role(provider: Provider, site_id: str, weekdays: tuple[int, ...]) -> dict[str, Any]:
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    hours = [("08:00:00", "12:00:00"), ("13:00:00", "17:00:00")]
    return {
        "resourceType": "PractitionerRole",
        "id": schedule_id(provider, site_id),
        "active": True,
        "practitioner": {"reference": f"Practitioner/{provider.id}", "display": provider.display},
        "location": [_site_reference(site_id)],
        "specialty": [{"text": provider.specialty}],
        "availableTime": [
            {"daysOfWeek": [names[day] for day in weekdays], "availableStartTime": begin, "availableEndTime": end}
            for begin, end in hours
        ],
    }


def _schedule(provider: Provider, site_id: str, today: date) -> dict[str, Any]:
    return {
        "resourceType": "Schedule",
        "id": schedule_id(provider, site_id),
        "active": True,
        "serviceType": [
            visit_type_concept(code)
            | {"extension": [{"url": DURATION_EXTENSION, "valuePositiveInt": VISIT_TYPES[code].minutes}]}
            for code in provider.types
        ],
        "actor": [{"reference": f"Practitioner/{provider.id}", "display": provider.display}, _site_reference(site_id)],
        "planningHorizon": {
            "start": (today - timedelta(days=30)).isoformat(),
            "end": (today + timedelta(days=30)).isoformat(),
        },
    }


def _site_reference(site_id: str) -> dict[str, str]:
    site = next(site for site in SITES if site.id == site_id)
    return {"reference": f"Location/{site.id}", "display": site.name}
