"""An EHR that only sends HL7 v2: its SIU messages are the calendar, the list, and the events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from integrations import mapping, outbox
from integrations.ehr import availability
from integrations.ehr.gateway import Rejected, connect
from integrations.meanings import Key
from integrations.models import CodeMapping, Connection, InboundEvent
from integrations.try_it import Change, try_event
from scheduling import openings
from scheduling.models import (
    Appointment,
    AppointmentType,
    ExternalId,
    Location,
    Opening,
    Patient,
    PatientReview,
    Provider,
    WorkItem,
    Writeback,
)
from tests import factories
from tests.integrations.ehr import signing
from tests.integrations.ehr.hl7v2_messages import adt, siu, soon
from tests.integrations.ehr.payload_ehr import needs_payloads
from waitlist import claims, from_calendar
from waitlist.models import Claim, Offer, WaitlistEntry

pytestmark = [needs_payloads, pytest.mark.django_db]

S = Appointment.Status
Worked = Callable[[], int]


@pytest.fixture
def scope() -> AppointmentType:
    return factories.appointment_type(50, code="scope", name="Endoscopy")


@pytest.fixture
def elm(scope: AppointmentType) -> Connection:
    """An EHR without FHIR, whose kind of visit is mapped."""
    row = factories.connection("elm", kind="hl7v2", base_url="", source=factories.source("elm", writable=False))
    mapping.map_code(row, "type", "SCT", "76164006", "scope", by="test")
    return row


def told(elm: Connection, body: bytes, work_inbox: Worked) -> InboundEvent:
    """Send a message, see it acknowledged, and have it dealt with."""
    answer = signing.send(elm, body)
    assert b"MSA|AA|" in answer.content
    work_inbox()
    return InboundEvent.objects.latest("pk")


def visit() -> Appointment:
    return Appointment.objects.get()


def test_a_booked_visit_is_mirrored_with_everybody_it_names(
    elm: Connection, scope: AppointmentType, work_inbox: Worked
) -> None:
    start = soon()
    event = told(elm, siu("S12", start), work_inbox)
    assert (event.status, event.outcome, event.subject_key) == ("done", "mirrored; no opening", "Appointment/36996")
    row = visit()
    assert (row.status, row.start, row.end) == (S.BOOKED, start, start + timedelta(minutes=50))
    assert (row.status_code, row.type_code, row.appointment_type) == ("Booked", "76164006", scope)
    assert (Provider.objects.get().name, Location.objects.get().name) == ("Robert GE", "GH Clinic")
    assert row.patient == Patient.objects.get()
    assert ExternalId.objects.get(kind="patient").value != "PATID1234"


def test_moved_its_old_time_opens_and_who_comes_stays_although_the_message_does_not_say(
    elm: Connection, work_inbox: Worked
) -> None:
    start = soon(3)
    told(elm, siu("S12", start, minutes_ago=2), work_inbox)
    patient = visit().patient
    told(elm, siu("S13", soon(5), PID=None), work_inbox)
    assert (visit().status, visit().start, visit().patient) == (S.BOOKED, soon(5), patient)
    assert Opening.objects.get().start == start


@pytest.mark.parametrize(
    ("trigger", "status", "opens"),
    [("S15", S.CANCELLED, 1), ("S16", S.CANCELLED, 1), ("S17", S.ENTERED_IN_ERROR, 1), ("S26", S.NOSHOW, 0)],
)
def test_how_a_visit_ends(elm: Connection, work_inbox: Worked, trigger: str, status: str, opens: int) -> None:
    told(elm, siu("S12", minutes_ago=2), work_inbox)
    # The words beside a cancellation are for a person to read; here there are none.
    event = told(elm, siu(trigger, NTE=None), work_inbox)
    assert (event.status, visit().status) == ("done", status)
    assert Opening.objects.filter(held="").count() == opens


def test_words_or_an_unmapped_reason_hold_the_time_for_a_person(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=2), work_inbox)
    told(elm, siu("S15"), work_inbox)
    assert visit().cancellation_note.text == "Appointment cancelled."
    assert Opening.objects.get().held == Opening.Held.REASON


def test_unmapped_codes_are_discovered_on_the_mapper(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=5), work_inbox)
    told(elm, siu("S15", minutes_ago=4, SCH_6="SNOW^Snowed in^LOCAL"), work_inbox)
    told(elm, siu("S12", minutes_ago=3, SCH_2="2", SCH_25="Left w/o seen", AIS_3="X1^New^LOCAL"), work_inbox)
    found = CodeMapping.objects.filter(connection=elm, state="unmapped").values_list("domain", "system", "code")
    expected = {("reason", "LOCAL", "SNOW"), ("status", "", "Left w/o seen"), ("type", "LOCAL", "X1")}
    assert {*found} - {("language", "", "ara")} == expected
    assert Appointment.objects.get(type_code="X1").status == S.UNKNOWN
    assert Opening.objects.get().held == Opening.Held.REASON
    mapping.map_code(elm, "reason", "LOCAL", "SNOW", CodeMapping.REBOOKABLE, by="test")
    assert Opening.objects.get().held == ""


def test_a_reason_stands_although_a_later_message_leaves_it_out(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=5), work_inbox)
    told(elm, siu("S15", minutes_ago=4, SCH_6="SNOW^Snowed in^LOCAL"), work_inbox)
    told(elm, siu("S14", SCH_25="", NTE=None), work_inbox)
    assert (visit().status, visit().reason_code) == (S.CANCELLED, "SNOW")


def test_check_in_by_a_modification(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=2), work_inbox)
    told(elm, siu("S14", SCH_25="Started"), work_inbox)
    assert visit().status == S.CHECKED_IN
    assert Patient.objects.get().established


def test_an_older_message_that_comes_late_changes_nothing(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", soon(3), minutes_ago=9), work_inbox)
    told(elm, siu("S15", soon(3), minutes_ago=1, NTE=None), work_inbox)
    event = told(elm, siu("S13", soon(6), minutes_ago=5), work_inbox)
    assert event.outcome == "we knew something newer; no opening"
    assert (visit().status, visit().start) == (S.CANCELLED, soon(3))
    assert Opening.objects.count() == 1


def test_a_sender_whose_clock_is_ahead_does_not_silence_what_follows(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=-60 * 24 * 365), work_inbox)
    told(elm, siu("S15", NTE=None), work_inbox)
    assert visit().status == S.CANCELLED


def test_the_same_message_again_has_no_effect_and_its_control_id_on_another_one_has(
    elm: Connection, work_inbox: Worked
) -> None:
    booked = siu("S12", minutes_ago=2, MSH_10="SAME")
    told(elm, booked, work_inbox)
    told(elm, booked, work_inbox)
    assert InboundEvent.objects.count() == 1
    told(elm, siu("S15", MSH_10="SAME", NTE=None), work_inbox)
    assert visit().status == S.CANCELLED


def test_an_event_against_its_status_is_shown_to_staff_and_changes_nothing(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=2), work_inbox)
    event = told(elm, siu("S15", SCH_25="Booked"), work_inbox)
    assert (event.status, visit().status) == ("quarantined", S.BOOKED)
    item = WorkItem.objects.get(kind="event.unreadable")
    assert "S15" in item.advice
    assert "SCH-25" in item.advice


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"SCH": None}, "SCH"),
        ({"SCH_2": ""}, "SCH-2"),
        ({"PID_3": "1^^^A^SS"}, "medical record number"),
        ({"AIL": None}, "place"),
        ({"PID_3": "1^^^A^MR~1^^^B^MR"}, "several authorities"),
        ({"AIS": None, "AIP_6": "", "AIL_6": "", "AIG": None, "TQ1": None}, "no start"),
        ({"AIS_4": "next week"}, "not a date with a time"),
    ],
)
def test_what_cannot_be_read_is_acknowledged_kept_and_shown(
    elm: Connection, work_inbox: Worked, fields: dict[str, Any], says: str
) -> None:
    event = told(elm, siu("S12", **fields), work_inbox)
    assert (event.status, Appointment.objects.count()) == ("quarantined", 0)
    assert says in WorkItem.objects.get(kind="event.unreadable").advice
    assert bytes(event.body)


@pytest.mark.parametrize("second", ["PID|2||OTHER^^^A^MR||New^Bob^^^^^L||19900102", "PID|2||||New^Bob^^^^^L||19900102"])
def test_a_visit_of_several_patients_takes_its_time_and_is_nobodys(
    elm: Connection, work_inbox: Worked, second: str
) -> None:
    def of_several(trigger: str, minutes_ago: float) -> bytes:
        lines = siu(trigger, minutes_ago=minutes_ago, NTE=None).decode().split("\r")
        at = next(place for place, line in enumerate(lines) if line.startswith("RGS"))
        return "\r".join([*lines[:at], second, *lines[at:]]).encode()

    told(elm, of_several("S12", 3), work_inbox)
    assert (visit().status, visit().patient, Patient.objects.count()) == (S.BOOKED, None, 0)
    item = WorkItem.objects.get(kind="visit.several_patients")
    assert (item.subject_id, item.location) == (visit().pk, visit().location)
    told(elm, of_several("S15", 2), work_inbox)
    item.refresh_from_db()
    assert (visit().status, item.status) == (S.CANCELLED, WorkItem.Status.DONE)


def test_who_comes_stays_when_others_join(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=3), work_inbox)
    told(elm, siu("S14", minutes_ago=2) + b"\rPID|2||OTHER^^^A^MR||New^Bob^^^^^L||19900102", work_inbox)
    assert visit().patient == Patient.objects.get()
    assert WorkItem.objects.filter(kind="visit.several_patients", status="open").exists()


def test_what_blocked_time_covers_is_closed_by_hand(elm: Connection, work_inbox: Worked) -> None:
    event = told(elm, siu("S12", MSH_9="SIU^S23^SIU_S12"), work_inbox)
    assert (event.status, Appointment.objects.count()) == ("quarantined", 0)
    assert "enter it or delete it under “Blocked times”" in event.outcome


@pytest.mark.parametrize(
    ("fields", "hours"),
    [({}, 0), ({"times_in_messages": "TQ1 AIS"}, 1), ({"times_in_messages": "SCH AIP"}, 2)],
)
def test_where_the_time_stands_is_a_setting(
    elm: Connection, work_inbox: Worked, fields: dict[str, str], hours: int
) -> None:
    Connection.objects.update(**fields)
    start = soon()
    first = start.strftime("%Y%m%d%H%M+0000")
    second = (start + timedelta(hours=1)).strftime("%Y%m%d%H%M+0000")
    third = (start + timedelta(hours=2)).strftime("%Y%m%d%H%M+0000")
    body = siu("S12", start, AIS_4=first, TQ1_7=second, TQ1_8="", SCH_9="30", SCH_10="min", SCH_11=f"^^^{third}")
    told(elm, body, work_inbox)
    assert visit().start == start + timedelta(hours=hours)


def test_a_time_without_offset_is_the_places_own(elm: Connection, work_inbox: Worked) -> None:
    place = factories.location("America/Denver", name="GH Clinic")
    told(elm, siu("S12", minutes_ago=2), work_inbox)
    ExternalId.objects.filter(kind="location").update(object_id=place.pk)
    start = soon(4).astimezone(place.zone)
    told(elm, siu("S13", AIS_4=f"{start:%Y%m%d%H%M%S}"), work_inbox)
    assert visit().start == start


def test_the_placer_and_the_point_of_care_where_the_connection_says_so(elm: Connection, work_inbox: Worked) -> None:
    Connection.objects.update(appointment_number="placer", place_in_messages="point_of_care")
    told(elm, siu("S12"), work_inbox)
    assert ExternalId.objects.get(kind="appointment").value == "12345"
    assert Location.objects.get().name == "055"


def test_a_resource_taken_off_the_visit_does_not_count(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=2), work_inbox)
    gone = siu("S14").decode().replace("AIP|001||1210^GE", "AIP|001|D|1210^GE") + "\rAIP|2|A|77^Lee^Ann"
    told(elm, gone.encode(), work_inbox)
    assert visit().provider == Provider.objects.get(name="Ann Lee")


def test_a_stored_message_is_tried_on_the_mapper_and_changes_nothing(elm: Connection, work_inbox: Worked) -> None:
    event = told(elm, siu("S15", SCH_6="SNOW^Snowed in^LOCAL", SCH_25="Gone"), work_inbox)
    before = (visit().status, CodeMapping.objects.count())
    key = Key("status", "", "Gone")
    trial = try_event(event, Change(key, None, "cancelled"))
    assert {(each.name, each.says, each.before, each.after) for each in trial.fields if each.says} == {
        ("Status", "Gone", "not mapped", "cancelled"),
        ("Kind of visit", "76164006 Biopsy of colon (procedure)", "Endoscopy", "Endoscopy"),
        ("Cancellation reason", "SNOW", "not mapped", "not mapped"),
        ("Clinician", "1210", "Robert GE", "Robert GE"),
        ("Location", ExternalId.objects.get(kind="location").value, "GH Clinic", "GH Clinic"),
    }
    assert trial.patient == Patient.objects.get()
    patient = told(elm, adt("A08"), work_inbox)
    assert [(each.says, each.before) for each in try_event(patient, None).fields] == [("ara", "ar")]
    assert (visit().status, CodeMapping.objects.count()) == before


# --- the list ---------------------------------------------------------------------------------------------------------


def waiting(status: str = "Waitlist", **fields: str | None) -> bytes:
    """A visit that has no time yet."""
    times: dict[str, str | None] = {"AIS_4": "", "AIG": None, "AIL_6": "", "AIP_6": "", "TQ1": None, "SCH_25": status}
    return siu("S12", **{**times, **fields})


@pytest.mark.parametrize("how", ["standard", "mapped"])
def test_who_waits_there_waits_here_until_they_have_a_time_or_are_taken_off(
    elm: Connection, scope: AppointmentType, work_inbox: Worked, how: str
) -> None:
    code = "Waitlist"
    if how == "mapped":
        code = "WL-REQ"
        mapping.map_code(elm, "status", "", code, "waitlist", by="test")
    told(elm, waiting(code, minutes_ago=5), work_inbox)
    assert (visit().status, visit().start) == (S.WAITLIST, None)
    from_calendar.follow()
    entry = WaitlistEntry.objects.get()
    assert (entry.patient, entry.appointment_type, entry.origin) == (visit().patient, scope, "ehr")
    told(elm, siu("S15", minutes_ago=4, AIS_4="", AIG=None, AIL_6="", AIP_6="", TQ1=None), work_inbox)
    from_calendar.follow()
    entry.refresh_from_db()
    assert entry.status == WaitlistEntry.Status.LEFT
    assert not Opening.objects.exists()


def test_a_time_from_the_ehr_ends_the_wait(elm: Connection, work_inbox: Worked) -> None:
    told(elm, waiting(minutes_ago=5), work_inbox)
    from_calendar.follow()
    told(elm, siu("S13"), work_inbox)
    from_calendar.follow()
    assert WaitlistEntry.objects.get().status == WaitlistEntry.Status.BOOKED


# --- who is meant -----------------------------------------------------------------------------------------------------


def test_a_number_with_another_birth_date_is_compared_by_a_person_and_the_time_counts_meanwhile(
    elm: Connection, work_inbox: Worked
) -> None:
    told(elm, adt("A28", minutes_ago=9), work_inbox)
    known = Patient.objects.get()
    event = told(elm, siu("S12", PID_7="19700101"), work_inbox)
    assert (event.status, event.error, event.attempts) == ("received", "waits_for_review", 0)
    assert (visit().status, visit().patient) == (S.BOOKED, None)
    review = PatientReview.objects.get()
    assert (review.patient, review.subject_id) == (known, event.pk)

    PatientReview.objects.update(state="same")
    InboundEvent.objects.filter(pk=event.pk).update(due_at=timezone.now())
    work_inbox()
    assert visit().patient == known
    assert InboundEvent.objects.get(pk=event.pk).status == "done"


def test_a_visit_given_to_somebody_who_is_not_confirmed_is_not_left_with_who_had_it(
    elm: Connection, work_inbox: Worked
) -> None:
    told(elm, adt("A28", minutes_ago=9, PID_3="B-2^^^X^MR", PID_7="19700101"), work_inbox)
    told(elm, siu("S12", minutes_ago=5), work_inbox)
    told(elm, siu("S12", PID_3="B-2^^^X^MR", PID_7="19711231"), work_inbox)
    assert (visit().status, visit().patient) == (S.BOOKED, None)


def test_a_cancellation_counts_whoever_it_is_about(elm: Connection, work_inbox: Worked) -> None:
    told(elm, siu("S12", minutes_ago=5), work_inbox)
    known = visit().patient
    told(elm, siu("S15", PID_7="", NTE=None), work_inbox)
    assert (visit().status, visit().patient) == (S.CANCELLED, known)
    assert Opening.objects.count() == 1


# --- the loop ---------------------------------------------------------------------------------------------------------


def test_from_the_cancellation_to_the_booking_that_staff_enter(
    elm: Connection, scope: AppointmentType, work_inbox: Worked
) -> None:
    factories.policy(start_delay_seconds=0, quiet_from="00:00", quiet_until="00:00")
    start = soon()
    told(elm, siu("S12", start, minutes_ago=9), work_inbox)
    factories.bookable(Provider.objects.get(), Location.objects.get(), scope)
    told(elm, adt("A28", minutes_ago=8, PID_3="W-2^^^X^MR", PID_5="Poe^Jo^^^^^L", PID_7="19800102"), work_inbox)
    waits = ExternalId.objects.filter(kind="patient").latest("pk")
    patient = Patient.objects.get(pk=waits.object_id)
    Patient.objects.filter(pk=patient.pk).update(established=True)
    factories.contact(patient, "+12125550177")
    factories.entry(patient, scope)

    told(elm, siu("S15", start, minutes_ago=5, NTE=None), work_inbox)
    opening = Opening.objects.get()
    openings.request_check(opening.pk, timezone.now())
    assert availability.look(opening.pk)
    offer = Offer.objects.get(opening=opening)
    claims.claim(opening, patient, offer=offer, channel="link")
    writeback = Writeback.objects.get()
    assert writeback.status == Writeback.Status.BY_HAND

    entered = siu(
        "S12", start, minutes_ago=1, SCH_2="40001", PID_3="W-2^^^X^MR", PID_5="Poe^Jo^^^^^L", PID_7="19800102"
    )
    told(elm, entered, work_inbox)
    for pk in outbox.due():
        outbox.process(pk)
    assert Claim.objects.get().state == Claim.State.CONFIRMED
    assert Appointment.objects.filter(start=start, status=S.BOOKED).count() == 1
    # That we looked at our own clock meanwhile makes no later message an older one.
    told(elm, siu("S15", start, SCH_2="40001", PID=None, minutes_ago=0.1, NTE=None), work_inbox)
    assert not Appointment.objects.filter(start=start, status=S.BOOKED).exists()


def test_time_is_free_by_the_messages_only_while_they_come(elm: Connection, work_inbox: Worked) -> None:
    start = soon()
    told(elm, siu("S12", start), work_inbox)
    gateway = connect(elm)
    where = [ExternalId.objects.get(kind=kind).value for kind in ("provider", "location")]
    found = gateway.availability(*where, start - timedelta(hours=1), start + timedelta(hours=1))
    assert [(each.start, each.end) for each in found.free] == [
        (start - timedelta(hours=1), start),
        (start + timedelta(minutes=50), start + timedelta(hours=1)),
    ]
    factories.practice(office_days="1234567", office_opens=time(0), office_closes=time(23, 59))
    Connection.objects.update(last_event_at=timezone.now() - timedelta(hours=7))
    with pytest.raises(Rejected):
        gateway.availability(*where, start, start + timedelta(hours=1))


def test_a_night_without_messages_is_no_silence(elm: Connection, work_inbox: Worked) -> None:
    """Nobody sends any while the office is closed: what was freed in the evening is offered in the morning."""
    told(elm, siu("S12"), work_inbox)
    where = [ExternalId.objects.get(kind=kind).value for kind in ("provider", "location")]
    factories.practice(office_days="12345", office_opens=time(8), office_closes=time(18))
    monday = datetime(2031, 3, 10, 8, 30, tzinfo=ZoneInfo("America/New_York"))
    Connection.objects.update(last_event_at=monday - timedelta(days=2, hours=15))  # on Friday at half past five
    with time_machine.travel(monday, tick=False):
        asked = connect(elm).availability(*where, monday + timedelta(hours=2), monday + timedelta(hours=3))
        assert len(asked.free) == 1
    with time_machine.travel(monday + timedelta(hours=5), tick=False), pytest.raises(Rejected):
        connect(elm).availability(*where, monday + timedelta(hours=6), monday + timedelta(hours=7))
