"""What pays for a patient's visits: FHIR R4's Coverage, as US Core narrows it, to neutral records.

The plan is the class of type ``plan``; where there is none, the type of coverage; else the payor by itself. A plan's
number means something to its payor only, so the payor stands before it as the code's system.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from django.utils import timezone

from integrations.ehr.fhir import many, search
from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.elements import (
    FREE_TEXT,
    Json,
    Unreadable,
    codes,
    first_coding,
    items,
    reference_id,
    resource_id,
    text,
)
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Coverages, LoginRefused, Malformed, NotFound, Quarantined, Rejected
from scheduling.records import CoverageRecord

TYPE = "Coverage"
#: HL7's code for somebody who pays without an insurer.
SELF_PAY_SYSTEM, SELF_PAY = "http://terminology.hl7.org/CodeSystem/coverage-selfpay", "pay"
_STATUSES = frozenset({"active", "cancelled", "draft", "entered-in-error"})
_PEOPLE = ("Patient", "RelatedPerson")
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T.*)?)?)?")
#: Nobody has more; the column has room for it.
_LAST_POSITION = 9999
_PAGE = ("_count", "50")


def by_patient(
    transport: Transport, parameter: str, way: str, patient_ids: Sequence[str]
) -> Iterator[tuple[str, Coverages | Malformed]]:
    """Yield what pays for each of these patients: by one batch of searches where ``way`` is batch, else one by one.

    ``parameter`` is the one that the server searches by, patient or beneficiary. What one batch says nothing certain
    about is asked for alone. Raises GatewayError where asking on makes no sense; what was yielded by then stands.
    """
    left = list(patient_ids)
    if way == "batch" and len(left) > 1:
        searches = [f"{TYPE}?{parameter}={each}&{_PAGE[0]}={_PAGE[1]}" for each in left]
        for place, bundle in _batch(transport, searches).items():
            if (found := _complete(bundle, left[place], transport.base_url)) is not None:
                yield left[place], found
                left[place] = ""
    for patient_id in filter(None, left):
        try:
            yield patient_id, _alone(transport, parameter, patient_id)
        except Malformed as problem:
            yield patient_id, problem


def _batch(transport: Transport, searches: Sequence[str]) -> dict[int, tuple[Json, Answer]]:
    """Return what one batch answers, nothing where the server takes batches of reads and none of searches."""
    try:
        return many.answers(transport, searches)
    except (Malformed, NotFound, Rejected):
        return {}
    except LoginRefused as error:
        if error.status != 403:
            raise
        return {}


def _alone(transport: Transport, parameter: str, patient_id: str) -> Coverages:
    resources: list[Json] = []
    strange: list[Any] = []
    for page in search.bundles(transport, TYPE, [(parameter, patient_id), _PAGE]):
        resources += page.resources
        strange += page.strange
    return read(resources, strange, patient_id, transport.base_url)


def _complete(bundle: tuple[Json, Answer], patient_id: str, base_url: str) -> Coverages | None:
    """Return what one answer of a batch says, None unless it is a whole search result."""
    try:
        page = search.found(bundle[0], TYPE, bundle[1])
    except Malformed:
        return None
    return None if search.next_link(bundle[0]) else read(page.resources, page.strange, patient_id, base_url)


def read(resources: Sequence[Json], strange: Sequence[Any], patient_id: str, base_url: str) -> Coverages:
    """Return the patient's coverages that are in force or to come; those that cannot be read are set aside."""
    records: dict[str, CoverageRecord] = {}
    aside: list[Quarantined] = [search.aside(TYPE, each, f"it is not of type {TYPE}") for each in strange]
    for resource in resources:
        try:
            record = search.guarded(lambda raw: coverage_record(raw, base_url), resource)
        except Unreadable as problem:
            aside.append(search.aside(TYPE, resource, problem.detail))
            continue
        # A server that ignores the parameter returns everybody's.
        if record is not None and record.patient_id == patient_id:
            records[record.external_id] = record
    return Coverages(tuple(records.values()), tuple(aside))


