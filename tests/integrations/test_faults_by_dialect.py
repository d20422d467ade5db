"""What goes wrong at an EHR goes wrong in each maker's own words, and ends the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer

from integrations import outbox
from integrations.draining import drain
from integrations.ehr import inbox, intake, load, poll
from integrations.ehr.fhir import search
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import Kind, Record, Refused, Throttled, connect
from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from integrations.models import CodeMapping, Connection, InboundEvent
from scheduling.models import Appointment, AppointmentType, ExternalId, Opening, Patient, WorkItem, Writeback
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.fixtures.elm_clinic import ElmClinic
from tests.fixtures.elm_desk import elm_desk
from tests.integrations.test_outbox_with_sandbox import Practice
from waitlist import claims
from waitlist.models import Claim

pytestmark = [pytest.mark.django_db, pytest.mark.long]

#: How each books: the method and the address its bookings go to. Plain FHIR has tests of its own; a proprietary system
#: behind a declaration and its functions is asked the same as the makers' dialects of FHIR.
BOOKS = {
    "oracle": ("POST", "Appointment"),
    "argonaut": ("POST", "Appointment/$book"),
    "athena": ("PUT", "v1"),
    "elm-desk": ("POST", "bookings"),
}
Playing = ehr.Sandbox | ElmClinic


@pytest.fixture(params=sorted(BOOKS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def playing(kind: str, settings: Any) -> Iterator[Playing]:
    """An empty sandbox EHR that plays the dialect, or the made-up system of the example adapter."""
    if kind == "elm-desk":
        settings.EHR_ADAPTERS = {kind: "integrations.ehr.example.adapter"}
        with elm_desk() as desk:
            yield ElmClinic(desk)
        return
    form = SandboxSettings(
        client_id=ehr.CLIENT_ID, client_secret=ehr.CLIENT_SECRET, control_token=ehr.CONTROL_TOKEN, dialect=kind
    )
    with SandboxServer(form) as server:
        yield ehr.Sandbox(server.base_url, server)


@pytest.fixture
def practice(db: None, playing: Playing, kind: str) -> Practice:
    return Practice(playing, kind=kind, practice_number="195900")


def named(playing: Playing, name: str) -> str:
    """Return the id there of what the sandbox EHR names so."""
    return playing.id_of(name) if isinstance(playing, ElmClinic) else name


def fault_of_booking(practice: Practice, fault: str, **options: Any) -> None:
    method, path = BOOKS[practice.connection.kind]
    practice.sandbox.fault(fault, method=method, path=path, **options)


def bookings_sent(practice: Practice) -> int:
    method, path = BOOKS[practice.connection.kind]
    return len(practice.sandbox.calls(f"/{path}", method))


@pytest.mark.parametrize(
    ("fault", "processed"), [("reset-after-commit", False), ("html-200", True), ("empty-201", False), ("500", True)]
)
def test_booked_but_the_answer_was_lost_is_found_and_sent_once(practice: Practice, fault: str, processed: bool) -> None:
    fault_of_booking(practice, fault, processed=processed)
    practice.work()
    practice.work(past=3)
    practice.work(past=60)
    practice.assert_booked_once()
    assert bookings_sent(practice) == 1


def test_not_booked_and_no_answer_is_sent_again_after_its_absence_is_proven(practice: Practice) -> None:
    fault_of_booking(practice, "reset-before")
    assert practice.work() == Writeback.Status.UNKNOWN
    for seconds in (3, 60, 60):
        practice.work(past=seconds)
    practice.assert_booked_once()
    assert bookings_sent(practice) == 2


def test_taken_meanwhile_ends_honestly_and_theirs_stays(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken between our look and our booking, so that the EHR itself has to say so."""

    def theirs() -> None:
        body = {"patient": "patient-3", "practitioner": "ana", "location": "elm"}
        times = {"start": ehr.start_of(0).isoformat(), "end": ehr.start_of(1).isoformat()}
        practice.sandbox.control.post("appointments", body | times)

    just_before(monkeypatch, practice, "create", theirs)
    assert practice.work() == Writeback.Status.REFUSED
    practice.claim.refresh_from_db()
    assert (practice.claim.state, practice.claim.refused_because) == (Claim.State.REFUSED, "taken")
    assert [record.patient_id for record in practice.booked] == [named(practice.sandbox, "patient-3")]
    assert bookings_sent(practice) == 1


