"""A proprietary system, connected by a declaration and three functions, is an EHR like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from integrations import field_preview, outbox
from integrations.ehr import checking, conformance, conformance_writing, event_leases, inbox, intake, load, poll
from integrations.ehr.example import adapter
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.fhir.events import Notice
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import (
    Booking,
    Coverages,
    Gateway,
    Malformed,
    OutcomeUnknown,
    Rejected,
    StaleVersion,
    connect,
)
from integrations.ehr.rest.declaration import Rows, Wanted
from integrations.ehr.rest.gateway import RestGateway, opener
from integrations.models import CodeMapping, Connection, InboundEvent, connection_kinds
from scheduling.models import Appointment, AppointmentType, ExternalId, Location, Opening, Patient, Provider, Writeback
from scheduling.records import Interval, SlotRecord
from tests import factories
from tests.fixtures.elm_desk import CLIENT_ID, CLIENT_SECRET, ElmDesk, elm_desk
from tests.fixtures.sandbox import start_of
from waitlist import claims

pytestmark = [pytest.mark.django_db, pytest.mark.long]

KEY = "5f0c3c1e-0000-4000-8000-000000000001"


@pytest.fixture
def desk(settings: Any) -> Iterator[ElmDesk]:
    """The system with a site, two clinicians, three patients, and one booking of patient 1 at the fourth half hour."""
    settings.EHR_ADAPTERS = {"elm-desk": "integrations.ehr.example.adapter"}
    with elm_desk() as system:
        system.put("sites", 1, name="Elm Street", zone="America/New_York", phone="+12125550100")
        for number, name in ((11, "Dr. Ana"), (12, "Dr. Ben")):
            system.put("clinicians", number, name=name, employed=True)
        for number in (1, 2, 3):
            contact = {"mobile": f"+1212555010{number}", "email": f"patient-{number}@example.org"}
            name = {"first_name": f"Given{number}", "last_name": f"Family{number}"}
            system.put("patients", number, **name, born=f"198{number}-05-06", chart=f"C-{number}", contact=contact)
        book(system, 501, patient=1, slot=3)
        yield system


def book(desk: ElmDesk, number: int, *, patient: int, slot: int, state: str = "open", **fields: Any) -> None:
    """Have the front desk of the system book a follow-up of half an hour with Dr. Ana."""
    when = {"begins": start_of(slot).isoformat(), "minutes": 30}
    desk.put("bookings", number, patient=patient, clinician=11, site=1, visit="FU", state=state, **when, **fields)


@pytest.fixture
def connection(desk: ElmDesk) -> Connection:
    """Our connection to it, loaded, with the follow-up mapped."""
    row = factories.connection(
        kind="elm-desk",
        base_url=desk.url,
        token_url=desk.url.removesuffix("/api") + "/token",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        login_method=Connection.LoginMethod.SECRET_POST,
        mrn_system="urn:elm-desk:chart",
    )
    AppointmentType.objects.create(code="follow-up", name="Follow-up", duration_minutes=30)
    for domain, code, target in (
        (CodeMapping.Domain.TYPE, "FU", "follow-up"),
        (CodeMapping.Domain.REASON, "patient", CodeMapping.REBOOKABLE),
    ):
        CodeMapping.objects.create(connection=row, domain=domain, code=code, target=target, state="mapped")
    load.load(row.pk)
    row.refresh_from_db()
    return row


@pytest.fixture
def gateway(connection: Connection) -> Gateway:
    return connect(connection)


def asked(slot: int = 0, **fields: Any) -> Booking:
    times = {"start": start_of(slot), "end": start_of(slot + 1)}
    names = {"patient_id": "2", "provider_id": "11", "location_id": "1", "type_code": "FU"}
    return Booking(**{"key": KEY, **names, **times, **fields})


def verdicts(results: list[conformance.Result]) -> dict[str, str]:
    return {result.question: f"{result.verdict} {result.detail}".strip() for result in results}


# --- the questions every adapter is asked -----------------------------------------------------------------------------


def test_it_reads_as_it_declares_and_changes_nothing(gateway: Gateway, desk: ElmDesk) -> None:
    before = len(desk.calls)
    assert verdicts(list(conformance.read_only(gateway))) == {
        "It says what it can do": "passed nothing is missing",
        "Locations can be read": "passed 1 read",
        "Clinicians can be read": "passed 2 read",
        "Patients can be read": "passed 3 read",
        "Appointments can be read": "passed 1 read",
        "An appointment read alone is the same as in a list": "passed",
        "The days ahead can be read": "passed 1 around one",
        "A booked time is not shown as free": "passed",
        "What changed lately can be asked": "passed 1, by time of change",
        "What pays for a patient's visits can be read": "passed 0 for 3 patients, 0 with a plan",
        "An id that does not exist is said not to exist": "passed",
        "Several can be read by one call": "passed 4 by a search for their ids",
    }
    assert {method for method, _ in desk.calls[before:]} == {"GET"}
    assert desk.accepts == {"application/json"}


def test_it_writes_as_it_declares_and_is_left_clean(gateway: Gateway, desk: ElmDesk) -> None:
    assert verdicts(list(conformance_writing.writing(gateway, asked()))) == {
        "The time is free": "passed no slots are kept",
        "It can be booked and read back": "passed",
        "The booking is found again": "passed by our key",
        "A repeated booking does not book twice": "passed refused as taken",
        "Nobody else gets the time": "passed",
        "A change of an older version is refused": "passed",
        "It can be cancelled": "passed the time is free again",
        "Nothing of ours is left behind": "passed",
    }
    assert [row["state"] for row in desk.rows["bookings"].values()] == ["open", "off"]


def test_a_system_that_books_a_time_twice_is_found_out(gateway: Gateway, desk: ElmDesk) -> None:
    desk.checks_overlaps = False
    told = verdicts(list(conformance_writing.writing(gateway, asked())))
    assert told["A repeated booking does not book twice"] == "failed a second appointment was made"
    assert told["Nobody else gets the time"] == "failed the same time was booked twice"
    assert told["Nothing of ours is left behind"] == "passed"
    assert desk.booked(2) == []


def test_a_check_says_what_it_allows_and_what_the_rest_costs(connection: Connection, desk: ElmDesk) -> None:
    before = len(desk.calls)
    found = {each.key: each for each in checking.check(connection)}
    assert [key for key, each in found.items() if each.verdict != "yes"] == ["events"]
    assert found["events"].costs == "It is polled every 5 minutes."
    assert ("GET", "/patients/none-sooner-check") in desk.calls[before:]
    assert ("GET", "/patients") not in desk.calls[before:]


# --- the loop ---------------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_the_system_holds(connection: Connection) -> None:
    place, clinician = Location.objects.get(), Provider.objects.get(name="Dr. Ana")
    assert (place.name, place.time_zone, Provider.objects.count()) == ("Elm Street", "America/New_York", 2)
    name = ExternalId.objects.get(kind=ExternalId.Kind.PATIENT, value="1")
    person = Patient.objects.get(pk=name.object_id)
    assert (person.given_name, person.family_name, person.birth_date.isoformat()) == ("Given1", "Family1", "1981-05-06")
    booked = Appointment.objects.get()
    assert (booked.status, booked.start, booked.end) == ("booked", start_of(3), start_of(4))
    assert (booked.patient_id, booked.provider_id, booked.location_id) == (person.pk, clinician.pk, place.pk)
    assert booked.appointment_type is not None
    assert booked.appointment_type.code == "follow-up"
    assert not Opening.objects.exists()


def test_a_cancellation_there_becomes_an_opening_here(
    connection: Connection, desk: ElmDesk, work_inbox: Callable[[], int]
) -> None:
    desk.put("bookings", 501, state="off", reason="patient")
    found = poll.poll(connection.pk)
    assert found is not None
    assert (found.seen, found.changed, found.quarantined) == (1, 1, 0)
    assert connection.cursor is not None
    assert desk.asked[-1] == {"changed_since": f"{connection.cursor - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"}
    assert work_inbox() == 1
    opening = Opening.objects.get()
    assert (opening.start, opening.end, opening.status) == (start_of(3), start_of(4), "open")
    assert Appointment.objects.get().status == "cancelled"
    event = InboundEvent.objects.get()
    assert (event.via, event.subject_key, event.outcome) == (
        "poll",
        "Appointment/501",
        "mirror brought up to date; 1 opening",
    )
    assert poll.poll(connection.pk) == poll.Poll(seen=1)
    assert work_inbox() == 0


def test_a_system_that_can_call_a_webhook_has_what_it_names_looked_at_at_once(
    connection: Connection, desk: ElmDesk, work_inbox: Callable[[], int]
) -> None:
    desk.put("bookings", 501, state="off", reason="patient")
    inbox.receive(connection, via=InboundEvent.Via.WEBHOOK, body=b'{"resourceType": "Appointment", "id": "501"}')
    assert work_inbox() == 1
    assert Opening.objects.get().start == start_of(3)


def test_a_yes_is_booked_there_and_read_back(connection: Connection, desk: ElmDesk) -> None:
    row, patient = say_yes(connection, slot=0)
    assert outbox.process(row.pk)
    row.refresh_from_db()
    assert row.status == Writeback.Status.DONE
    (held,) = desk.booked(2)
    assert (held["reference"], held["visit"], held["begins"]) == (str(row.key), "FU", f"{start_of(0):%FT%TZ}")
    named = ExternalId.objects.get(kind=ExternalId.Kind.APPOINTMENT, object_id=row.appointment_id)
    assert (named.value, named.version) == (str(held["number"]), "1")
    assert Appointment.objects.get(patient=patient).status == "booked"
    written = desk.calls.index(("POST", "/bookings"))
    assert ("GET", f"/bookings/{held['number']}") in desk.calls[written:]


def test_a_booking_whose_answer_is_lost_is_found_and_not_made_twice(connection: Connection, desk: ElmDesk) -> None:
    row, _ = say_yes(connection, slot=0)
    desk.answer_to_next_write = b"<html>Bad gateway</html>"
    outbox.process(row.pk)
    row.refresh_from_db()
    assert row.status == Writeback.Status.UNKNOWN
    Writeback.objects.update(due_at=row.created_at)
    outbox.process(row.pk)
    row.refresh_from_db()
    assert (row.status, len(desk.booked(2))) == (Writeback.Status.DONE, 1)
    assert desk.calls.count(("POST", "/bookings")) == 1


def say_yes(connection: Connection, slot: int) -> tuple[Writeback, Patient]:
    """Have patient 2 take a free half hour of Dr. Ana's."""
    name = ExternalId.objects.get(kind=ExternalId.Kind.PATIENT, value="2")
    patient, kind = Patient.objects.get(pk=name.object_id), AppointmentType.objects.get()
    provider, location = Provider.objects.get(name="Dr. Ana"), Location.objects.get()
    factories.bookable(provider, location, kind)
    opening = factories.opening(
        source=connection.source, provider=provider, location=location, start=start_of(slot), end=start_of(slot + 1)
    )
    offer = factories.offer(opening, factories.entry(patient, kind))
    claim = claims.claim(opening, patient, offer=offer, channel="link").claim
    assert claim is not None
    return Writeback.objects.get(appointment=claim.appointment), patient


