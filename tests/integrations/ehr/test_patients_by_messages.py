"""Patients' details from ADT messages: of an EHR without FHIR all of them, of one with FHIR those that have a path."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
from django.utils import timezone

from integrations import demographics
from integrations.ehr.hl7v2 import clock, messages, people
from integrations.models import CodeMapping, Connection, FieldHealth, FieldMapping, InboundEvent, MessageClock
from scheduling import patient_writes, reviews
from scheduling.corrections import Correction, Detail
from scheduling.families import records_of_one
from scheduling.models import (
    Appointment,
    ContactPoint,
    Patient,
    PatientIdentifier,
    PatientMerge,
    PatientReview,
    PatientWrite,
    Source,
    WorkItem,
)
from scheduling.patients import family_index, identifier_index
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing
from tests.integrations.ehr.hl7v2_messages import HOME, adt, real, siu
from tests.integrations.ehr.payload_ehr import needs_payloads
from waitlist.models import WaitlistEntry

pytestmark = [needs_payloads, pytest.mark.django_db]

Worked = Callable[[], int]
MRN = "urn:example:mrn"


@pytest.fixture
def elm(db: None) -> Connection:
    """An EHR without FHIR."""
    return factories.connection("elm", kind="hl7v2", base_url="", source=factories.source("elm", writable=False))


def told(connection: Connection, body: bytes, work_inbox: Worked) -> InboundEvent:
    assert b"MSA|AA|" in signing.send(connection, body).content
    work_inbox()
    return InboundEvent.objects.latest("pk")


def numbers(patient: Patient) -> list[tuple[str, str, int]]:
    rows = patient.contact_points.exclude(use="old").order_by("system", "rank")
    return [(row.value, row.use, row.rank) for row in rows]


# --- the usual places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", ["A08", "A28", "A31"])
def test_the_real_messages(elm: Connection, work_inbox: Worked, trigger: str) -> None:
    event = told(elm, real(f"ADT-{trigger}").encode(), work_inbox)
    assert (event.status, event.outcome) == ("done", "patient brought up to date")
    patient = Patient.objects.get()
    # Their legal name (L) was over in 1924, so the one they go by (D) counts; PID-9 has what they are called.
    names = (patient.family_name, patient.given_name, patient.preferred_name)
    assert (*names, patient.birth_date) == ("EVERYMAN", "ADAM", "Son", date(1988, 8, 18))
    assert (patient.language_code, patient.deceased, patient.active) == ("ara", True, True)
    # The only address was valid for ten days in 2000.
    assert patient.address is None
    assert patient.emergency_contact == {"name": "ADAM Evan", "relation": "", "phone": "121111"}
    [number] = PatientIdentifier.objects.all()
    assert (number.system, number.value, number.type_code) == (MRN, "PATID1234", "MR")
    # The fax is none of their phones, the number that ran out in 2002 is kept with its end.
    assert ContactPoint.objects.get(rank=18).valid_until == date(2002, 1, 10)
    assert CodeMapping.objects.filter(domain="language", code="ara").count() == 0
    assert patient.language == "ar"


PHONES = "~".join(
    (
        "(212)5550101^PRN^CP^^^^^^^^^^^^^^^2",
        "^NET^Internet^ana@example.org",
        "5550109^PRN^FX",
        "^PRN^PH^^1^212^5550102^^^^^^^^^^^1",
    )
)


def test_contact_points_by_rank_and_use(elm: Connection, work_inbox: Worked) -> None:
    fields = {"PID_13": PHONES, "PID_14": "^WPN^PH^^1^212^5550103^44", "PID_40": "^PRS^CP^^1^212^5550104"}
    told(elm, adt(**fields), work_inbox)
    assert numbers(Patient.objects.get()) == [
        ("ana@example.org", "home", 2),
        ("+12125550102", "home", 1),
        ("+12125550101", "mobile", 2),
        ("+12125550104", "mobile", 5),
        ("+12125550103", "work", 6),
    ]


def test_a_list_that_is_sent_replaces_the_one_before_and_one_that_is_left_out_stays(
    elm: Connection, work_inbox: Worked
) -> None:
    first = {"PID_13": "2125550101^PRN^CP~2125550102^PRN^PH", "PID_14": "2125550103^WPN^PH", "PID_40": ""}
    told(elm, adt(minutes_ago=4, **first), work_inbox)
    told(elm, adt(minutes_ago=3, PID_13="2125550105^PRN^CP", PID_14="", PID_40=""), work_inbox)
    patient = Patient.objects.get()
    assert [value for value, _, _ in numbers(patient)] == ["+12125550105", "+12125550103"]
    told(elm, adt(minutes_ago=2, PID_13="", PID_14="", PID_40=""), work_inbox)
    assert [value for value, _, _ in numbers(patient)] == ["+12125550105", "+12125550103"]
    told(elm, adt(minutes_ago=1, PID_13='""', PID_14="", PID_40=""), work_inbox)
    assert [value for value, _, _ in numbers(patient)] == ["+12125550103"]


def test_a_newer_message_taken_over_meanwhile_stands(
    elm: Connection, work_inbox: Worked, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = adt(minutes_ago=9)
    advance = clock.advance_details

    def overtaken(connection: Connection, subject: str, sent_at: datetime, details: frozenset[str]) -> frozenset[str]:
        monkeypatch.setattr(clock, "advance_details", advance)
        newer = messages.parsed(adt(PID_11="2 Elm St^^Ely^NV^3^USA^H"))
        people.apply(connection, newer, "PATID1234", InboundEvent.objects.get(), timezone.now())
        return advance(connection, subject, sent_at, details)

    monkeypatch.setattr(clock, "advance_details", overtaken)
    told(elm, earlier, work_inbox)
    assert Patient.objects.get().address == "2 Elm St, Ely NV 3"


def test_an_empty_field_is_unchanged_and_a_deleted_one_is_gone(elm: Connection, work_inbox: Worked) -> None:
    told(elm, adt(minutes_ago=4), work_inbox)
    silent = {"PID_11": "", "PID_15": "", "PID_30": "", "NK1": None}
    told(elm, adt(minutes_ago=3, PID_5="EVERYMAN^^stanley^^^^L", PID_9="", **silent), work_inbox)
    patient = Patient.objects.get()
    assert (patient.address, patient.language) == ("1000 Hospital Lane, Ste. 123, Ann Arbor MI 99999", "ar")
    assert (patient.given_name, patient.preferred_name) == ("ADAM", "Son")
    assert patient.emergency_contact["name"] == "ADAM Evan"
    told(elm, adt(minutes_ago=2, PID_11='""', PID_15='""', PID_9='""', PID_5="EVERYMAN^^^^^^L"), work_inbox)
    patient.refresh_from_db()
    assert (patient.address, patient.language, patient.preferred_name) == (None, "", "")


def test_names_by_their_type(elm: Connection, work_inbox: Worked) -> None:
    names = "Born^Ann^^^^^M~Poe^Anna^^^^^L~Poe^Annie^^^^^N~Star^Ruby^^^^^A"
    told(elm, adt(PID_5=names, PID_9=""), work_inbox)
    patient = Patient.objects.get()
    assert (patient.family_name, patient.given_name, patient.preferred_name) == ("Poe", "Anna", "Annie")
    told(elm, adt(PID_3="D-1^^^X^MR", PID_5="Show^Anny^^^^^D~Poe^Anna^^^^^L", PID_9=""), work_inbox)
    shown = Patient.objects.latest("pk")
    assert (shown.family_name, shown.given_name, shown.preferred_name) == ("Poe", "Anna", "Anny")


def test_a_home_address_before_others_and_never_a_bad_one(elm: Connection, work_inbox: Worked) -> None:
    addresses = "9 Old Rd^^Ely^NV^1^USA^BA~1 Desk St^^Ely^NV^2^USA^O~2&Elm St^^Ely^NV^3^USA^H"
    told(elm, adt(PID_11=addresses), work_inbox)
    assert Patient.objects.get().address == "2 Elm St, Ely NV 3"


def test_a_childs_parents_may_be_called(elm: Connection, work_inbox: Worked) -> None:
    born = f"{timezone.now().year - 6}0101"
    told(elm, adt(PID_7=born, NK1_3="MTH^Mother^HL70063", NK1_5="2125550108^PRN^CP", NK1_7="N"), work_inbox)
    assert ContactPoint.objects.get(guardian=True).value == "+12125550108"


def test_what_cannot_be_read_stays_and_is_counted(elm: Connection, work_inbox: Worked) -> None:
    told(elm, adt(minutes_ago=4), work_inbox)
    assert FieldHealth.objects.get(field="birth_date").last_good_value == "1988-08-18"
    told(elm, adt(minutes_ago=3, PID_7="199"), work_inbox)
    assert FieldHealth.objects.get(field="birth_date").failures == 1
    assert Patient.objects.get().birth_date == date(1988, 8, 18)


def test_paths_of_the_practices_own_go_before(elm: Connection, work_inbox: Worked) -> None:
    for field, path, transform in (
        ("preferred_name", "ZPI-4", "title"),
        ("phones", "ZPI-5", "phone"),
        ("portal_active", "ZPI-6", "yes_no"),
        ("address", "PID-11(2)", "trim"),
    ):
        FieldMapping.objects.create(connection=elm, field=field, path_kind="hl7v2", path=path, transform=transform)
    extra = "\rZPI|1|||ANNA|2125550101^PRN^CP|inactive"
    body = adt(minutes_ago=2, PID_11="1 A St^^Ely^NV~2 B St^^Ely^NV", PID_40="").decode() + extra
    told(elm, body.encode(), work_inbox)
    patient = Patient.objects.get()
    assert (patient.preferred_name, patient.portal_active, patient.address) == ("Anna", False, "2 B St, Ely NV")
    assert [value for value, _, _ in numbers(patient)] == ["+12125550101"]
    told(elm, adt(minutes_ago=1).decode().encode() + b"\rZPI|1||||nobody|maybe", work_inbox)
    patient.refresh_from_db()
    assert (patient.preferred_name, patient.portal_active) == ("Anna", False)
    assert FieldHealth.objects.get(field="portal_active").failures == 1
    assert FieldHealth.objects.get(field="preferred_name").failures == 0


def test_what_the_practice_owns_is_taken_once(elm: Connection, work_inbox: Worked) -> None:
    Source.objects.update(practice_owns=["address"])
    told(elm, adt(minutes_ago=2), work_inbox)
    told(elm, adt(minutes_ago=1, PID_11="2 Elm St^^Ely^NV^3^USA^H"), work_inbox)
    assert Patient.objects.get().address == "1000 Hospital Lane, Ste. 123, Ann Arbor MI 99999"


def test_a_correction_made_here_stands_until_a_message_shows_it(elm: Connection, work_inbox: Worked) -> None:
    told(elm, adt(minutes_ago=4), work_inbox)
    patient = Patient.objects.get()
    patient_writes.correct(patient, [Correction(Detail.PREFERRED_NAME, "Addy", "Son")])
    demographics.process(PatientWrite.objects.get().pk)
    assert PatientWrite.objects.get().status == PatientWrite.Status.BY_HAND
    told(elm, adt(minutes_ago=3), work_inbox)
    patient.refresh_from_db()
    assert patient.preferred_name == "Addy"
    told(elm, adt(minutes_ago=2, PID_9="EVERYMAN^Addy"), work_inbox)
    demographics.process(PatientWrite.objects.get().pk)
    assert PatientWrite.objects.get().status == PatientWrite.Status.DONE
    told(elm, adt(minutes_ago=1, PID_9="EVERYMAN^Ad"), work_inbox)
    patient.refresh_from_db()
    assert patient.preferred_name == "Ad"


def test_a_message_that_may_mean_somebody_else_shows_no_correction(elm: Connection, work_inbox: Worked) -> None:
    told(elm, adt(minutes_ago=4), work_inbox)
    patient = Patient.objects.get()
    patient_writes.correct(patient, [Correction(Detail.PREFERRED_NAME, "Addy", "Son")])
    demographics.process(PatientWrite.objects.get().pk)
    told(elm, adt(minutes_ago=3, PID_5="Other^Ann^^^^^L", PID_7="19700101", PID_9="Other^Addy"), work_inbox)
    PatientWrite.objects.update(due_at=timezone.now())
    demographics.process(PatientWrite.objects.get().pk)
    assert PatientWrite.objects.get().status == PatientWrite.Status.BY_HAND
    patient.refresh_from_db()
    assert patient.family_name == "EVERYMAN"


def test_an_older_message_never_overwrites_a_newer_one(elm: Connection, work_inbox: Worked) -> None:
    told(elm, adt(minutes_ago=1, PID_11="2 Elm St^^Ely^NV^3^USA^H"), work_inbox)
    told(elm, adt(minutes_ago=9), work_inbox)
    assert Patient.objects.get().address == "2 Elm St, Ely NV 3"


#: A message that says little: who it is, and one telephone number.
SPARSE = {**dict.fromkeys(("PID_9", "PID_11", "PID_13", "PID_15", "PID_40"), ""), "PID_14": "2125550103^WPN^PH"}


def test_a_message_that_says_little_keeps_no_earlier_one_from_being_heard_about_the_rest(
    elm: Connection, work_inbox: Worked
) -> None:
    first = {"PID_13": "2125550101^PRN^CP", "PID_14": "2125550102^WPN^PH", "PID_15": "", "PID_40": ""}
    told(elm, adt(minutes_ago=9, **first), work_inbox)
    told(elm, adt(minutes_ago=1, **SPARSE), work_inbox)
    late = {
        "PID_15": "",
        "PID_11": "2 Elm St^^Ely^NV^3^USA^H",
        "PID_13": "2125550105^PRN^CP",
        "PID_14": "2125550109^WPN^PH",
    }
    told(elm, adt(minutes_ago=5, PID_40="", **late), work_inbox)
    patient = Patient.objects.get()
    assert patient.address == "2 Elm St, Ely NV 3"
    assert {value for value, _, _ in numbers(patient)} == {"+12125550103", "+12125550105"}
    assert patient.language == ""
    told(elm, adt(minutes_ago=7, PID_40="", PID_11=HOME, PID_13="2125550101^PRN^CP"), work_inbox)
    patient.refresh_from_db()
    assert (patient.address, patient.language) == ("2 Elm St, Ely NV 3", "ar")
    assert {value for value, _, _ in numbers(patient)} == {"+12125550103", "+12125550105"}


def test_news_of_a_visit_keep_no_earlier_news_of_its_patient_from_being_heard(
    elm: Connection, work_inbox: Worked
) -> None:
    told(elm, adt(minutes_ago=9), work_inbox)
    little = {"PID_9": "", "PID_11": "", "PID_13": "", "PID_14": "", "PID_40": ""}
    told(elm, siu("S12", minutes_ago=1, **_whose(), **little), work_inbox)
    assert Appointment.objects.get().patient == Patient.objects.get()
    told(elm, adt(minutes_ago=5, PID_11="2 Elm St^^Ely^NV^3^USA^H"), work_inbox)
    assert Patient.objects.get().address == "2 Elm St, Ely NV 3"


def _whose() -> dict[str, str]:
    """Who the patient of the real ADT is, as PID of another message."""
    lines = [line.split("|") for line in real("ADT-A08").split("\r") if line.startswith("PID")]
    return {f"PID_{number}": lines[0][number] for number in (3, 5, 7)}


def test_after_a_change_of_name_an_earlier_message_with_the_former_one_asks_nobody(
    elm: Connection, work_inbox: Worked
) -> None:
    told(elm, adt(minutes_ago=9), work_inbox)
    Patient.objects.update(family_name="Married", family_index=family_index("Married"))
    told(elm, adt(minutes_ago=1, PID_5="Married^Adam^^^^^L", **SPARSE), work_inbox)
    event = told(elm, adt(minutes_ago=5, PID_11="2 Elm St^^Ely^NV^3^USA^H"), work_inbox)
    assert (event.status, PatientReview.objects.count()) == ("done", 0)
    patient = Patient.objects.get()
    assert (patient.family_name, patient.address) == ("Married", "1000 Hospital Lane, Ste. 123, Ann Arbor MI 99999")


def test_what_was_taken_over_before_details_were_told_apart_is_not_overwritten(
    elm: Connection, work_inbox: Worked
) -> None:
    told(elm, adt(minutes_ago=3), work_inbox)
    MessageClock.objects.update(details=None)
    told(elm, adt(minutes_ago=5, PID_11="2 Elm St^^Ely^NV^3^USA^H"), work_inbox)
    assert str(Patient.objects.get().address).startswith("1000 Hospital Lane")
    told(elm, adt(minutes_ago=2, **SPARSE), work_inbox)
    told(elm, adt(minutes_ago=4, PID_11="2 Elm St^^Ely^NV^3^USA^H"), work_inbox)
    assert str(Patient.objects.get().address).startswith("1000 Hospital Lane")


@pytest.mark.parametrize("in_an_earlier_one", [True, False])
def test_a_message_that_leaves_numbers_out_does_not_show_that_one_was_corrected(
    elm: Connection, work_inbox: Worked, in_an_earlier_one: bool
) -> None:
    """Staff are to enter it in the EHR: what we hold ourselves is no word of the EHR's."""
    told(elm, adt(minutes_ago=9, PID_13="2125550101^PRN^CP", PID_14="", PID_40=""), work_inbox)
    patient = Patient.objects.get()
    patient_writes.correct(patient, [Correction(Detail.PHONE, "+12125550188", "+12125550101")])
    if not in_an_earlier_one:
        InboundEvent.objects.all().delete()
    told(elm, adt(minutes_ago=5, **{**SPARSE, "PID_14": ""}), work_inbox)
    assert _looked_at() == PatientWrite.Status.BY_HAND
    told(elm, adt(minutes_ago=4, PID_13="2125550188^PRN^CP", PID_14="", PID_40=""), work_inbox)
    told(elm, adt(minutes_ago=3, **SPARSE), work_inbox)
    assert _looked_at() == PatientWrite.Status.DONE
    assert {value for value, _, _ in numbers(patient)} == {"+12125550103", "+12125550188"}