def just_before(monkeypatch: pytest.MonkeyPatch, practice: Practice, method: str, act: Callable[[], None]) -> None:
    """Run something once, at the moment the gateway of this dialect is asked."""
    opened = type(connect(practice.connection))
    usual, waiting = getattr(opened, method), [act]

    def asked(self: Any, *arguments: Any) -> Any:
        if waiting:
            waiting.pop()()
        return usual(self, *arguments)

    monkeypatch.setattr(opened, method, asked)


def test_patience_that_is_asked_for_is_kept_and_the_booking_is_made_once(practice: Practice) -> None:
    fault_of_booking(practice, "429", retry_after="5")
    assert practice.work() == Writeback.Status.WAITING
    quiet = Connection.objects.get().quiet_until
    assert quiet is not None
    assert quiet > timezone.now()
    calls = len(practice.sandbox.calls())
    Writeback.objects.update(due_at=timezone.now())
    outbox.process(practice.writeback.pk)
    with pytest.raises(Throttled):
        connect(Connection.objects.get()).fetch("patient", named(practice.sandbox, "patient-1"))
    assert len(practice.sandbox.calls()) == calls, "no worker calls meanwhile"
    practice.work(past=100)
    practice.work(past=100)
    practice.assert_booked_once()


def test_what_is_read_back_otherwise_is_undone_or_shown_to_staff_and_never_confirmed(practice: Practice) -> None:
    practice.sandbox.fault("wrong-readback", field="start")
    practice.work()
    practice.claim.refresh_from_db()
    assert practice.claim.state == Claim.State.REFUSED
    assert WorkItem.objects.filter(kind="writeback.mismatch").count() == 1
    can_cancel = practice.connection.kind != "argonaut"
    assert len(practice.booked) == (0 if can_cancel else 1)


def test_news_of_our_own_booking_before_its_answer_makes_no_second_one(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where our key is not kept it is known by patient, clinician and start."""
    opened = type(connect(practice.connection))
    usual, told = opened.fetch, []

    def fetch(self: Any, kind: Kind, external_id: str) -> Record:
        if not told and kind == "appointment":
            told.append(external_id)
            intake.remember(practice.connection, InboundEvent.Via.WEBHOOK, Notice("appointment", external_id))
            drain("inbox", inbox.due, inbox.process)
        return usual(self, kind, external_id)

    monkeypatch.setattr(opened, "fetch", fetch)
    practice.work()
    assert InboundEvent.objects.get().outcome == "our own booking or cancellation; no opening"
    practice.assert_booked_once()
    assert (Appointment.objects.count(), Opening.objects.count()) == (1, 1)


@pytest.fixture
def read(db: None, playing: Playing, kind: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection that knows five visits, read two by two."""
    monkeypatch.setattr(search, "PAGE_SIZE", 2)
    playing.small_clinic()
    playing.load(*(ehr.booking(f"b-{number}", number) for number in range(5)))
    row = playing.connect(kind=kind, practice_number="195900")
    load.load(row.pk)
    row.refresh_from_db()
    return row


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("page-500", {"page": 2}),
        ("page-loop", {"page": 2, "count": None}),
        ("foreign-next", {"page": 2}),
        ("redirect", {"path": "Appointment"}),
    ],
)
def test_from_a_read_that_breaks_off_nothing_is_concluded(
    playing: Playing, read: Connection, httpserver: HTTPServer, fault: str, options: dict[str, Any]
) -> None:
    """Nor is another host asked, which would get our token and answer that there is nothing more."""
    nothing = {"resourceType": "Bundle", "type": "searchset", "rows": [], "next": None}
    httpserver.expect_request(re.compile(".*")).respond_with_json(nothing)
    cursor, as_of = read.cursor, read.calendar_as_of
    playing.fault(fault, **options, url=httpserver.url_for("/elsewhere"))
    assert poll.poll(read.pk) is None
    drain("inbox", inbox.due, inbox.process)
    read.refresh_from_db()
    assert (read.cursor, read.calendar_as_of) == (cursor, as_of)
    assert set(Appointment.objects.values_list("status", flat=True)) == {"booked"}
    assert not Opening.objects.exists()
    assert httpserver.log == []