# --- what the base sees to, whatever the functions do -----------------------------------------------------------------


def test_an_answer_to_a_write_that_cannot_be_read_leaves_it_unknown(gateway: Gateway, desk: ElmDesk) -> None:
    for written in (b"<html>", b"[]", b"{}", b'{"number": "../etc"}'):
        desk.answer_to_next_write = written
        with pytest.raises(OutcomeUnknown):
            gateway.create(asked(slot=len(desk.booked(2)) + 4))
    assert len(desk.booked(2)) == 4


@pytest.mark.parametrize("external_id", ["", "..", "1/2", "1?state=off", "a b"])
def test_an_id_that_would_change_the_address_is_not_asked_for(
    gateway: Gateway, desk: ElmDesk, external_id: str
) -> None:
    before = len(desk.calls)
    with pytest.raises(Rejected):
        gateway.fetch("appointment", external_id)
    with pytest.raises(Rejected):
        gateway.cancel(external_id, "1")
    assert len(desk.calls) == before


def test_rows_that_cannot_be_read_are_set_aside_and_the_rest_is_taken(gateway: Gateway, desk: ElmDesk) -> None:
    book(desk, 502, patient=2, slot=5)
    desk.rows["bookings"]["502"]["minutes"] = "soon"
    desk.rows["bookings"]["503"] = {**desk.rows["bookings"]["501"], "number": "no id"}
    pages = list(gateway.load("appointment"))
    assert [record.external_id for page in pages for record in page.records] == ["501"]
    assert [(each.reference, each.why) for page in pages for each in page.quarantined] == [
        ("Appointment/502", "it has no end and no duration"),
        ("Appointment/no id", "it has no usable id"),
    ]