def _looked_at() -> str:
    PatientWrite.objects.update(due_at=timezone.now())
    demographics.process(PatientWrite.objects.get().pk)
    return PatientWrite.objects.get().status


def test_without_a_time_of_its_own_that_of_the_event_counts(elm: Connection, work_inbox: Worked) -> None:
    told(elm, adt(minutes_ago=5, PID_11="2 Elm St^^Ely^NV^3^USA^H"), work_inbox)
    told(elm, adt(MSH_7="", EVN_2="20200101000000+0000"), work_inbox)
    assert Patient.objects.get().address == "2 Elm St, Ely NV 3"


# --- who is meant -----------------------------------------------------------------------------------------------------


def test_only_the_declared_authority_gives_record_numbers(elm: Connection, work_inbox: Worked) -> None:
    Connection.objects.update(mrn_authority="2.16.1")
    told(elm, adt(PID_3="9^^^INS^MR~M-1^^^HOSP&2.16.1&ISO^MR"), work_inbox)
    assert PatientIdentifier.objects.get().value == "M-1"
    event = told(elm, adt(PID_3="9^^^INS^MR"), work_inbox)
    assert (event.status, Patient.objects.count()) == ("quarantined", 1)
    assert "2.16.1" in WorkItem.objects.get(kind="event.unreadable").advice