def test_one_bad_entry_in_good_pages_is_shown_and_the_rest_applied(playing: Playing, read: Connection) -> None:
    for number in (0, 4):
        playing.change(ehr.booking(f"b-{number}", number, status="arrived"))
    playing.change(ehr.booking("b-2", 2, minutesDuration="a while", status=7))
    assert poll.poll(read.pk) is not None
    drain("inbox", inbox.due, inbox.process)
    assert Appointment.objects.filter(status="arrived").count() == 2
    assert not Opening.objects.exists()
    assert WorkItem.objects.filter(kind="event.unreadable").count() == 1


def test_versions_told_in_the_wrong_order_leave_the_present_state(playing: Playing, read: Connection) -> None:
    playing.change(ehr.booking("b-1", 1, status="cancelled"))
    for version in ("2", "1"):
        tell(read, named(playing, "b-1"), version)
    assert Appointment.objects.filter(status="cancelled").count() == 1
    assert Opening.objects.count() == 1


def tell(connection: Connection, external_id: str, version: str = "") -> None:
    """Have a notification name an appointment, and deal with it."""
    intake.remember(connection, InboundEvent.Via.WEBHOOK, Notice("appointment", external_id, version=version))
    drain("inbox", inbox.due, inbox.process)


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": ehr.REASON_SYSTEM, "code": code}]}


@pytest.mark.parametrize(
    ("fields", "domain", "held"),
    [
        ({"status": "cancelled", "cancelationReason": coded("ZZ-17")}, "reason", "reason"),
        ({"status": "cancelled", "appointmentType": coded("LUNCH"), "cancelationReason": coded("pat")}, "type", "type"),
        ({"status": "on-hold"}, "status", None),
    ],
)
def test_a_code_nobody_mapped_is_asked_of_staff_and_nobody_is_offered_its_time(
    playing: Playing, read: Connection, fields: dict[str, Any], domain: str, held: str | None
) -> None:
    playing.change(ehr.booking("b-1", 1, **fields))
    tell(read, named(playing, "b-1"))
    assert CodeMapping.objects.filter(domain=domain, state="unmapped").count() == 1
    assert WorkItem.objects.filter(kind=f"mapping.{domain}").count() == 1
    assert [opening.held for opening in Opening.objects.all()] == ([held] if held else [])


def written(resource: ehr.Resource, start: str) -> ehr.Resource:
    """The same visit with its times as a system writes them that keeps local time, half an hour long."""
    at = start[:11] + f"{int(start[11:13]):02}:{int(start[14:16]) + 29}:00"
    return {**resource, "start": start, "end": at}


@pytest.mark.parametrize(
    ("start", "means"),
    [
        ("2031-01-15T09:00:00", "2031-01-15T14:00:00+00:00"),
        ("2031-07-15T09:00:00", "2031-07-15T13:00:00+00:00"),
        ("2031-03-09T02:10:00", None),  # there is no such time in New York
        ("2031-11-02T01:10:00", None),  # there it is twice
    ],
)
def test_a_time_without_offset_is_the_places_own_or_a_persons_to_judge(
    playing: Playing, read: Connection, start: str, means: str | None
) -> None:
    playing.change(written(ehr.booking("b-1", 1), start))
    before = Appointment.objects.get(start=ehr.start_of(1)).start
    tell(read, named(playing, "b-1"))
    name = ExternalId.objects.get(kind=ExternalId.Kind.APPOINTMENT, value=named(playing, "b-1"))
    found = Appointment.objects.get(pk=name.object_id).start
    assert found is not None
    assert found == before if means is None else found.isoformat() == means
    assert WorkItem.objects.filter(kind="event.unreadable").count() == (means is None)