@pytest.mark.parametrize("state", [7, ["open"], {"code": "open"}, None])
def test_a_status_of_another_form_stands_for_no_booked_visit(gateway: Gateway, desk: ElmDesk, state: Any) -> None:
    book(desk, 502, patient=2, slot=5)
    desk.rows["bookings"]["501"]["state"] = state
    (page,) = gateway.load("appointment")
    told = {each.external_id: getattr(each, "status", "") for each in page.records}
    assert told.pop("502") == "booked"
    assert told.get("501", "unknown") == "unknown"
    assert len(page.records) + len(page.quarantined) == 2


@pytest.mark.parametrize("rows", [["502"], ["501", "502"]])
def test_another_record_than_the_one_asked_for_is_not_taken_for_it(connection: Connection, rows: list[str]) -> None:
    def read(system: Transport, wanted: Wanted) -> Iterator[Rows]:
        """A system that ignores the id."""
        answer = system.read("bookings")
        yield Rows(answer, [{**answer.json()["rows"][0], "number": number} for number in rows])

    functions = {"write": adapter.write, "many": adapter.many, "insurance": adapter.insurance}
    gateway = opener(adapter.DECLARATION, read=read, free=adapter.free, **functions)(connection)
    with pytest.raises(Malformed, match="another record"):
        gateway.fetch("appointment", "501")


