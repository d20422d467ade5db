"""Elm Desk, a made-up practice system with a plain JSON interface: an adapter to copy.

What the system can do and where its rows hold what stands in DECLARATION; the functions say how it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from integrations.ehr.fhir.build import utc
from integrations.ehr.fhir.times import moment
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Booking, Capabilities, Kind
from integrations.ehr.rest import declaration as rest
from integrations.ehr.rest.gateway import opener
from scheduling.records import Interval

DECLARATION = rest.Declaration(
    label="Elm Desk (example)",
    capabilities=Capabilities(
        search_last_updated=True,
        version_check=True,
        writes_appointments=True,
        retry_safety="slot_guard",
        finds_by_identifier=True,
        cancels=True,
        comments=True,
        reads_many="ids",
        coverage_by="patient",
    ),
    patient=rest.PatientFields(
        external_id="number",
        version="revision",
        given_name="first_name",
        family_name="last_name",
        birth_date="born",
        record_number="chart",
        mobile="contact.mobile",
        email="contact.email",
        replaced_by="merged_into",
    ),
    provider=rest.ProviderFields(external_id="number", version="revision", name="name", active="employed"),
    location=rest.LocationFields(
        external_id="number", version="revision", name="name", time_zone="zone", phone="phone"
    ),
    appointment=rest.AppointmentFields(
        external_id="number",
        version="revision",
        status="state",
        start="begins",
        minutes="minutes",
        patient_id="patient",
        provider_id="clinician",
        location_id="site",
        type_code="visit",
        reason_code="reason",
        cancelled_at="changed",
        key="reference",
    ),
    coverage=rest.CoverageFields(
        external_id="number",
        version="revision",
        active="valid",
        patient_id="patient",
        plan="plan",
        plan_name="title",
        payor="insurer",
        payor_name="insurer_name",
        position="rank",
        valid_from="begins",
        valid_until="ends",
    ),
    statuses={"open": "booked", "here": "arrived", "over": "fulfilled", "off": "cancelled", "missed": "noshow"},
)
PATHS = {"location": "sites", "provider": "clinicians", "patient": "patients", "appointment": "bookings"}


def read(system: Transport, wanted: rest.Wanted) -> Iterator[rest.Rows]:
    """Yield the rows wanted, page by page."""
    path = PATHS[wanted.kind]
    if wanted.external_id:
        answer = system.read(f"{path}/{wanted.external_id}")
        yield rest.Rows(answer, [answer.json()])
        return
    narrowed = {
        "patient": wanted.patient_id,
        "reference": wanted.key,
        "changed_since": utc(wanted.changed_since) if wanted.changed_since else "",
        "from": utc(wanted.start) if wanted.start else "",
        "until": utc(wanted.end) if wanted.end else "",
    }
    yield from _pages(system, path, [(name, value) for name, value in narrowed.items() if value])


def many(system: Transport, kind: Kind, numbers: Sequence[str]) -> Iterator[rest.Rows]:
    """Yield the rows with these numbers."""
    yield from _pages(system, PATHS[kind], [("numbers", ",".join(numbers))])


def insurance(system: Transport, patient: str) -> Iterator[rest.Rows]:
    """Yield the rows of what pays for the patient's visits."""
    yield from _pages(system, "policies", [("patient", patient)])


def _pages(system: Transport, path: str, narrowed: list[tuple[str, str]]) -> Iterator[rest.Rows]:
    answer = system.read(path, narrowed)
    while True:
        page = answer.json()
        yield rest.Rows(answer, page["rows"])
        if not page["next"]:
            return
        answer = system.follow(page["next"])


def free(system: Transport, look: rest.Look) -> list[Interval]:
    """Return what of the clinician's time at the place is free."""
    asked = {"clinician": look.provider_id, "site": look.location_id}
    between = {"from": utc(look.time.start), "until": utc(look.time.end)}
    rows = system.read("free", [*asked.items(), *between.items()]).json()["free"]
    return [Interval(moment(row["from"]), moment(row["until"])) for row in rows]


def write(system: Transport, change: Booking | rest.Cancellation) -> rest.Row:
    """Book or cancel, and return the booking as the system stored it. A taken time and an old revision are both 409."""
    if isinstance(change, rest.Cancellation):
        body: rest.Row = {"state": "off", "reason": "patient", "revision": int(change.version)}
        answer = system.write("PATCH", f"bookings/{change.external_id}", body)
    else:
        body = {
            "reference": change.key,
            "patient": change.patient_id,
            "clinician": change.provider_id,
            "site": change.location_id,
            "begins": utc(change.start),
            "minutes": int((change.end - change.start).total_seconds()) // 60,
            "visit": change.type_code,
            "note": change.comment,
        }
        answer = system.write("POST", "bookings", body)
    row: rest.Row = answer.json()
    return row


open_gateway = opener(DECLARATION, read=read, free=free, write=write, many=many, insurance=insurance)
