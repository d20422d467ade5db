"""In shadow nothing leaves: a real EHR hears no write and a real carrier no text, whatever happens meanwhile."""

from __future__ import annotations

import pytest
from django.utils import timezone

from integrations import tasks
from integrations.ehr import load, poll
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Booking, Throttled, connect
from integrations.models import Connection
from scheduling import writebacks
from scheduling.models import AppointmentType, Location, Opening, Patient, Provider, Source, Writeback
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.fixtures.sandbox import Sandbox
from tests.integrations.conftest import Booking as Booked
from tests.integrations.messaging.conftest import CarrierClient, carrier, carrier_process
from waitlist import messages, shadow
from waitlist.models import Message, Offer, ShadowOffer
from waitlist.tasks import drain_attention

__all__ = ["carrier", "carrier_process"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(db: None, sandbox: Sandbox) -> Connection:
    """A clinic with a booking in the first slot, loaded, and two other patients who wait for its time."""
    sandbox.small_clinic()
    sandbox.load(ehr.booking("booking-1"))
    row = sandbox.connect()
    load.load(row.pk)
    row.refresh_from_db()
    kind = AppointmentType.objects.get(code="follow-up")
    factories.policy(start_delay_seconds=0, quiet_from="00:00", quiet_until="00:00")
    factories.bookable(Provider.objects.get(name__contains="Ana"), Location.objects.get(), kind)
    for person in Patient.objects.order_by("pk")[1:]:
        factories.entry(person, kind)
        for contact in person.contact_points.all():
            factories.consents(contact)
    return row


def writes(sandbox: Sandbox) -> list[str]:
    """What was asked of the EHR that could change something in it."""
    changing = [each for each in sandbox.calls() if each["method"] != "GET"]
    return [f"{each['method']} {each['path']}" for each in changing if "/oauth/token" not in each["path"]]


def work() -> None:
    """Everything the workers do."""
    for _ in range(2):
        tasks.drain_inbox()
        drain_attention()
        tasks.drain_checks()
        tasks.drain_writebacks()
        tasks.drain_messages()


def test_a_cancellation_is_computed_to_its_end_and_nothing_leaves(
    sandbox: Sandbox, connection: Connection, carrier: CarrierClient
) -> None:
    assert shadow.begin(connection.source) is None
    sandbox.change(ehr.booking("booking-1", status="cancelled"))
    poll.poll(connection.pk)
    work()
    opening = Opening.objects.get()
    assert opening.checked_at is not None
    assert ShadowOffer.objects.filter(opening=opening).count() == 2
    # Rows that slipped in beside the gates of offers and claims are held by the outboxes.
    entry = ShadowOffer.objects.order_by("rank").first().entry
    offer = factories.offer(opening, entry)
    contact = entry.patient.contact_points.get(system="phone")
    message = messages.queue(
        Message.Kind.OFFER,
        messages.Address.of(contact),
        messages.Subject.of(offer),
        {"link": "https://example.org/", "keep": None},
        dedupe_key="slipped in",
    )
    appointment = factories.appointment(
        entry.patient, opening.provider, opening.location, start=opening.start, source=connection.source
    )
    row = writebacks.request_create(appointment, opening, ["ana-0"])
    work()
    row.refresh_from_db()
    message.refresh_from_db()
    assert (row.status, row.sent_at, message.status) == (Writeback.Status.WAITING, None, Message.Status.WAITING)
    assert (writes(sandbox), carrier.messages()) == ([], [])
    assert Offer.objects.count() == 1


def test_the_last_gate_lets_no_write_through(sandbox: Sandbox, connection: Connection) -> None:
    shadow.begin(connection.source)
    gateway = connect(connection)
    booking = Booking("k", "patient-1", "ana", "elm", ehr.start_of(2), ehr.start_of(3))
    with pytest.raises(Throttled):
        gateway.create(booking)
    with pytest.raises(Throttled):
        gateway.cancel("booking-1", "1")
    with pytest.raises(Throttled):
        Transport(connection).send_form("PUT", "/v1/195900/appointments/1", {"patientid": "1"})
    assert writes(sandbox) == []
    shadow.end(connection.source)
    gateway.create(booking)
    assert [each.split("/")[-1] for each in writes(sandbox)] == ["Appointment"]


def test_a_write_that_was_on_its_way_waits_without_a_call(booking: Booked) -> None:
    Source.objects.update(shadow_since=timezone.now())
    booking.process()
    row = Writeback.objects.get()
    assert (row.status, row.attempts, booking.clinic.ehr.calls) == (Writeback.Status.WAITING, 0, [])
    Source.objects.update(shadow_until=timezone.now())
    booking.pass_time(60)
    booking.finish()
    assert booking.status == Writeback.Status.DONE