def test_a_page_of_another_form_ends_the_read(gateway: Gateway, desk: ElmDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    for said in ([], {"rows": None, "next": None}, {"next": None}):
        monkeypatch.setattr(desk, "handle", lambda *_, said=said: (200, said))
        with pytest.raises(Malformed):
            list(gateway.load("patient"))
        with pytest.raises(Malformed):
            gateway.availability("11", "1", start_of(0), start_of(1))


def test_pages_that_run_in_a_circle_end_the_read(
    gateway: Gateway, desk: ElmDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = desk.handle
    monkeypatch.setattr(desk, "handle", lambda method, path, _, body: plain(method, path, {}, body))
    before = len(desk.calls)
    with pytest.raises(Malformed):
        list(gateway.load("patient"))
    assert desk.calls[before:] == [("GET", "/patients"), ("GET", "/patients")]


def test_a_filter_the_system_ignores_does_not_make_anothers_appointment_the_patients(
    gateway: Gateway, desk: ElmDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = desk.handle
    monkeypatch.setattr(desk, "handle", lambda method, path, _, body: plain(method, path, {}, body))
    assert gateway.appointments_of("2", start_of(3), start_of(4)) == []
    assert gateway.find_booking(KEY, "2", start_of(3)) is None
    assert [each.external_id for each in gateway.appointments_of("1", start_of(3), start_of(4))] == ["501"]


def test_where_no_versions_are_checked_the_appointment_is_read_before_it_is_cancelled(
    gateway: RestGateway, desk: ElmDesk
) -> None:
    gateway.capabilities = replace(gateway.capabilities, version_check=False)
    with pytest.raises(StaleVersion):
        gateway.cancel("501", "7")
    assert desk.rows["bookings"]["501"]["state"] == "open"
    gateway.cancel("501", "1")
    assert desk.rows["bookings"]["501"]["state"] == "off"


def test_a_row_without_a_version_has_the_one_of_its_text(gateway: Gateway, desk: ElmDesk) -> None:
    del desk.rows["bookings"]["501"]["revision"]
    before = gateway.fetch("appointment", "501").version
    (page,) = gateway.changed_since(None)
    assert page.versions == {"501": before}
    assert before.startswith("~")
    desk.rows["bookings"]["501"]["state"] = "off"
    assert gateway.fetch("appointment", "501").version != before


@pytest.mark.parametrize(("site", "hour"), [(1, 14), (2, 15)])
def test_a_time_without_offset_is_the_sites_own(gateway: Gateway, desk: ElmDesk, site: int, hour: int) -> None:
    """The zone of a site that is not mirrored yet is asked for."""
    desk.put("sites", 2, name="Oak Street", zone="America/Chicago")
    desk.rows["bookings"]["501"].update(begins="2030-01-15T09:00:00", site=site)
    record = gateway.fetch("appointment", "501")
    assert getattr(record, "start", None) == datetime(2030, 1, 15, hour, tzinfo=UTC)


def test_a_time_without_offset_at_a_site_nobody_knows_is_not_guessed(gateway: Gateway, desk: ElmDesk) -> None:
    desk.rows["bookings"]["501"].update(begins="2030-01-15T09:00:00", site=77)
    with pytest.raises(Unreadable):
        gateway.fetch("appointment", "501")


def open_as(connection: Connection, free: Any = adapter.free, **able: Any) -> RestGateway:
    """Open the same system by an adapter that declares something else of it."""
    capabilities = replace(adapter.DECLARATION.capabilities, **able)
    declared = replace(adapter.DECLARATION, capabilities=capabilities)
    functions = {"write": adapter.write, "many": adapter.many, "insurance": adapter.insurance}
    return opener(declared, read=adapter.read, free=free, **functions)(connection)


def test_several_changes_cost_one_read_and_what_it_leaves_out_is_asked_for_alone(
    connection: Connection, desk: ElmDesk
) -> None:
    for number in (502, 503):
        book(desk, number, patient=2, slot=number - 500, state="here" if number == 502 else "open")
    desk.put("bookings", 503, begins="whenever")
    Connection.objects.update(calls_per_minute=600)
    connection.refresh_from_db()
    for number in (501, 502, 503, 777):
        intake.remember(connection, "webhook", Notice("appointment", str(number)))
    before = len(desk.calls)
    inbox.process(event_leases.due()[0])
    assert desk.calls[before:] == [("GET", "/bookings"), ("GET", "/bookings"), ("GET", "/bookings/777")]
    assert list(InboundEvent.objects.order_by("pk").values_list("outcome", flat=True)) == [
        "we had this version; no opening",
        "mirrored; no opening",
        "its start is not a date with a time",
        "the EHR no longer has it, and we never had it",
    ]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"many": lambda *_: iter(())}, "failed 1 of 1 were left out, and each takes a call of its own after all"),
        ({"many": None}, "not offered each change costs a call of its own"),
    ],
)
def test_a_function_for_several_that_finds_nothing_is_found_out(
    connection: Connection, declared: dict[str, Any], says: str
) -> None:
    capabilities = replace(adapter.DECLARATION.capabilities, reads_many="ids" if declared["many"] else "")
    declaration = replace(adapter.DECLARATION, capabilities=capabilities)
    functions = {"write": adapter.write, "insurance": adapter.insurance, **declared}
    open_gateway = opener(declaration, read=adapter.read, free=adapter.free, **functions)
    told = verdicts(list(conformance.read_only(open_gateway(connection))))
    assert told["Several can be read by one call"] == says