def coverage_record(resource: Json, base_url: str) -> CoverageRecord | None:
    """Return the coverage, None for one that is over, cancelled, a draft or an error; raises Unreadable."""
    if resource.get("resourceType") != TYPE:
        raise Unreadable(f"it is not a {TYPE}")
    status = resource.get("status")
    if status not in _STATUSES:
        raise Unreadable("its status is not one that FHIR knows")
    period = resource.get("period")
    if not isinstance(period, dict | None):
        raise Unreadable("its period is not one")
    ends = _day((period or {}).get("end"), is_end=True)
    # A day late: which day it is depends on the practice's clock, and the day of the visit decides in the end.
    if status != "active" or (ends is not None and ends < timezone.now().date() - timedelta(days=1)):
        return None
    patient_id = reference_id(resource.get("beneficiary"), "Patient", base_url)
    if not patient_id:
        raise Unreadable("it does not say whose it is")
    system, code, display = _plan(resource)
    return CoverageRecord(
        external_id=resource_id(resource),
        patient_id=patient_id,
        system=system,
        code=code,
        display=display,
        position=_position(resource.get("order")),
        valid_from=_day((period or {}).get("start"), is_end=False),
        valid_until=ends,
    )


def _plan(resource: Json) -> tuple[str, str, str]:
    """Return system, code and display of the plan; all empty when it names neither plan nor payor."""
    payor, payor_name, is_person = _payor(resource)
    if is_person:
        return SELF_PAY_SYSTEM, SELF_PAY, "pays without an insurer"
    for each in items(resource, "class"):
        value = text(each.get("value"), 120)
        if value and "plan" in codes(each.get("type")):
            return payor, value, _named(payor_name, text(each.get("name"), 200))
    system, code, display = first_coding(resource.get("type"))
    if code and code != FREE_TEXT:
        return payor or system, code, _named(payor_name, display)
    return "", payor[:120], payor_name if payor_name != payor else ""


def _named(payor: str, plan: str) -> str:
    return ": ".join(dict.fromkeys(filter(None, (payor, plan))))[:200]


def _payor(resource: Json) -> tuple[str, str, bool]:
    """Return the first payor's id or name, its name, and whether a person pays, of whom nothing else is kept."""
    contained = {f"#{each.get('id')}": each for each in items(resource, "contained")}
    people = {_said(resource.get(role)) for role in ("beneficiary", "subscriber", "policyHolder")} - {""}
    pays_themselves = False
    for payor in items(resource, "payor"):
        reference, name = text(payor.get("reference")), _said(payor)
        held = contained.get(reference, {})
        kind = text(held.get("resourceType")) or text(payor.get("type")) or _type_in(reference)
        if kind in _PEOPLE or name in people:
            pays_themselves = True
        elif kind in ("", "Organization"):
            name = name or text(held.get("name"), 200)
            is_kept = reference and not reference.startswith(("#", "urn:"))
            if found := (reference if is_kept else name):
                return found, name, False
    return "", "", pays_themselves


def _said(reference: Any) -> str:
    return text(reference.get("display"), 200) if isinstance(reference, dict) else ""


def _type_in(reference: str) -> str:
    parts = reference.partition("/_history/")[0].rstrip("/").split("/")
    return parts[-2] if len(parts) > 1 else ""


def _position(value: Any) -> int | None:
    """Return the order, which some write as text; None for what is no positive number."""
    if isinstance(value, bool):
        return None
    try:
        order = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(order, _LAST_POSITION) if order > 0 else None


def _day(value: Any, *, is_end: bool) -> date | None:
    """Return the day a period begins or ends on; a year or month alone ends with its last day. Raises Unreadable."""
    if value is None:
        return None
    match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in match.groups())
        if year is None:
            raise ValueError
        month = month or (12 if is_end else 1)
        return date(year, month, day or (calendar.monthrange(year, month)[1] if is_end else 1))
    except (ValueError, calendar.IllegalMonthError):
        raise Unreadable("its period has a date that is none") from None