@pytest.mark.parametrize("field", [{"PID_7": "19700101"}, {"PID_5": "Other^Ann^^^^^L"}, {"PID_7": ""}])
@pytest.mark.parametrize(("answer", "address"), [("same", "2 Elm St, Ely NV 3"), ("different", "1000 Hospital Lane")])
def test_a_number_that_is_not_confirmed_waits_for_a_person(
    elm: Connection, work_inbox: Worked, field: dict[str, str], answer: str, address: str
) -> None:
    told(elm, adt(minutes_ago=4), work_inbox)
    event = told(elm, adt(minutes_ago=3, PID_11="2 Elm St^^Ely^NV^3^USA^H", **field), work_inbox)
    assert (event.status, event.error) == ("received", "waits_for_review")
    assert Patient.objects.get().address == "1000 Hospital Lane, Ste. 123, Ann Arbor MI 99999"
    assert PatientReview.objects.count() == 1
    review = PatientReview.objects.get()
    if answer == "same":
        reviews.same(review)
    else:
        reviews.different(review)
    InboundEvent.objects.filter(pk=event.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    work_inbox()
    assert InboundEvent.objects.get(pk=event.pk).status == "done"
    assert str(Patient.objects.get().address).startswith(address)


def test_whom_a_list_brought_is_linked_where_number_birth_date_and_name_agree(
    elm: Connection, work_inbox: Worked
) -> None:
    known = factories.patient(family_name="Everyman", birth_date=date(1988, 8, 18), given_name="Adam")
    PatientIdentifier.objects.create(
        patient=known,
        source=elm.source,
        system=MRN,
        type_code="MR",
        value="PATID1234",
        value_index=identifier_index(MRN, "PATID1234"),
    )
    told(elm, adt(), work_inbox)
    assert Patient.objects.get() == known
    assert not PatientReview.objects.exists()


def test_a_merge_and_its_undo_without_fhir(elm: Connection, work_inbox: Worked) -> None:
    for number, family in (("M-1", "Old"), ("M-2", "New")):
        told(elm, adt(PID_3=f"{number}^^^X^MR", PID_5=f"{family}^A^^^^^L"), work_inbox)
    merge = adt("A08", MSH_9="ADT^A40^ADT_A39", PID_3="M-2^^^X^MR", PID_5="New^A^^^^^L").decode() + "\rMRG|M-1^^^X^MR"
    told(elm, merge.encode(), work_inbox)
    row = PatientMerge.objects.get()
    assert (row.retired.family_name, row.kept.family_name) == ("Old", "New")
    assert not row.retired.may_be_offered
    again = told(elm, merge.replace("|P|", "|P |").encode(), work_inbox)
    assert (again.outcome, PatientMerge.objects.count()) == ("two patient records are one", 1)
    apart = adt("A08", MSH_9="ADT^A37^ADT_A37", PID_3="M-2^^^X^MR", PID_5="New^A^^^^^L").decode()
    PatientMerge.objects.update(told_by="staff")  # what a person said, a message does not undo
    told(elm, (apart + "\rPID|2||M-1^^^X^MR||Old^A^^^^^L").encode(), work_inbox)
    assert PatientMerge.objects.filter(undone_at=None).count() == 1
    PatientMerge.objects.update(told_by="message")
    told(elm, (apart + "\rPID|2||M-1^^^X^MR||Old^B^^^^^L").encode(), work_inbox)
    row.refresh_from_db()
    assert row.undone_at is not None
    assert row.retired.may_be_offered


def test_a_record_that_is_not_in_use_is_separated_too(elm: Connection, work_inbox: Worked) -> None:
    """Two people are two people, whether or not the EHR uses the record: else one's visits count as the other's."""
    for number, family in (("M-1", "Old"), ("M-2", "New")):
        told(elm, adt(PID_3=f"{number}^^^X^MR", PID_5=f"{family}^A^^^^^L"), work_inbox)
    merge = adt("A08", MSH_9="ADT^A40^ADT_A39", PID_3="M-2^^^X^MR", PID_5="New^A^^^^^L").decode() + "\rMRG|M-1^^^X^MR"
    told(elm, merge.encode(), work_inbox)
    retired, kept = PatientMerge.objects.get().retired, PatientMerge.objects.get().kept
    Patient.objects.filter(pk=retired.pk).update(active=False)
    apart = adt("A08", MSH_9="ADT^A37^ADT_A37", PID_3="M-2^^^X^MR", PID_5="New^A^^^^^L").decode()
    told(elm, (apart + "\rPID|2||M-1^^^X^MR||Old^A^^^^^L").encode(), work_inbox)
    retired.refresh_from_db()
    assert records_of_one(kept.pk) == {kept.pk}
    assert not retired.may_be_offered


def test_of_several_patients_each_is_described_by_their_own_segments(elm: Connection, work_inbox: Worked) -> None:
    linked = adt(MSH_9="ADT^A24^ADT_A24", PID_3="M-1^^^X^MR", PID_5="Old^Ann^^^^^L").decode()
    told(elm, (linked + "\rPID|2||M-2^^^X^MR||New^Bob^^^^^L||19900102").encode(), work_inbox)
    rows = PatientIdentifier.objects.order_by("pk").select_related("patient")
    assert [(row.value, row.patient.family_name) for row in rows] == [("M-1", "Old"), ("M-2", "New")]
    assert Patient.objects.get(family_index=family_index("New")).address is None


def test_a_deleted_record_is_for_staff(elm: Connection, work_inbox: Worked) -> None:
    told(elm, adt(minutes_ago=2), work_inbox)
    event = told(elm, adt(MSH_9="ADT^A29^ADT_A21"), work_inbox)
    assert event.outcome == "the EHR no longer has this patient; staff were asked"
    assert WorkItem.objects.get(kind="patient.gone").patient == Patient.objects.get()


# --- beside FHIR ------------------------------------------------------------------------------------------------------


@pytest.fixture
def both(connection: Connection) -> Connection:
    """A loaded FHIR connection whose preferred name and language stand in messages."""
    Connection.objects.update(messages_tell="fields")
    FieldMapping.objects.create(connection=connection, field="preferred_name", path_kind="hl7v2", path="PID-9.2")
    FieldMapping.objects.create(connection=connection, field="language", path_kind="hl7v2", path="ZPI-2")
    return Connection.objects.get()


def news(minutes_ago: float = 0, called: str = "Robbie", language: str = "spa", **fields: str) -> bytes:
    who = {"PID_3": "M0001^^^X^MR", "PID_5": "Sample1^Robin^^^^^L", "PID_7": "19800101", "PID_9": f"Sample1^{called}"}
    return adt("A08", minutes_ago=minutes_ago, **{**who, **fields}) + f"\rZPI|1|{language}".encode()


def first() -> Patient:
    return Patient.objects.get(family_index=family_index("Sample1"))


def test_a_field_with_a_path_comes_from_the_message_and_the_rest_from_fhir(
    both: Connection, sandbox: ehr.Sandbox, work_inbox: Worked
) -> None:
    told(both, news(), work_inbox)
    patient = first()
    assert (patient.preferred_name, patient.language, patient.given_name) == ("Robbie", "es", "Robin")
    # What FHIR says afterwards does not undo it.
    sandbox.change({**ehr.patient("patient-1", 1), "name": [{"family": "Sample1", "given": ["Robyn"]}]})
    signing.send(both, b'{"resourceType": "Patient", "id": "patient-1"}')
    work_inbox()
    patient.refresh_from_db()
    assert (patient.preferred_name, patient.language, patient.given_name) == ("Robbie", "es", "Robyn")
    assert FieldHealth.objects.get(field="preferred_name").last_good_value == "Robbie"


def test_an_older_message_leaves_those_fields(both: Connection, work_inbox: Worked) -> None:
    told(both, news(1), work_inbox)
    told(both, news(5, called="Rob", language="eng"), work_inbox)
    assert (first().preferred_name, first().language) == ("Robbie", "es")


def test_an_older_message_tells_the_fields_that_the_newer_one_left_out(both: Connection, work_inbox: Worked) -> None:
    told(both, news(1, PID_9=""), work_inbox)
    told(both, news(5, called="Rob", language="eng"), work_inbox)
    assert (first().preferred_name, first().language) == ("Rob", "es")


def test_an_empty_field_is_unchanged_beside_fhir_too(both: Connection, work_inbox: Worked) -> None:
    told(both, news(3), work_inbox)
    told(both, news(2, PID_9="", language=""), work_inbox)
    assert (first().preferred_name, first().language) == ("Robbie", "es")
    told(both, news(1, PID_9='""', language='""'), work_inbox)
    assert (first().preferred_name, first().language) == ("", "")


def test_a_message_that_may_mean_somebody_else_tells_no_field(both: Connection, work_inbox: Worked) -> None:
    event = told(both, news(PID_7="19991231"), work_inbox)
    assert event.error == "waits_for_review"
    assert first().preferred_name == ""


def test_nothing_is_read_from_messages_where_they_only_bring_news(both: Connection, work_inbox: Worked) -> None:
    Connection.objects.update(messages_tell="news")
    told(both, news(), work_inbox)
    assert first().preferred_name == ""
    assert not WaitlistEntry.objects.exists()
