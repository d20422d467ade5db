"""What goes wrong at an EHR goes wrong in each maker's own words, and ends the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from integrations.draining import drain
from integrations.ehr import inbox, intake, load, poll
from integrations.ehr.fhir import search
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.fhir.events import Notice
from integrations.ehr.gateway import Kind, Record
from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, Opening, WorkItem, Writeback
from tests.fixtures import sandbox as ehr
from tests.integrations.test_outbox_with_sandbox import Practice
from waitlist.models import Claim

pytestmark = pytest.mark.django_db

#: How each books: the method and the address its bookings go to. Plain FHIR has tests of its own.
BOOKS = {"oracle": ("POST", "Appointment"), "argonaut": ("POST", "Appointment/$book"), "athena": ("PUT", "v1")}


@pytest.fixture(params=sorted(BOOKS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def playing(kind: str) -> Iterator[ehr.Sandbox]:
    """An empty sandbox EHR that plays the dialect."""
    settings = SandboxSettings(
        client_id=ehr.CLIENT_ID, client_secret=ehr.CLIENT_SECRET, control_token=ehr.CONTROL_TOKEN, dialect=kind
    )
    with SandboxServer(settings) as server:
        yield ehr.Sandbox(server.base_url, server)


@pytest.fixture
def practice(db: None, playing: ehr.Sandbox, kind: str) -> Practice:
    return Practice(playing, kind=kind, practice_number="195900")


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
    assert [record.patient_id for record in practice.booked] == ["patient-3"]
    assert bookings_sent(practice) == 1


def just_before(monkeypatch: pytest.MonkeyPatch, practice: Practice, method: str, act: Callable[[], None]) -> None:
    """Run something once, at the moment the gateway of this dialect is asked."""
    from integrations.ehr.gateway import connect

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
    """None of them keeps our key: it is known by patient, clinician and start."""
    usual, told = FhirGateway.fetch, []

    def fetch(self: FhirGateway, kind: Kind, external_id: str) -> Record:
        if not told and kind == "appointment":
            told.append(external_id)
            intake.remember(practice.connection, InboundEvent.Via.WEBHOOK, Notice("appointment", external_id))
            drain("inbox", inbox.due, inbox.process)
        return usual(self, kind, external_id)

    monkeypatch.setattr(FhirGateway, "fetch", fetch)
    practice.work()
    assert InboundEvent.objects.get().outcome == "our own booking or cancellation; no opening"
    practice.assert_booked_once()
    assert (Appointment.objects.count(), Opening.objects.count()) == (1, 1)


@pytest.fixture
def read(db: None, playing: ehr.Sandbox, kind: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
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
    playing: ehr.Sandbox, read: Connection, fault: str, options: dict[str, Any]
) -> None:
    cursor, as_of = read.cursor, read.calendar_as_of
    playing.fault(fault, **options)
    assert poll.poll(read.pk) is None
    drain("inbox", inbox.due, inbox.process)
    read.refresh_from_db()
    assert (read.cursor, read.calendar_as_of) == (cursor, as_of)
    assert set(Appointment.objects.values_list("status", flat=True)) == {"booked"}
    assert not Opening.objects.exists()


def test_one_bad_entry_in_good_pages_is_shown_and_the_rest_applied(playing: ehr.Sandbox, read: Connection) -> None:
    for number in (0, 4):
        playing.change(ehr.booking(f"b-{number}", number, status="arrived"))
    playing.change(ehr.booking("b-2", 2, minutesDuration="a while", status=7))
    assert poll.poll(read.pk) is not None
    drain("inbox", inbox.due, inbox.process)
    assert Appointment.objects.filter(status="arrived").count() == 2
    assert not Opening.objects.exists()
    assert WorkItem.objects.filter(kind="event.unreadable").count() == 1


def test_versions_told_in_the_wrong_order_leave_the_present_state(playing: ehr.Sandbox, read: Connection) -> None:
    playing.change(ehr.booking("b-1", 1, status="cancelled"))
    for version in ("2", "1"):
        intake.remember(read, InboundEvent.Via.WEBHOOK, Notice("appointment", "b-1", version=version))
        drain("inbox", inbox.due, inbox.process)
    assert Appointment.objects.filter(status="cancelled").count() == 1
    assert Opening.objects.count() == 1