def test_a_system_that_ignores_the_ids_is_asked_no_further_and_each_is_read_alone(
    connection: Connection, desk: ElmDesk, monkeypatch: pytest.MonkeyPatch, work_inbox: Callable[[], int]
) -> None:
    for number in range(502, 508):
        book(desk, number, patient=2, slot=number - 500)
    Connection.objects.update(calls_per_minute=600)
    connection.refresh_from_db()
    plain = desk.handle

    def without_ids(method: str, path: str, asked: dict[str, str], body: Any) -> tuple[int, Any]:
        return plain(method, path, {key: value for key, value in asked.items() if key != "numbers"}, body)

    monkeypatch.setattr(desk, "handle", without_ids)
    told = verdicts(list(conformance.read_only(connect(connection))))
    assert told["Several can be read by one call"] == (
        "failed malformed: The EHR does not search by ids: it found others too."
    )
    for number in (506, 507):
        intake.remember(connection, "webhook", Notice("appointment", str(number)))
    before = len(desk.calls)
    work_inbox()
    assert desk.calls[before:] == [("GET", "/bookings"), ("GET", "/bookings/506"), ("GET", "/bookings/507")]


def test_reading_many_is_declared_with_the_function_for_it_or_not_at_all() -> None:
    with pytest.raises(ValueError, match="reads_many"):
        opener(adapter.DECLARATION, read=adapter.read, free=adapter.free, write=adapter.write)