def test_a_token_that_ends_in_the_middle_is_renewed_once(playing: Playing, read: Connection) -> None:
    logins = logins_of(playing)
    playing.change(ehr.booking("b-4", 4, status="arrived"))
    playing.fault("401", path="Appointment", count=1)
    found = poll.poll(read.pk)
    assert found is not None
    assert found.changed == 1
    assert logins_of(playing) == logins + 1
    read.refresh_from_db()
    assert read.failing_since is None


def logins_of(playing: Playing) -> int:
    return playing.desk.logins if isinstance(playing, ElmClinic) else len(playing.calls("/oauth/", "POST"))


@pytest.mark.parametrize("fault", ["500", "cut-json", "html-200"])
def test_an_appointment_of_somebody_we_do_not_know_has_them_fetched_now_or_later(
    playing: Playing, read: Connection, fault: str
) -> None:
    who = (
        {"resourceType": "Patient", "id": "patient-9"}
        if isinstance(playing, ElmClinic)
        else ehr.patient("patient-9", 9)
    )
    playing.load(who)
    playing.change(ehr.booking("b-6", 6, who="patient-9"))
    playing.fault(fault, path="Patient", method="GET")
    tell(read, named(playing, "b-6"))
    assert (Appointment.objects.count(), InboundEvent.objects.get().status) == (5, "received")
    Connection.objects.update(quiet_until=None)
    InboundEvent.objects.update(due_at=timezone.now())
    drain("inbox", inbox.due, inbox.process)
    name = ExternalId.objects.get(kind=ExternalId.Kind.PATIENT, value=named(playing, "patient-9"))
    assert Appointment.objects.get(start=ehr.start_of(6)).patient_id == name.object_id


def test_a_yes_to_a_time_that_was_taken_back_is_refused(playing: Playing, read: Connection) -> None:
    """A visit is moved, its old time offered, and the visit moved back before the patient answers."""
    playing.change(ehr.booking("b-4", 9))
    tell(read, named(playing, "b-4"))
    opening = Opening.objects.get()
    assert (opening.start, opening.status) == (ehr.start_of(4), Opening.Status.OPEN)
    name = ExternalId.objects.get(kind=ExternalId.Kind.PATIENT, value=named(playing, "patient-3"))
    patient, kind = Patient.objects.get(pk=name.object_id), AppointmentType.objects.get(code="follow-up")
    factories.bookable(opening.provider, opening.location, kind)
    offer = factories.offer(opening, factories.entry(patient, kind))
    playing.change(ehr.booking("b-4", 4))
    tell(read, named(playing, "b-4"))
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == (Opening.Status.CLOSED, "restored")
    assert claims.claim(opening, patient, offer=offer, channel="link").claim is None
    assert not Claim.objects.exists()
    assert not Writeback.objects.exists()


def test_a_private_address_is_never_called(playing: Playing, read: Connection, settings: Any) -> None:
    """Neither for a read nor for a poll, also when it was allowed while the connection was made."""
    Connection.objects.update(base_url=read.base_url.replace("127.0.0.1", "localhost"))
    read.refresh_from_db()
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False
    before = len(playing.calls())
    with pytest.raises(Refused):
        connect(read).fetch("appointment", named(playing, "b-1"))
    assert poll.poll(read.pk) is None
    assert len(playing.calls()) == before
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = True
    assert connect(read).fetch("appointment", named(playing, "b-1")).external_id == named(playing, "b-1")
