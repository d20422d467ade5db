"""Who insures the patients: three invented payors and a public programme, and coverage as untidy as in life."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

Json = dict[str, Any]

_CLASSES = "http://terminology.hl7.org/CodeSystem/coverage-class"
_TYPES = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_SELF_PAY = "http://terminology.hl7.org/CodeSystem/coverage-selfpay"
PAYORS = {
    "harbor-mutual": "Harbor Mutual",
    "bluewater": "Bluewater Health",
    "tidewell": "Tidewell Insurance",
    "state-program": "State Health Program",
}
#: Payor, the plan's number and name, type: those without a plan name their type alone, as public programmes do.
PLANS = (
    ("harbor-mutual", "HM-100", "PPO", "PPO"),
    ("harbor-mutual", "HM-200", "HMO", "HMO"),
    ("bluewater", "GOLD", "Gold", "EHCPOL"),
    ("bluewater", "BASIC", "Basic", "EHCPOL"),
    ("tidewell", "TW7", "Choice PPO", "PPO"),
    ("state-program", "", "", "PUBLICPOL"),
)
#: Every so many patients has something odd, by the remainder.
_EVERY = 20
_NONE, _ENDED, _CHANGED, _TWO, _SELF, _ERROR, _TO_COME, _UNORDERED = range(8)


def coverage(today: date, people: list[Json]) -> list[Json]:
    """Organizations, then the Coverage of each patient; the same for the same day."""
    found = [{"resourceType": "Organization", "id": key, "active": True, "name": name} for key, name in PAYORS.items()]
    for number, person in enumerate(people, start=1):
        found += _of(number, person["id"], today)
    return found


def _of(number: int, patient: str, today: date) -> list[Json]:
    year = date(today.year, 1, 1)
    plan, other = PLANS[number % len(PLANS)], PLANS[(number + 1) % len(PLANS)]
    first = _insurance(f"{patient}-1", patient, plan, start=year, order=1)
    kind = number % _EVERY
    if kind == _NONE:
        return []
    if kind == _ENDED:
        return [first | {"period": _period(year - timedelta(days=400), year - timedelta(days=1))}]
    if kind == _CHANGED:
        ended = first | {"status": "cancelled", "period": _period(year - timedelta(days=400), year - timedelta(days=1))}
        return [ended, _insurance(f"{patient}-2", patient, other, start=year, order=1)]
    if kind == _TWO:
        return [_insurance(f"{patient}-2", patient, other, start=year, order=2), first]
    if kind == _SELF:
        return [_pays_alone(f"{patient}-1", patient)]
    if kind == _ERROR:
        wrong = _insurance(f"{patient}-2", patient, other, start=year, order=1) | {"status": "entered-in-error"}
        return [wrong, first]
    if kind == _TO_COME:
        # It ends in five days, and the next one is known already.
        change = today + timedelta(days=5)
        until = first | {"period": _period(year, change)}
        return [until, _insurance(f"{patient}-2", patient, other, start=change + timedelta(days=1), order=1)]
    if kind == _UNORDERED:
        both = [first, _insurance(f"{patient}-2", patient, other, start=year, order=1)]
        return [{name: value for name, value in each.items() if name != "order"} for each in both]
    return [first]


def _insurance(key: str, patient: str, plan: tuple[str, str, str, str], *, start: date, order: int) -> Json:
    payor, value, name, kind = plan
    resource: Json = {
        "resourceType": "Coverage",
        "id": key,
        "status": "active",
        "type": {"coding": [{"system": _TYPES, "code": kind}]},
        "beneficiary": {"reference": f"Patient/{patient}"},
        "subscriberId": f"S{key.removeprefix('patient-').replace('-', '')}",
        "relationship": {"coding": [{"code": "self"}]},
        "period": _period(start),
        "payor": [{"reference": f"Organization/{payor}", "display": PAYORS[payor]}],
        "order": order,
    }
    if value:
        group = {"type": {"coding": [{"system": _CLASSES, "code": "group"}]}, "value": f"G-{value}"}
        its_plan = {"type": {"coding": [{"system": _CLASSES, "code": "plan"}]}, "value": value, "name": name}
        resource["class"] = [group, its_plan]
    return resource


def _pays_alone(key: str, patient: str) -> Json:
    return {
        "resourceType": "Coverage",
        "id": key,
        "status": "active",
        "type": {"coding": [{"system": _SELF_PAY, "code": "pay"}]},
        "beneficiary": {"reference": f"Patient/{patient}"},
        "payor": [{"reference": f"Patient/{patient}"}],
    }


def _period(start: date, end: date | None = None) -> dict[str, str]:
    return {"start": start.isoformat()} | ({"end": end.isoformat()} if end else {})