def test_insurance_is_declared_with_the_function_for_it_or_not_at_all() -> None:
    functions = {"read": adapter.read, "free": adapter.free, "write": adapter.write, "many": adapter.many}
    with pytest.raises(ValueError, match="coverage_by"):
        opener(adapter.DECLARATION, **functions)
    with pytest.raises(ValueError, match="coverage_by"):
        replace(adapter.DECLARATION, coverage=None)


def test_what_pays_for_a_patients_visits_is_told_page_by_page(gateway: Gateway, desk: ElmDesk) -> None:
    for number, patient in enumerate((1, 2, 1, 1, 1), start=1):
        insurer = {"insurer": 9, "insurer_name": "Acme", "rank": number}
        desk.put("policies", number, patient=patient, plan=f"P{number}", title="Open", valid=number != 3, **insurer)
    desk.put("policies", 4, ends="2020-01-01")
    desk.put("policies", 6, patient=1, begins="whenever")
    told = dict(gateway.coverages(["1", "3"]))
    one, three = told["1"], told["3"]
    assert isinstance(one, Coverages)
    assert [(each.system, each.code, each.display, each.position) for each in one.records] == [
        ("Organization/9", "P1", "Acme: Open", 1),
        ("Organization/9", "P5", "Acme: Open", 5),
    ]
    assert [each.reference for each in one.quarantined] == ["Coverage/6"]
    assert three == Coverages(())


def test_free_time_is_cut_to_what_was_asked_and_slots_are_named(connection: Connection, desk: ElmDesk) -> None:
    slots = [SlotRecord(f"s-{number}", start_of(number), start_of(number + 1), number != 2) for number in range(5)]
    gateway = open_as(connection, lambda *_: slots, book_mode="one_slot")
    half = timedelta(minutes=15)
    look = gateway.availability("11", "1", start_of(0) + half, start_of(4))
    assert look.free == (Interval(start_of(0) + half, start_of(2)), Interval(start_of(3), start_of(4)))
    assert [slot.external_id for slot in look.slots] == ["s-0", "s-1", "s-3"]
    before = len(desk.calls)
    with pytest.raises(Rejected):
        gateway.create(asked())
    assert len(desk.calls) == before
    assert gateway.create(asked(slot_ids=("s-0",))).version == "1"


def test_what_is_not_declared_is_never_asked_of_the_system(connection: Connection, desk: ElmDesk) -> None:
    gateway = open_as(
        connection, search_last_updated=False, writes_appointments=False, cancels=False, finds_by_identifier=False
    )
    before = len(desk.calls)
    for ask in (
        lambda: gateway.create(asked()),
        lambda: gateway.cancel("501", "1"),
        lambda: gateway.find_by_identifier("urn:sooner:booking", KEY),
    ):
        with pytest.raises(Rejected):
            ask()
    assert len(desk.calls) == before
    (page,) = gateway.changed_since(start_of(0))
    assert page.versions == {"501": "1"}
    assert desk.asked[-1].keys() == {"from", "until"}
    assert gateway.find_booking(KEY, "1", start_of(3) + timedelta(minutes=15)) is None  # it runs then, begun before
    found = gateway.find_booking(KEY, "1", start_of(3))
    assert found is not None
    assert found.external_id == "501"
    assert "reference" not in desk.asked[-1]


