"""Appointments as EHRs write them: what a booking depends on is read exactly or shown to a person."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.ehr.fhir import events, search
from integrations.ehr.fhir.calendar import Reader
from integrations.ehr.fhir.elements import Unreadable
from scheduling.records import AppointmentRecord, IdentifierRecord, ReasonVerdict
from tests.integrations.ehr.test_reading_people import json_values

BASE = "https://ehr.example.org/fhir"
START = datetime(2031, 3, 4, 15, 0, tzinfo=UTC)


class Codes:
    """Everything is mapped to itself."""

    def status(self, code: str, location: str) -> str:
        return code

    def type_target(self, system: str, code: str, display: str, location: str) -> str | None:
        return code.lower()

    def reason(self, system: str, code: str, display: str, location: str) -> ReasonVerdict:
        return "rebookable" if code else "missing"


READER = Reader(BASE, Codes(), lambda location: ZoneInfo("America/New_York"), lambda role: {"r-1": "d-9"}.get(role, ""))


def actor(reference: str, **fields: Any) -> dict[str, Any]:
    return {"actor": {"reference": reference}, "status": "accepted", **fields}


def typed(code: str) -> list[dict[str, Any]]:
    return [{"coding": [{"code": code}]}]


def read(**fields: Any) -> AppointmentRecord:
    raw: dict[str, Any] = {
        "resourceType": "Appointment",
        "id": "a-1",
        "meta": {"versionId": "7"},
        "status": "booked",
        "start": "2031-03-04T15:00:00Z",
        "end": "2031-03-04T15:30:00Z",
        "participant": [actor("Patient/p-1"), actor("Practitioner/d-1"), actor("Location/l-1")],
        **fields,
    }
    return READER.appointment({name: value for name, value in raw.items() if value is not ...})


def test_a_plain_appointment() -> None:
    record = read(
        slot=[{"reference": "Slot/s-1"}],
        appointmentType={"coding": [{"system": "urn:t", "code": "FOLLOWUP", "display": "Follow-up"}]},
        identifier=[{"system": "urn:sooner:booking", "value": "key"}],
    )
    assert record == AppointmentRecord(
        external_id="a-1",
        version="7",
        status="booked",
        status_code="booked",
        start=START,
        end=START + timedelta(minutes=30),
        patient_id="p-1",
        provider_id="d-1",
        location_id="l-1",
        type_system="urn:t",
        type_code="FOLLOWUP",
        type_display="Follow-up",
        type_target="followup",
        slot_ids=("s-1",),
        identifiers=(IdentifierRecord("urn:sooner:booking", "key"),),
    )


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ([actor("Practitioner/a"), actor("Practitioner/b")], "a"),
        ([actor("Practitioner/a", required="optional"), actor("Practitioner/b", required="required")], "b"),
        ([actor("Practitioner/a"), actor("Practitioner/b", type=typed("ATND"))], "b"),
        ([actor("Practitioner/a", type=typed("ATND")), actor("Practitioner/b", type=typed("PPRF"))], "b"),
        ([actor("Practitioner/a", status="declined"), actor("Practitioner/b")], "b"),
        ([actor("Practitioner/a", status="declined")], "a"),
        ([actor("PractitionerRole/r-1")], "d-9"),
        ([actor("PractitionerRole/unknown")], ""),
        ([{"actor": {"display": "Phone call"}}, actor("Practitioner/b")], "b"),
        ([{"type": typed("ATND"), "status": "needs-action"}], ""),
        ([actor("#contained"), actor("urn:uuid:788660eb-d2c9-4773-abd4-318484673fb2")], ""),
        ([actor("https://elsewhere.example.org/fhir/Practitioner/x")], ""),
        ([actor(f"{BASE}/Practitioner/b")], "b"),
        ([], ""),
    ],
)
def test_who_sees_the_patient(people: list[dict[str, Any]], expected: str) -> None:
    assert read(participant=people).provider_id == expected


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ([actor("Patient/a")], "a"),
        ([actor("Patient/a"), actor("Patient/a", type=typed("SBJ"))], "a"),
        ([actor("Patient/a", status="declined"), actor("Patient/b")], "b"),
        ([actor("Patient/a"), actor("Patient/b")], ""),
        ([], ""),
    ],
)
def test_a_visit_of_several_patients_is_nobodys_rather_than_the_firsts(
    people: list[dict[str, Any]], expected: str
) -> None:
    assert read(participant=[*people, actor("Practitioner/a")]).patient_id == expected


@pytest.mark.parametrize(
    ("fields", "minutes"),
    [
        ({"end": ..., "minutesDuration": 45}, 45),
        ({"end": ..., "minutesDuration": "20"}, 20),
        ({"minutesDuration": 99}, 30),  # the end says it
    ],
)
def test_how_long_it_takes(fields: dict[str, Any], minutes: int) -> None:
    assert read(**fields).end == START + timedelta(minutes=minutes)


@pytest.mark.parametrize("status", ["proposed", "cancelled", "waitlist", "entered-in-error"])
@pytest.mark.parametrize("fields", [{"start": ..., "end": ...}, {"end": ...}])
def test_some_may_lack_their_times(status: str, fields: dict[str, Any]) -> None:
    record = read(status=status, **fields)
    assert (record.start, record.end) == (None, None)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"start": ..., "end": ...}, "no start"),
        ({"end": ...}, "no end and no duration"),
        ({"end": ..., "minutesDuration": 0}, "no end and no duration"),
        ({"end": ..., "minutesDuration": 100_000}, "no end and no duration"),
        ({"end": ..., "minutesDuration": True}, "no end and no duration"),
        ({"end": "2031-03-04T15:00:00Z"}, "end is not after its start"),
        ({"end": "2031-03-04T14:00:00Z"}, "end is not after its start"),
        ({"end": "2031-03-14T15:00:00Z"}, "end is not after its start"),
        ({"start": "2031-03-04"}, "not a date with a time"),
        ({"status": ...}, "no status"),
        ({"status": 7}, "no status"),
        ({"id": ...}, "no usable id"),
        ({"participant": "nobody"}, "participants are not a list"),
        ({"resourceType": "Slot"}, "not an Appointment"),
    ],
)
def test_what_goes_to_a_person(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(**fields)


def test_the_reason_counts_only_where_time_was_freed() -> None:
    reason = {"coding": [{"system": "urn:r", "code": "pat"}]}
    assert read(status="cancelled", cancelationReason=reason).reason_code == "pat"
    assert read(status="cancelled", cancellationReason=reason).reason_code == "pat"  # as R5 writes it
    assert read(cancelationReason=reason).reason_code == ""


def test_a_type_in_the_service_type_is_found() -> None:
    record = read(serviceType=[{"text": "General"}, {"coding": [{"code": "52", "display": "General Discussion"}]}])
    assert (record.type_code, record.type_display) == ("52", "General Discussion")


@pytest.mark.parametrize(
    ("meta", "etag", "version"),
    [
        ({"versionId": "7"}, "9", "7"),
        ({"versionId": 7}, "", "7"),
        ({"lastUpdated": "2026-01-01T00:00:00Z"}, "9", "9"),
        ({"lastUpdated": "2026-01-01T00:00:00Z"}, "", "~2026-01-01T00:00:00Z"),
        ({}, "", ""),
        ("none", "", ""),
    ],
)
def test_which_version_it_is(meta: Any, etag: str, version: str) -> None:
    raw = {"resourceType": "Appointment", "id": "a", "status": "cancelled", "meta": meta}
    assert READER.appointment(raw, etag).version == version


NAMES = ("status", "start", "end", "participant", "slot", "appointmentType", "serviceType", "cancelationReason", "meta")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*NAMES, "identifier", "minutesDuration"), json_values)))
def test_nothing_that_is_json_breaks_the_reader(fields: dict[str, Any]) -> None:
    raw = {"resourceType": "Appointment", "id": "a", "status": "booked", "start": "2031-03-04T15:00:00Z", **fields}
    with suppress(Unreadable):
        record = search.guarded(READER.appointment, raw)
        assert record.start is None or record.end > record.start  # type: ignore[operator]


def assert_read_or_refused(payload: Any) -> None:
    """Keys that fit their columns, and notices that name something or say why not."""
    keys = events.keys_of(payload)
    assert max(len(keys.dedupe), len(keys.subject)) <= 255
    notices, why = [], ""
    try:
        notices = list(events.notices_of(payload))
    except Unreadable as problem:
        why = problem.detail
    assert bool(notices) != bool(why)
    assert all(each.subject_key or each.subject not in ("appointment", "patient") for each in notices)


@given(json_values)
def test_no_notification_breaks_its_reader(payload: Any) -> None:
    assert_read_or_refused(payload)


@given(
    st.fixed_dictionaries(
        {
            "resourceType": st.sampled_from(
                ["Bundle", "Appointment", "Parameters", "SubscriptionStatus", "AppointmentResponse"]
            )
        },
        optional=dict.fromkeys(
            ("id", "entry", "parameter", "notificationEvent", "type", "topic", "appointment", "meta"), json_values
        ),
    )
)
def test_no_fhir_like_notification_breaks_its_reader(payload: Any) -> None:
    assert_read_or_refused(payload)
