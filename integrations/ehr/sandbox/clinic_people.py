"""300 invented patients, with contact data as untidy as a practice's. The first forty have one oddity each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any

from .clinic_setup import EXAMPLE, MRN_SYSTEM

PATIENT_COUNT = 300
_MRN_TYPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
_AREA_CODES = ("212", "312", "646", "773", "718", "847", "917", "630")
_FORMATS = ("({0}) 555-{1}", "+1{0}555{1}", "{0}-555-{1}", "{0}.555.{1}", "1 {0} 555 {1}", "{0}555{1}")
_GIVEN = {
    "female": (
        "Olivia Emma Ava Sofia Isabella Mia Charlotte Amelia Harper Evelyn Abigail Emily Ella Camila Luna "
        "Nora Hazel Zoe Lucia Elena Rosa Carmen Ngozi Aisha Fatima Mei Yuki Ingrid Freya Hannah Ruth Judith "
        "Dorothy Marta Beatriz Priya Anjali Leila Tanya Wanda"
    ),
    "male": (
        "Liam Noah Oliver James Elijah Mateo Lucas Henry Daniel Jackson Samuel David Joseph Carlos Miguel "
        "Diego Javier Omar Ali Hassan Wei Kenji Lars Sven Patrick Walter Harold George Arthur Raj Arjun Emeka "
        "Kwame Tomasz Piotr Ivan Dmitri Andre Marcus Theo"
    ),
}
_FAMILY = (
    "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez "
    "Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark "
    "Ramirez Lewis Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams "
    "Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts Gomez Phillips Evans Turner Diaz Parker "
    "Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutierrez Ortiz Morgan Cooper "
    "Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward Richardson Watson Brooks Chavez Wood Bennett "
    "Gray Mendoza Ruiz Hughes Price Alvarez Castillo"
)
Patient = dict[str, Any]


class Phones:
    """Hands out each reserved number 555-01xx of an area code once. 0100 belongs to the practice."""

    def __init__(self) -> None:
        self._free = [(area, f"01{number:02d}") for number in range(1, 100) for area in _AREA_CODES]
        self._next = 0

    def take(self, form: int | None = None) -> str:
        area, line = self._free[self._next]
        self._next += 1
        return _FORMATS[self._next % len(_FORMATS) if form is None else form].format(area, line)


def patients(today: date) -> list[Patient]:
    """Patient resources ``patient-001`` to ``patient-300``; the same for the same day."""
    # Seeded, so that the clinic comes out the same every time.
    random, phones = Random(555_0100), Phones()  # noqa: S311
    people = [_ordinary(number, random, phones, today) for number in range(1, PATIENT_COUNT + 1)]
    for number, change in enumerate(_ODDITIES, start=1):
        change(people[number - 1], people, phones, today)
    return people


def is_bookable(patient: Patient) -> bool:
    """Whether the practice would still give this patient an appointment."""
    gone = patient.get("deceasedBoolean") or "deceasedDateTime" in patient
    replaced = any(link["type"] == "replaced-by" for link in patient.get("link", []))
    return bool(patient["active"]) and not gone and not replaced


def display_name(patient: Patient) -> str:
    name = patient["name"][0]
    return " ".join([*name["given"], name["family"]])


def phone(value: str, use: str = "mobile", **more: Any) -> dict[str, Any]:
    return {"system": "phone", "value": value, "use": use, **more}


def _ordinary(number: int, random: Random, phones: Phones, today: date) -> Patient:
    gender = random.choice(("female", "male"))
    given, family = random.choice(_GIVEN[gender].split()), random.choice(_FAMILY.split())
    birth = date(today.year - random.randint(19, 88), random.randint(1, 12), random.randint(1, 28))
    spanish = random.random() < 0.12
    telecom = [phone(phones.take())]
    if random.random() < 0.25:
        telecom.append(phone(phones.take(), "home"))
    if random.random() < 0.7:
        telecom.append({"system": "email", "value": f"patient{number:03d}@example.org"})
    return {
        "resourceType": "Patient",
        "id": f"patient-{number:03d}",
        "active": True,
        "identifier": [{"use": "usual", "type": _MRN_TYPE, "system": MRN_SYSTEM, "value": f"HFP-{100000 + number}"}],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": telecom,
        "gender": gender,
        "birthDate": birth.isoformat(),
        "address": [
            {"line": [f"{random.randint(1, 900)} Harbor Road"], "city": "New York", "state": "NY", "country": "US"}
        ],
        "communication": [_language("es" if spanish else "en", preferred=True)],
    }


def _language(code: str, *, preferred: bool) -> dict[str, Any]:
    return {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": code}]}, "preferred": preferred}


def _contacts(make: Callable[[Phones, date], list[dict[str, Any]]]) -> Callable[..., None]:
    """An oddity that lies in the contact data alone."""

    def change(patient: Patient, people: list[Patient], phones: Phones, today: date) -> None:
        telecom = make(phones, today)
        patient.pop("telecom")
        if telecom:
            patient["telecom"] = telecom

    return change


def _set(**elements: Any) -> Callable[..., None]:
    def change(patient: Patient, people: list[Patient], phones: Phones, today: date) -> None:
        patient.update(elements)

    return change


def _named(family: str, *given: str) -> Callable[..., None]:
    return _set(name=[{"use": "official", "family": family, "given": list(given)}])


def _died(patient: Patient, people: list[Patient], phones: Phones, today: date) -> None:
    patient["deceasedDateTime"] = (today - timedelta(days=9)).isoformat()


def _linked(other: int, kind: str, *, active: bool = True) -> Callable[..., None]:
    return _set(active=active, link=[{"other": {"reference": f"Patient/patient-{other:03d}"}, "type": kind}])


def _like(other: int, *elements: str, given: str = "") -> Callable[..., None]:
    """Takes elements over from another patient; with ``given`` only the family name is shared."""

    def change(patient: Patient, people: list[Patient], phones: Phones, today: date) -> None:
        model = people[other - 1]
        patient.update({element: model[element] for element in elements})
        if given:
            patient["name"] = [{"use": "official", "family": model["name"][0]["family"], "given": [given]}]

    return change


def _child(guardian: int, *, shares_phone: bool) -> Callable[..., None]:
    def change(patient: Patient, people: list[Patient], phones: Phones, today: date) -> None:
        parent = people[guardian - 1]
        patient["birthDate"] = date(today.year - 7, 4, 9).isoformat()
        patient["name"] = [
            {"use": "official", "family": parent["name"][0]["family"], "given": [patient["name"][0]["given"][0]]}
        ]
        relationship = {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0131", "code": "N"}],
            "text": "guardian",
        }
        patient["contact"] = [
            {"relationship": [relationship], "name": parent["name"][0], "telecom": parent["telecom"][:1]}
        ]
        patient.pop("telecom")
        if shares_phone:
            patient["telecom"] = parent["telecom"][:1]

    return change


def _maiden_name(patient: Patient, people: list[Patient], phones: Phones, today: date) -> None:
    old = {
        "use": "maiden",
        "family": "Vandermeer",
        "given": patient["name"][0]["given"],
        "period": {"end": "2015-06-01"},
    }
    patient["name"] = [old, *patient["name"]]


def _email(name: str) -> dict[str, str]:
    return {"system": "email", "value": f"{name}@example.org"}


_LONG_NAME = "Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh-Cholmondeley"
# In the order of the patients' numbers; the README lists them.
_ODDITIES: tuple[Callable[..., None], ...] = (
    _contacts(lambda phones, today: [phone(phones.take(), "home")]),
    _contacts(
        lambda phones, today: [
            phone(phones.take(), "work", rank=3),
            phone(phones.take(), rank=1),
            phone(phones.take(), "home", rank=2),
        ]
    ),
    _contacts(
        lambda phones, today: [
            phone(phones.take(), period={"end": (today - timedelta(days=200)).isoformat()}),
            phone(phones.take()),
        ]
    ),
    _contacts(lambda phones, today: [phone(phones.take(), "old"), phone(phones.take(), "home")]),
    _contacts(lambda phones, today: [phone("555-014"), _email("patient005")]),
    _contacts(lambda phones, today: [phone(phones.take(), "home", rank=2), phone(phones.take(), rank="1")]),
    _contacts(lambda phones, today: [phone(phones.take(3) + " x3", "work")]),
    _contacts(lambda phones, today: []),
    _contacts(lambda phones, today: [_email("patient009")]),
    _died,
    _set(active=False),
    _linked(13, "replaced-by", active=False),
    _linked(12, "replaces"),
    _linked(15, "replaced-by", active=False),
    _linked(14, "replaced-by", active=False),
    _named("Hernandez", "Maria"),
    _like(16, "name", "birthDate", "gender"),
    _named("Johnson", "David"),
    _like(18, "name", "gender"),
    _set(birthDate="1991-11-02", gender="female"),
    _like(20, "birthDate", "telecom", "address", "gender", given="Theodora"),
    _set(birthDate="1986-03-21"),
    _child(22, shares_phone=True),
    _child(25, shares_phone=False),
    _named("Núñez-Iñárritu", "José", "Ángel"),
    _named("O'Brien-D'Angelo", "Siobhán"),
    _named(_LONG_NAME, "Maximiliana", "Hildegardis", "Ernestine", "Konstanze"),
    _named("Li", "Y"),
    _contacts(lambda phones, today: [{"system": "phone", "value": phones.take()}]),
    _set(deceasedBoolean=False),
    _set(deceasedBoolean=True),
    _contacts(lambda phones, today: [phone("call my wife"), phone("000-000-0000", "home")]),
    _contacts(
        lambda phones, today: [phone(phones.take(), "temp", period={"end": (today + timedelta(days=20)).isoformat()})]
    ),
    _contacts(lambda phones, today: [{"system": "sms", "value": phones.take(1)}, phone(phones.take(), "home")]),
    _set(communication=[_language("es", preferred=True)]),
    _set(communication=[_language("en", preferred=False), _language("es", preferred=True)]),
    _maiden_name,
    _like(22, "telecom", "address"),
    _contacts(
        lambda phones, today: [phone(phones.take(), rank=1, period={"end": "2019-12-31"}), phone(phones.take(), rank=2)]
    ),
    _set(extension=[{"url": f"{EXAMPLE}/preferred-times", "valueString": "mornings"}]),
)