def test_the_path_of_a_field_is_tried_on_a_patient_of_the_system(desk: ElmDesk, connection: Connection) -> None:
    def tried(path: str) -> tuple[str, str, str]:
        found = field_preview.of_last_patient(connection, "given_name", path, "trim")
        return found.says, found.value, found.on

    there = "a patient read from the EHR just now"
    given = desk.rows["patients"]["1"]["first_name"]
    ExternalId.objects.filter(kind="patient").exclude(value="1").delete()
    assert tried("Patient.name.given") == ("It gives a value.", given, there)
    assert tried("Patient.photo.url") == ("It gives nothing.", "", there)
    assert tried("Patient.name") == (
        "It cannot be kept: the path leads to a whole element, not to a value in it.", "", there,
    )  # fmt: skip


# --- how a kind comes to an installation ------------------------------------------------------------------------------


def test_a_kind_named_by_setting_can_be_chosen_and_no_other(desk: ElmDesk, connection: Connection) -> None:
    assert connection_kinds()[-1] == ("elm-desk", "Elm Desk (example)")
    assert connection.get_kind_display() == "Elm Desk (example)"
    connection.full_clean()


@pytest.mark.parametrize(
    ("adapters", "says"),
    [
        ({"elm-desk": "integrations.ehr.nowhere"}, "integrations.ehr.nowhere cannot be imported"),
        ({"elm-desk": "integrations.ehr.gateway"}, "integrations.ehr.gateway has no open_gateway"),
        ({"fhir": "integrations.ehr.example.adapter"}, "fhir is a kind of ours"),
    ],
)
def test_a_kind_that_cannot_be_used_is_named(settings: Any, adapters: dict[str, str], says: str) -> None:
    settings.EHR_ADAPTERS = adapters
    with pytest.raises(ImproperlyConfigured, match=says):
        connection_kinds()


@pytest.mark.parametrize(
    ("promise", "says"),
    [
        ({"events": True}, "declares events"),
        ({"version_check": True}, "declares version_check"),
        ({"finds_by_identifier": True}, "declares finds_by_identifier"),
    ],
)
def test_a_declaration_cannot_promise_what_nothing_keeps(promise: dict[str, bool], says: str) -> None:
    plain = replace(adapter.DECLARATION.capabilities, version_check=False, finds_by_identifier=False)
    fields = replace(adapter.DECLARATION.appointment, version="", key="")
    replace(adapter.DECLARATION, capabilities=plain, appointment=fields)
    with pytest.raises(ValueError, match=says):
        replace(adapter.DECLARATION, capabilities=replace(plain, **promise), appointment=fields)


def test_its_past_is_listed_with_when_each_was_cancelled(desk: ElmDesk, connection: Connection) -> None:
    book(desk, 502, patient=2, slot=4, state="off", reason="patient")
    (page,) = connect(connection).history(start_of(3), start_of(4) + timedelta(minutes=1))
    booked, cancelled = sorted(page.records, key=lambda each: each.external_id)
    assert (booked.status, booked.cancelled_at) == ("booked", None)
    assert (cancelled.status, cancelled.cancelled_at) == (
        "cancelled",
        datetime.fromisoformat(desk.rows["bookings"]["502"]["changed"]),
    )
    declaration = replace(
        adapter.DECLARATION, capabilities=replace(adapter.DECLARATION.capabilities, lists_cancelled=False)
    )
    functions = {"write": adapter.write, "many": adapter.many, "insurance": adapter.insurance}
    deaf = opener(declaration, read=adapter.read, free=adapter.free, **functions)(connection)
    with pytest.raises(Rejected, match="does not list cancelled"):
        list(deaf.history(start_of(3), start_of(4)))
