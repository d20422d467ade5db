"""A spreadsheet becomes entries: all ready rows or none, once, nobody merged, and no consent that was not stated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from audit.models import AccessRecord
from scheduling import patients
from scheduling.models import AppointmentType, Location, Patient, PatientIdentifier
from tests import factories
from waitlist import consent, consent_history, entries
from waitlist.importing import adding, batches, error_file, returned, working
from waitlist.importing.limits import SheetRow
from waitlist.importing.reading import Table
from waitlist.models import ConsentRecord, ImportBatch, ImportRow, MatchKey, WaitlistEntry

HEAD = "Last name,First name,DOB,Cell,E-mail,MRN,Visit,Added"
ROBIN = "Alvarez,Robin,3/14/1980,(212) 555-0101,robin@example.org,,Follow-up,1/5/2026"
AL = "Ng,Al,3/15/1980,212-555-0102,,,Follow-up,1/5/2026"


@pytest.fixture
def place(db: None) -> Location:
    factories.practice()
    return factories.location(name="Riverside")


@pytest.fixture
def followup(place: Location) -> AppointmentType:
    return factories.appointment_type(30, name="Follow-up")


Brought = Callable[..., ImportBatch]


@pytest.fixture
def bring(place: Location, followup: AppointmentType) -> Brought:
    """Upload rows and confirm what was guessed; without a word on consent there is none."""
    user = User.objects.create_superuser("maria")

    def bring(*rows: str, head: str = HEAD, **said: Any) -> ImportBatch:
        batch = batches.upload("\n".join([head, *rows]).encode(), "list.csv", user, place, None)
        assert batches.confirm_columns(batch, {"consent": "none", **said})
        batch.refresh_from_db()
        return batch

    return bring


def verdicts(batch: ImportBatch) -> list[str]:
    return list(batch.rows.order_by("number").values_list("verdict", flat=True))


def says(batch: ImportBatch, number: int) -> str:
    return " ".join(text for _, text in batch.rows.get(number=number).problems)


def add(batch: ImportBatch) -> ImportBatch:
    ready = batch.rows.filter(verdict="ready").count()
    assert batches.start_adding(batch, "maria", ready) == ""
    return batch


def test_ready_rows_become_entries_with_new_patients_in_the_order_of_the_file(
    bring: Brought, place: Location, followup: AppointmentType
) -> None:
    batch = add(bring(ROBIN, AL, "Yu,Mei,3/16/1980,212-555-0103,,,Follow-up,1/4/2026"))
    assert (batch.status, batch.added_count, verdicts(batch)) == ("added", 3, ["added"] * 3)
    line = [each.patient.full_name for each in WaitlistEntry.objects.order_by("joined_at")]
    assert line == ["Mei Yu", "Robin Alvarez", "Al Ng"]
    robin = Patient.objects.get(family_index=patients.family_index("Alvarez"))
    assert (robin.given_name, robin.birth_date, robin.established) == ("Robin", date(1980, 3, 14), False)
    assert [each.value for each in robin.contact_points.all()] == ["+12125550101", "robin@example.org"]
    assert list(robin.locations.all()) == [place]
    entry = robin.waitlist_entries.get()
    assert (entry.appointment_type, entry.added_by, list(entry.locations.all())) == (followup, "maria", [place])
    assert MatchKey.objects.filter(entry=entry).exists()
    assert AccessRecord.objects.get(action="import").detail == {"rows": 3}


def test_each_error_names_its_row_and_what_to_write_and_a_correction_is_checked_at_once(bring: Brought) -> None:
    batch = bring(ROBIN, "Ng,Al,13/45/1980,555,not-mail,,Botox,", ",,,,,,,")
    assert verdicts(batch) == ["ready", "error"]
    assert dict(batch.rows.get(number=3).problems) == {
        "birth_date": "This is no date. Write for example 3/14/1980.",
        "phone": "This is no phone number. Write ten digits, or leave it empty.",
        "email": "This is no e-mail address. Write one such as name@example.org, or leave it empty.",
        "appointment_type": "No kind of visit is called this. Write one of: Follow-up.",
    }
    right = {"birth_date": "3/15/1980", "phone": "2125550102", "email": "", "appointment_type": "follow up"}
    assert batches.correct(batch, {3: right}) == 1
    assert verdicts(batch) == ["ready", "ready"]


def test_nothing_of_a_list_is_added_when_one_row_cannot_be(bring: Brought, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = bring(ROBIN, AL)

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt  # as a worker ends that is killed between the entries and the ledger

    with monkeypatch.context() as patch:
        patch.setattr(adding, "_record_consent", dies)
        with pytest.raises(KeyboardInterrupt):
            batches.start_adding(batch, "maria", 2)
    batch.refresh_from_db()
    assert batch.status == "adding"
    assert not WaitlistEntry.objects.exists()
    assert not MatchKey.objects.exists()
    assert verdicts(batch) == ["ready", "ready"]
    assert working.due() == []  # the dead worker's lease
    later = timezone.now() + working.LEASE
    assert working.due(later) == [batch.pk]
    assert working.take_up(batch.pk, later)
    assert (WaitlistEntry.objects.count(), Patient.objects.count()) == (2, 2)


def test_somebody_nobody_here_knows_needs_a_way_to_be_reached(bring: Brought) -> None:
    batch = bring("Ng,Al,3/15/1980,,,,Follow-up,")
    assert verdicts(batch) == ["error"]
    assert says(batch, 2) == "Nobody here knows this patient: write a phone number or an e-mail address."


def test_only_as_many_are_added_as_were_shown(bring: Brought) -> None:
    batch = bring(ROBIN, AL)
    assert batches.start_adding(batch, "maria", 1) == (
        "Ready now: 2 rows, not 1. Nothing was added. Look at them, then press again."
    )
    ImportBatch.objects.update(status="adding")
    batch.refresh_from_db()
    assert batches.start_adding(batch, "maria", 2) == "It is being added already. Nothing is added twice."
    assert not WaitlistEntry.objects.exists()


def test_a_second_press_adds_nothing_twice(bring: Brought) -> None:
    batch = bring(ROBIN)
    again = ImportBatch.objects.get(pk=batch.pk)
    assert add(batch).added_at is not None
    assert batches.start_adding(again, "dana", 1) == "No row is ready to be added. Nothing was changed."
    stale = ImportBatch.objects.get(pk=batch.pk)
    stale.status = ImportBatch.Status.ADDING
    assert adding.add_ready(ImportBatch(pk=batch.pk, status="adding")) is None
    assert WaitlistEntry.objects.count() == 1


def test_what_changed_since_the_preview_sends_the_list_back_to_it(bring: Brought, followup: AppointmentType) -> None:
    known = factories.patient(family_name="Alvarez", birth_date=date(1980, 3, 14), phone="+12125550101")
    batch = bring(ROBIN, AL)
    assert batches.say_who(batch, 2, known)
    assert verdicts(batch) == ["ready", "ready"]
    factories.entry(known, followup)
    add(batch)
    assert (batch.status, batch.note) == ("preview", working.CHANGED)
    assert verdicts(batch) == ["duplicate", "ready"]
    assert WaitlistEntry.objects.count() == 1


def test_the_same_person_twice_in_the_file_and_on_the_list_already_are_duplicates(
    bring: Brought, followup: AppointmentType
) -> None:
    batch = bring(ROBIN, ROBIN.replace("Robin", "ROBIN"), AL)
    assert verdicts(batch) == ["ready", "duplicate", "ready"]
    assert says(batch, 3) == "The same patient waits for the same in row 2."
    assert batches.leave_out(batch, 2)
    assert verdicts(batch) == ["left_out", "ready", "ready"]
    add(batch)
    again = bring(ROBIN, head=HEAD)
    (row,) = again.rows.all()
    assert row.verdict == "look"
    assert batches.say_who(again, 2, Patient.objects.get(pk=row.candidates[0]))
    assert (verdicts(again), says(again, 2)) == (["duplicate"], "This patient is on the waitlist for this already.")


def numbered(patient: Patient, value: str) -> None:
    PatientIdentifier.objects.create(
        patient=patient,
        source=factories.source(),
        system="urn:example:mrn",
        type_code="MR",
        value=value,
        value_index=patients.identifier_index("urn:example:mrn", value),
    )


def test_only_a_chart_number_confirmed_by_name_and_birth_date_links_by_itself(bring: Brought) -> None:
    robin = factories.patient(phone=None, email=None, family_name="Alvarez", birth_date=date(1980, 3, 14))
    numbered(robin, "77")
    linked, alike, other = (
        ROBIN.replace(",,Follow", ",77,Follow"),
        ROBIN,
        "Ng,Al,3/15/1980,212-555-0102,,77,Follow-up,",
    )
    for row, verdict, patient in ((linked, "ready", robin), (alike, "look", None), (other, "look", None)):
        batch = bring(row)
        found = batch.rows.get()
        assert (found.verdict, found.patient) == (verdict, patient)
    assert Patient.objects.count() == 1


def test_another_person_of_the_same_name_becomes_a_patient_of_their_own(bring: Brought) -> None:
    known = factories.patient(given_name="Robin", family_name="Alvarez", birth_date=date(1980, 3, 14))
    batch = bring(ROBIN)
    assert batches.say_who(batch, 2, None)
    add(batch)
    assert WaitlistEntry.objects.get().patient != known
    assert Patient.objects.count() == 2


def test_who_a_row_is_was_said_of_what_stood_in_it_then(bring: Brought) -> None:
    """Corrected to somebody else, a row is neither whom it was said to be nor free of whom it may be now."""
    robin = factories.patient(given_name="Robin", family_name="Alvarez", birth_date=date(1980, 3, 14))
    al = factories.patient(given_name="Al", family_name="Ng", birth_date=date(1980, 3, 15))
    batch = bring(ROBIN, ROBIN.replace("0101", "0109").replace("Robin", "Rob"))
    assert batches.say_who(batch, 2, robin)
    assert batches.say_who(batch, 3, None)
    assert verdicts(batch) == ["ready", "ready"]
    assert batches.correct(batch, {2: {"given_name": "Zoe", "birth_date": "3/14/1985"}})
    assert batches.correct(batch, {3: {"given_name": "Al", "family_name": "Ng", "birth_date": "3/15/1980"}})
    assert verdicts(batch) == ["ready", "look"]
    assert [each.patient for each in batch.rows.order_by("number")] == [None, None]
    assert batch.rows.get(number=3).candidates == [al.pk]
    assert batches.say_who(batch, 3, None)
    add(batch)
    assert not WaitlistEntry.objects.filter(patient__in=[robin, al]).exists()
    assert Patient.objects.count() == 4


def test_a_patient_who_is_not_proposed_is_not_taken(bring: Brought) -> None:
    factories.patient(family_name="Alvarez", birth_date=date(1980, 3, 14))
    stranger, batch = factories.patient(), bring(ROBIN)
    assert not batches.say_who(batch, 2, stranger)
    assert verdicts(batch) == ["look"]


def test_a_patient_who_may_not_be_offered_anything_is_shown_and_not_added(bring: Brought) -> None:
    numbered(factories.patient(family_name="Alvarez", birth_date=date(1980, 3, 14), deceased=True), "77")
    batch = bring(ROBIN.replace(",,Follow", ",77,Follow"))
    assert (verdicts(batch), "inactive, deceased" in says(batch, 2)) == (["look"], True)


FORM = {"consent": "form", "consent_form": "form 2026-03", "consent_on": date(2026, 3, 1)}


def test_the_ledger_says_where_consent_came_from(bring: Brought) -> None:
    batch = add(bring(ROBIN, **FORM))
    (line,) = ConsentRecord.objects.all()
    assert (line.action, line.channel, line.source, line.wording_version, line.recorded_by) == (
        "granted",
        "sms",
        "form",
        "form 2026-03",
        "maria",
    )
    assert line.statement == f"Imported list {batch.pk}: A signed form, form 2026-03, Mar 1, 2026"
    patient = WaitlistEntry.objects.get().patient
    assert [way.value for way in consent.ways(patient, timezone.localdate())] == ["+12125550101"]


def test_consent_counts_only_at_the_addresses_that_stand_in_the_row(bring: Brought) -> None:
    robin = factories.patient(
        given_name="Robin", family_name="Alvarez", birth_date=date(1980, 3, 14), phone="+12125550101", consent=()
    )
    factories.contact(robin, "+12125550199", consent=False)
    numbered(robin, "77")
    add(bring(ROBIN.replace(",,Follow", ",77,Follow"), **FORM))
    line = ConsentRecord.objects.get()
    assert (line.patient, line.address_index) == (robin, patients.address_index("phone", "+12125550101"))


def test_without_consent_nobody_is_written_to_and_e_mail_has_to_be_agreed_to_by_itself(bring: Brought) -> None:
    add(bring(ROBIN))
    assert not ConsentRecord.objects.exists()
    add(bring(AL.replace(",,,", ",al@example.org,,", 1), consent="spoken", emails_agreed=True))
    assert sorted(ConsentRecord.objects.values_list("channel", flat=True)) == ["email", "sms"]


def test_a_column_of_the_file_that_says_no_is_heeded(bring: Brought) -> None:
    add(bring(f"{ROBIN},no", f"{AL},yes", head=f"{HEAD},OK to text", **FORM))
    assert ConsentRecord.objects.get().patient == WaitlistEntry.objects.order_by("pk").last().patient  # type: ignore[union-attr]


WISHES = "Last name,First name,DOB,Cell,Visit,Provider,Location,Priority,Since,Not before,Not after,Language,Notes"


def wishes(**told: str) -> str:
    """A row under ``WISHES`` that can be taken, but for what is told."""
    right = {"family": "Alvarez", "given": "Robin", "born": "3/14/1980", "cell": "2125550101", "visit": "Follow-up"}
    names = (*right, "provider", "location", "urgency", "since", "earliest", "latest", "language", "note")
    return ",".join({**right, **told}.get(name, "") for name in names)


def in_days(days: int) -> str:
    day = timezone.localdate() + timedelta(days=days)
    return f"{day.month}/{day.day}/{day.year}"


def test_a_row_says_whom_they_want_where_when_and_how_urgently(bring: Brought, place: Location) -> None:
    mei, _ = factories.provider(name="Dr. Mei Chen"), factories.provider(name="Dr. Lin Chen")
    lakeview = factories.location(name="Lakeview")
    told = {
        "urgency": "urgent",
        "since": "1/5/2026",
        "earliest": in_days(3),
        "latest": in_days(9),
        "language": "Spanish",
    }
    batch = bring(
        wishes(provider="Chen Mei MD", location="lakeview", note="mornings", **told),
        wishes(family="Ng", cell="2125550102", provider="first available", location="anywhere"),
        wishes(family="Yu", cell="2125550103", latest=in_days(0), since=in_days(0)),
        head=WISHES,
    )
    assert verdicts(batch) == ["ready"] * 3, [row.problems for row in batch.rows.all()]
    add(batch)
    first, anything, here = (row.entry for row in batch.rows.order_by("number").select_related("entry"))
    assert first is not None
    assert anything is not None
    assert here is not None
    assert (list(first.providers.all()), list(first.locations.all())) == ([mei], [lakeview])
    assert (first.urgency, first.note, first.patient.language) == (WaitlistEntry.Urgency.URGENT, "mornings", "es")
    assert (first.earliest_date, first.latest_date) == tuple(timezone.localdate() + timedelta(days=d) for d in (3, 9))
    assert timezone.localdate(first.joined_at) == date(2026, 1, 5)
    assert (list(anything.providers.all()), list(anything.locations.all())) == ([], [])
    assert (list(here.locations.all()), here.urgency) == ([place], WaitlistEntry.Urgency.ROUTINE)


@pytest.mark.parametrize(
    ("told", "field", "why"),
    [
        ({"provider": "Chen"}, "provider", "More than one clinician is called this."),
        ({"provider": "Okoye"}, "provider", "No clinician is called this."),
        ({"provider": "Dr. Old Gone"}, "provider", "No clinician is called this."),
        ({"location": "Nowhere"}, "location", "No location of yours is called this."),
        ({"location": "Closed"}, "location", "No location of yours is called this."),
        ({"visit": "Retired"}, "appointment_type", "No kind of visit is called this."),
        ({"visit": ""}, "appointment_type", "Write what they wait for, one of: Follow-up."),
        ({"urgency": "purple"}, "urgency", "Write urgent, soon or routine"),
        ({"language": "Klingon"}, "language", "This language is not known here."),
        ({"since": in_days(2)}, "joined_on", "This day is still to come."),
        ({"latest": in_days(-2)}, "latest_date", "This day is over."),
        ({"earliest": in_days(9), "latest": in_days(3)}, "latest_date", "This lies before the earliest day."),
        ({"born": ""}, "birth_date", "Write the birth date"),
        ({"family": ""}, "family_name", "Write the patient’s name."),
        ({"given": ""}, "given_name", "Write first and last name."),
        ({"given": "x" * 101}, "family_name", "Write names of 100 characters at most."),
    ],
)
def test_what_a_row_leaves_in_doubt_is_asked_for_at_its_field(
    bring: Brought, told: dict[str, str], field: str, why: str
) -> None:
    for name in ("Dr. Mei Chen", "Dr. Lin Chen"):
        factories.provider(name=name)
    for gone in (
        factories.provider(name="Dr. Old Gone"),
        factories.location(name="Closed"),
        factories.appointment_type(30, name="Retired"),
    ):
        type(gone).objects.filter(pk=gone.pk).update(active=False)
    batch = bring(wishes(**told), head=WISHES)
    row = batch.rows.get()
    assert (row.verdict, [name for name, _ in row.problems]) == ("error", [field])
    assert row.problems[0][1].startswith(why)


def test_a_whole_name_is_read_with_the_family_s_last_or_before_a_comma(bring: Brought) -> None:
    head = "Patient,DOB,Cell,MRN,Visit"
    batch = bring(
        '"Alvarez, Robin",3/14/1980,2125550101,,Follow-up',
        "Mei Lin Yu,3/16/1980,2125550103,,Follow-up",
        "Ng,3/15/1980,2125550102,,Follow-up",
        f"Jo Roe,3/17/1980,2125550104,{'9' * 101},Follow-up",
        head=head,
    )
    assert verdicts(batch) == ["ready", "ready", "error", "error"]
    assert batch.rows.get(number=4).problems == [["full_name", "Write first and last name."]]
    assert [name for name, _ in batch.rows.get(number=5).problems] == ["mrn"]
    add(batch)
    names = [(each.given_name, each.family_name) for each in Patient.objects.order_by("pk")]
    assert names == [("Robin", "Alvarez"), ("Mei Lin", "Yu")]


def test_who_writes_one_column_day_first_is_taken_to_write_the_others_so(bring: Brought) -> None:
    batch = bring("Alvarez,Robin,14/3/1980,(212) 555-0101,,,Follow-up,1/5/2026")
    assert [batch.headings[place] for place in batch.day_first] == ["DOB", "Added"]
    assert bring("Ng,Al,3/15/1980,212-555-0102,,,Follow-up,1/5/2026").day_first == []
    # One that shows the other order leaves the third open.
    head = HEAD.replace("MRN", "Not before")
    batch = bring("Ng,Al,14/3/1980,212-555-0102,,3/15/2027,Follow-up,1/5/2026", head=head)
    assert [batch.headings[place] for place in batch.day_first] == ["DOB"]


def test_no_statement_about_a_list_takes_back_a_stop(bring: Brought) -> None:
    contact = factories.contact(factories.patient(), "+12125550101")
    consent.revoke_address("sms", contact.address_index, source="reply")
    lines = ConsentRecord.objects.count()
    add(bring(ROBIN, **FORM))
    assert ConsentRecord.objects.count() == lines
    assert consent.is_revoked("sms", contact.address_index)


def test_undo_takes_everybody_off_the_list_and_the_same_file_can_come_again(bring: Brought) -> None:
    batch = add(bring(ROBIN, AL))
    assert adding.undo(batch) == ""
    assert set(WaitlistEntry.objects.values_list("status", flat=True)) == {"left"}
    assert not MatchKey.objects.exists()
    assert not Patient.objects.filter(active=True).exists()
    assert verdicts(bring(ROBIN, AL)) == ["ready", "ready"]


def test_undo_takes_back_the_consent_that_rests_on_the_list_alone(bring: Brought) -> None:
    """A practice that stated the wrong consent undoes the list: whom it knew before must not be texted on its word."""
    robin = factories.patient(phone=None, email=None, family_name="Alvarez", birth_date=date(1980, 3, 14))
    phone = factories.contact(robin, "+12125550101", consent=False)
    beside = factories.contact(factories.patient(), "+12125550101")
    consent.grant(beside.patient, beside, source="form")
    batch = bring(ROBIN, AL, **FORM)
    batches.say_who(batch, 2, robin)
    add(batch)
    al = Patient.objects.order_by("pk").last().contact_points.get()  # type: ignore[union-attr]
    consent.grant(al.patient, al, source="spoken")
    assert consent.consenting_at("sms", phone.address_index) == {robin.pk, beside.patient_id}
    assert adding.undo(batch) == ""
    assert consent.consenting_at("sms", phone.address_index) == {beside.patient_id}
    assert consent.consenting_at("sms", al.address_index) == {al.patient_id}
    line = ConsentRecord.objects.get(action="withdrawn")
    assert (line.patient, line.statement, line.source) == (robin, f"Imported list {batch.pk} was undone", "form")
    assert LogEntry.objects.get_for_object(line).get().action == LogEntry.Action.CREATE
    says = consent_history.of_patient(robin)[0].lines[0].says
    assert says.startswith("What was stated of their consent counts no more")


def test_undo_takes_no_stop_back_and_no_start(bring: Brought) -> None:
    batch = add(bring(ROBIN, AL, **FORM))
    robin, al = (row.patient.contact_points.get(system="phone") for row in WaitlistEntry.objects.order_by("pk"))
    for contact in (robin, al):
        consent.revoke_address("sms", contact.address_index, source="reply")
    consent.restore_address("sms", al.address_index, source="reply")
    adding.undo(batch)
    assert consent.is_revoked("sms", robin.address_index)
    assert consent.stopped_addresses([robin.address_index, al.address_index]) == {robin.address_index}
    assert consent.consenting_at("sms", al.address_index) == {al.patient_id}


def test_nothing_is_undone_once_somebody_was_offered_a_time(bring: Brought, place: Location) -> None:
    batch = add(bring(ROBIN, AL))
    entry = WaitlistEntry.objects.order_by("pk")[0]
    factories.offer(factories.opening(factories.provider(), place), entry, status="expired")
    assert "Nothing was undone" in adding.undo(batch)
    assert set(WaitlistEntry.objects.values_list("status", flat=True)) == {"waiting"}
    assert (batch.status, Patient.objects.filter(active=True).count()) == ("added", 2)


def test_nothing_is_undone_once_somebody_left_the_list_and_what_happens_to_others_is_no_hindrance(
    bring: Brought, place: Location, followup: AppointmentType
) -> None:
    stranger = factories.entry(factories.patient(), followup)
    factories.offer(factories.opening(factories.provider(), place), stranger, status="expired")
    batch = add(bring(ROBIN, AL))
    second = add(bring("Yu,Mei,3/16/1980,212-555-0103,,,Follow-up,1/4/2026"))
    gone, stays = batch.rows.order_by("number")
    assert gone.entry is not None
    assert entries.leave(gone.entry)
    assert "or left the list. Nothing was undone." in adding.undo(batch)
    assert stays.entry is not None
    stays.entry.refresh_from_db()
    batch.refresh_from_db()
    assert (batch.status, stays.entry.status) == ("added", "waiting")
    assert adding.undo(second) == ""
    assert WaitlistEntry.objects.filter(status="waiting").count() == 2
    assert "Nothing was undone" in adding.undo(second)
    assert AccessRecord.objects.get(action="delete").detail == {"rows": 1}


def test_whom_we_knew_before_stays_our_patient_when_their_list_is_undone(bring: Brought) -> None:
    robin = factories.patient(phone=None, email=None, family_name="Alvarez", birth_date=date(1980, 3, 14))
    numbered(robin, "77")
    batch = add(bring(ROBIN.replace(",,Follow", ",77,Follow"), AL))
    assert adding.undo(batch) == ""
    assert list(Patient.objects.filter(active=True)) == [robin]


def test_who_left_the_list_before_comes_onto_it_again_and_who_is_paused_does_not(
    bring: Brought, followup: AppointmentType
) -> None:
    robin = factories.patient(phone=None, email=None, family_name="Alvarez", birth_date=date(1980, 3, 14))
    numbered(robin, "77")
    before = factories.entry(robin, followup)
    assert entries.pause(before)
    batch = bring(ROBIN.replace(",,Follow", ",77,Follow"))
    assert verdicts(batch) == ["duplicate"]
    assert entries.leave(before)
    assert batches.check_again(batch)
    assert verdicts(batch) == ["ready"]
    add(batch)
    assert sorted(robin.waitlist_entries.values_list("status", flat=True)) == ["left", "waiting"]


def test_no_consent_comes_of_a_landline_and_none_by_e_mail_that_was_not_agreed_to(bring: Brought) -> None:
    robin = factories.patient(
        phone="+12125550101", email="robin@example.org", family_name="Alvarez", birth_date=date(1980, 3, 14), consent=()
    )
    robin.contact_points.filter(system="phone").update(can_text=False)
    numbered(robin, "77")
    batch = add(bring(ROBIN.replace(",,Follow", ",77,Follow"), **FORM))
    assert not ConsentRecord.objects.exists()
    assert adding.undo(batch) == ""
    add(bring(ROBIN.replace(",,Follow", ",77,Follow"), **FORM, emails_agreed=True))
    assert ConsentRecord.objects.get().channel == "email"


def test_a_row_left_out_stays_so_until_it_is_taken_in_again(bring: Brought) -> None:
    batch = bring(ROBIN, AL)
    assert batches.leave_out(batch, 2)
    assert batches.check_again(batch)
    assert verdicts(batch) == ["left_out", "ready"]
    assert batches.confirm_columns(batch, {"consent": "none"})
    assert verdicts(batch) == ["left_out", "ready"]
    assert batches.take_back_in(batch, 2)
    assert verdicts(batch) == ["ready", "ready"]
    assert batches.leave_out(batch, 2)
    add(batch)
    assert [entry.patient.given_name for entry in WaitlistEntry.objects.all()] == ["Al"]


def test_what_is_added_is_neither_corrected_nor_left_out_any_more(bring: Brought) -> None:
    batch = add(bring(ROBIN.replace(",,Follow", ",77,Follow"), AL.replace("3/15/1980", "")))
    assert PatientIdentifier.objects.get().value == "77"
    assert batches.correct(batch, {2: {"family_name": "Other"}}) == 0
    assert not batches.leave_out(batch, 2)
    assert not batches.take_back_in(batch, 2)
    assert (verdicts(batch), batch.rows.get(number=2).corrections) == (["added", "error"], {})
    assert adding.undo(batch) == ""
    assert not WaitlistEntry.objects.exclude(status="left").exists()


def test_a_large_file_is_left_to_a_worker_and_its_progress_shown(
    bring: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "AT_ONCE", 1)
    monkeypatch.setattr(working, "CHUNK", 1)
    batch = bring(ROBIN, AL)
    assert (batch.status, working.is_due()) == ("checking", True)
    assert working.drain() == 1
    batch.refresh_from_db()
    assert (batch.status, batch.checked_count, working.is_due()) == ("preview", 2, False)
    add(batch)
    assert (batch.status, WaitlistEntry.objects.count()) == ("adding", 0)
    assert batches.correct(batch, {2: {"note": "x"}}) == 0  # nothing is edited while it is being added
    assert working.drain() == 1
    assert WaitlistEntry.objects.count() == 2


def test_a_list_that_fails_again_and_again_comes_back_to_staff(bring: Brought) -> None:
    batch = bring(ROBIN)
    ImportBatch.objects.filter(pk=batch.pk).update(status="adding", due_at=timezone.now(), attempts=5)
    assert working.take_up(batch.pk)
    batch.refresh_from_db()
    assert (batch.status, batch.note, WaitlistEntry.objects.count()) == ("preview", working.FAILED, 0)


def test_the_file_and_its_rows_are_deleted_in_time_and_the_entries_stay(bring: Brought) -> None:
    batch = add(bring(ROBIN))
    assert working.forget_old(timezone.now() + timedelta(days=13)) == 0
    assert working.forget_old(timezone.now() + timedelta(days=15)) == 1
    batch.refresh_from_db()
    assert (batch.content, batch.file_name, batch.headings, ImportRow.objects.count()) == (None, "", [], 0)
    assert (WaitlistEntry.objects.count(), working.forget_old(timezone.now() + timedelta(days=15))) == (1, 0)


def test_many_leave_the_list_as_one_does(bring: Brought) -> None:
    add(bring(ROBIN, AL))
    ids = list(WaitlistEntry.objects.values_list("pk", flat=True))
    assert entries.pause(WaitlistEntry.objects.get(pk=ids[0]))
    assert entries.leave(WaitlistEntry.objects.get(pk=ids[1]))
    assert entries.leave_many(ids) == 1
    assert set(WaitlistEntry.objects.values_list("status", flat=True)) == {"left"}


def test_a_number_that_is_none_makes_a_row_of_a_returned_file_foreign(bring: Brought) -> None:
    batch = bring(ROBIN)
    table = Table("", 1, [error_file.ROW.format(batch.pk)], [SheetRow(2, ["²"])], returns_to=batch.pk)
    outcome = returned.take_in(batch, table)
    assert outcome is not None
    assert (outcome.foreign, outcome.corrected) == (1, [])
