"""A record that is closed, replaced or freed: offers freeze and thaw, entries go over by a person and come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from scheduling import merging, reviews
from scheduling.contention import DEADLOCK
from scheduling.matching import Reason
from scheduling.models import Opening, Patient, PatientMerge, PatientReview, Source, WorkItem, Writeback
from scheduling.patients import apply_patient
from scheduling.records import ContactRecord, IdentifierRecord, PatientRecord
from scheduling.worklist import run_action
from scheduling.writebacks import Outcome
from tests import factories, race
from tests.waitlist.conftest import Scene
from waitlist import attention, claims, closed_records, consent, entries, replies, settlement
from waitlist.models import Channel, Claim, Message, Offer, Reply, WaitlistEntry

pytestmark = pytest.mark.django_db

PHONES = {"old": "+12125550111", "new": "+12125550122", "last": "+12125550133"}


@dataclass
class Ehr:
    """Patients as the EHR tells them, one version after the other."""

    source: Source
    version: int = field(default=0)

    def says(self, name: str, **fields: Any) -> Patient:
        self.version += 1
        plain: dict[str, Any] = {
            "external_id": name,
            "version": str(self.version),
            "given_name": "Robin",
            "family_name": f"Sample {name}",
            "birth_date": date(1980, 1, 2),
            "identifiers": (IdentifierRecord("urn:mrn", f"M-{name}", "MR"),),
            "contacts": (ContactRecord("phone", PHONES[name], "mobile", 1),),
        }
        patient = apply_patient(self.source, PatientRecord(**plain | fields), timezone.now())
        for contact in patient.contact_points.all():
            if not consent.allowed(patient, contact, Channel.SMS):
                factories.consents(contact)
        return patient


@dataclass
class Case:
    ehr: Ehr
    opening: Opening
    old: Patient
    new: Patient
    entry: WaitlistEntry
    offer: Offer

    def drain(self) -> None:
        attention.drain()
        for row in (self.offer, self.entry, self.opening):
            row.refresh_from_db()

    def replaced(self) -> PatientMerge:
        self.ehr.says("old", replaced_by="new")
        self.drain()
        return PatientMerge.objects.get(retired=self.old, undone_at__isnull=True)

    def asked(self) -> WorkItem | None:
        return WorkItem.objects.filter(kind="patient.merged", status="open").first()


@pytest.fixture
def case() -> Case:
    ehr = Ehr(factories.source())
    old, new = ehr.says("old"), ehr.says("new")
    Patient.objects.update(established=True)
    location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
    factories.bookable(provider, location, kind)
    opening = factories.opening(provider, location, status="offering", waves_sent=1)
    entry = factories.entry(old, kind)
    offer = factories.offer(opening, entry)
    contact = old.contact_points.get()
    Message.objects.create(
        kind="offer",
        channel="sms",
        patient=old,
        contact_point=contact,
        offer=offer,
        opening=opening,
        address=contact.value,
        address_index=contact.address_index,
        body="An offer.",
        status="delivered",
        dedupe_key="offer-1",
        due_at=timezone.now(),
    )
    return Case(ehr, opening, old, new, entry, offer)


def test_a_record_whose_work_gave_way_to_another_worker_is_looked_at_again_without_staff(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ended:
        ended.setattr(closed_records, "freeze", Mock(side_effect=race.ended_by_the_database(DEADLOCK)))
        case.ehr.says("old", replaced_by="new")
        case.drain()
    assert not WorkItem.objects.filter(kind="patient.stuck").exists()
    case.drain()
    case.offer.refresh_from_db()
    assert case.offer.withdrawn_reason == "frozen"


def test_a_fault_of_ours_at_one_record_is_shown_to_staff_until_it_is_over(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> None:
        raise RuntimeError("made to fail")

    with monkeypatch.context() as broken:
        broken.setattr(closed_records, "freeze", fails)
        case.ehr.says("old", replaced_by="new")
        case.drain()
    stuck = WorkItem.objects.filter(kind="patient.stuck", status="open")
    assert (case.offer.status, stuck.get().patient) == ("sent", case.old)
    closed_records.drain(timezone.now() + closed_records.SETBACK)
    case.offer.refresh_from_db()
    assert (case.offer.withdrawn_reason, stuck.count()) == ("frozen", 0)


def user() -> User:
    return User.objects.create_user("dana")


def test_a_replaced_records_offer_freezes_without_a_word_and_staff_are_asked_once(case: Case) -> None:
    case.replaced()
    assert (case.offer.status, case.offer.withdrawn_reason) == ("withdrawn", "frozen")
    assert case.entry.patient_id == case.old.pk
    closed_records.look_at(Patient.objects.get(pk=case.old.pk), timezone.now())
    assert WorkItem.objects.filter(kind="patient.merged").count() == 1
    item = case.asked()
    assert item is not None
    run_action(item, "leave", user())
    closed_records.look_at(Patient.objects.get(pk=case.old.pk), timezone.now())
    assert WorkItem.objects.filter(kind="patient.merged").count() == 1
    assert not Message.objects.exclude(kind="offer").exists()


def test_an_offer_nobody_was_told_of_does_not_stand_again(case: Case) -> None:
    Message.objects.update(status="waiting")
    case.ehr.says("old", active=False)
    case.drain()
    assert Message.objects.get().status == "suppressed"
    case.ehr.says("old")
    case.drain()
    assert (case.offer.status, case.offer.withdrawn_reason) == ("withdrawn", "frozen")


@pytest.mark.parametrize("fields", [{"deceased": True}, {"active": False}])
def test_an_offer_freezes_when_the_record_is_closed_and_stands_again_when_it_is_not(
    case: Case, fields: dict[str, Any]
) -> None:
    case.ehr.says("old", **fields)
    case.drain()
    assert case.offer.withdrawn_reason == "frozen"
    case.ehr.says("old")
    case.drain()
    assert (case.offer.status, case.offer.withdrawn_reason) == ("sent", "")


def test_a_closed_record_freezes_and_frees_no_other_offer(scene: Scene) -> None:
    closed, same_time, withdrawn = scene.offered(3)
    elsewhere = scene.offered(1, hours=34)[0]
    Offer.objects.filter(pk=withdrawn.pk).update(status="withdrawn", withdrawn_reason="changed")
    for is_active, expected in ((False, "withdrawn"), (True, "sent")):
        Patient.objects.filter(pk=closed.patient_id).update(active=is_active)
        for each in (closed, withdrawn):
            closed_records.look_at(Patient.objects.get(pk=each.patient_id), timezone.now())
        found = dict(Offer.objects.values_list("pk", "status"))
        assert found[closed.pk] == expected
        assert [found[each.pk] for each in (same_time, elsewhere, withdrawn)] == ["sent", "sent", "withdrawn"]


def test_a_yes_between_merge_and_decision_books_nothing_and_goes_to_staff(case: Case) -> None:
    case.replaced()
    reply = replies.receive("sms", "in-1", PHONES["old"], "YES")
    replies.drain()
    reply.refresh_from_db()
    assert reply.outcome == Reply.Outcome.STAFF
    assert not Claim.objects.exists()
    assert WorkItem.objects.filter(kind="patient.frozen", status="open").count() == 1
    assert not Message.objects.exclude(kind="offer").exists()


def test_one_button_takes_the_entries_over_at_the_same_place(case: Case) -> None:
    merge, joined_at = case.replaced(), case.entry.joined_at
    item = case.asked()
    assert item is not None
    assert run_action(item, "over", user()) == "1 waitlist entry was taken over."
    case.entry.refresh_from_db()
    assert (case.entry.patient_id, case.entry.joined_at) == (case.new.pk, joined_at)
    merge.refresh_from_db()
    assert merge.moved == [{"entry": case.entry.pk}]
    assert case.asked() is None


def test_where_the_kept_record_waits_already_the_entry_stays(case: Case) -> None:
    factories.entry(case.new, case.entry.appointment_type)
    merge = case.replaced()
    assert closed_records.take_over(merge)[1] == [
        "One entry stays as it is: the kept record waits for that kind of visit already."
    ]
    case.entry.refresh_from_db()
    assert case.entry.patient_id == case.old.pk


def test_an_entry_that_a_booking_kept_back_follows_when_the_booking_is_refused(case: Case) -> None:
    claims.claim(case.opening, case.old, offer=case.offer, channel="link")
    claim = Claim.objects.get()
    case.replaced()
    item = case.asked()
    assert item is not None
    assert "stays until the EHR has answered" in run_action(item, "over", user())
    case.drain()
    assert case.entry.patient_id == case.old.pk
    assert settlement.release(claim, "staff")
    case.drain()
    assert case.entry.patient_id == case.new.pk
    assert case.asked() is None


def test_of_a_booking_that_the_ehr_confirms_nothing_is_left_to_ask(case: Case) -> None:
    claims.claim(case.opening, case.old, offer=case.offer, channel="link")
    case.replaced()
    assert case.asked() is not None
    claims.settle(Writeback.objects.get(), Outcome("done"))
    case.drain()
    assert case.entry.status == "booked"
    assert case.asked() is None


def test_staff_who_said_it_themselves_are_not_asked_while_the_booking_is_under_way(case: Case) -> None:
    claims.claim(case.opening, case.old, offer=case.offer, channel="link")
    claim = Claim.objects.get()
    merging.merge(case.old, case.new, told_by="staff")
    case.drain()
    assert case.asked() is None
    assert settlement.release(claim, "staff")
    case.drain()
    assert (case.entry.patient_id, case.asked()) == (case.new.pk, None)


def test_what_staffs_own_merge_could_not_move_is_asked_about(case: Case) -> None:
    factories.entry(case.new, case.entry.appointment_type)
    merging.merge(case.old, case.new, told_by="staff")
    case.drain()
    assert case.entry.patient_id == case.old.pk
    assert case.asked() is not None


def test_an_unmerge_in_the_ehr_gives_back_what_was_moved_and_the_offer_stands_again(case: Case) -> None:
    merge = case.replaced()
    other = factories.entry(case.new, factories.appointment_type())
    closed_records.take_over(merge)
    case.ehr.says("old")
    case.drain()
    other.refresh_from_db()
    assert (case.entry.patient_id, other.patient_id) == (case.old.pk, case.new.pk)
    assert case.offer.status == "sent"
    assert not PatientMerge.objects.filter(undone_at__isnull=True).exists()


@pytest.mark.parametrize("was_taken_over", [True, False])
def test_what_staff_took_apart_and_the_ehr_makes_one_is_asked_about_and_goes_over(
    case: Case, was_taken_over: bool
) -> None:
    """Their "two people" is no answer to the EHR's word: the patient would wait under a record that is not used."""
    reviews.note_pair(case.old, case.new, (Reason.NUMBER,))
    reviews.same(PatientReview.objects.get(), keep=case.new)
    if was_taken_over:
        case.drain()
        assert case.entry.patient_id == case.new.pk
    undone = PatientMerge.objects.get()
    assert closed_records.undo(undone) == []
    reviews.take_back(PatientReview.objects.get())
    case.drain()
    assert (case.entry.patient_id, case.offer.status, case.asked()) == (case.old.pk, "sent", None)

    merge = case.replaced()
    assert merge.pk != undone.pk
    assert (case.offer.withdrawn_reason, case.entry.patient_id) == ("frozen", case.old.pk)
    item = case.asked()
    assert item is not None
    assert (item.subject_id, item.patient_id) == (merge.pk, case.new.pk)
    assert run_action(item, "over", user()) == "1 waitlist entry was taken over."
    case.drain()
    assert (case.entry.patient_id, case.asked()) == (case.new.pk, None)
    case.ehr.says("old")
    case.drain()
    assert (case.entry.patient_id, case.offer.status) == (case.old.pk, "sent")
    case.replaced()
    assert case.asked() not in (None, item)


def test_an_unmerge_before_any_decision_closes_the_question(case: Case) -> None:
    case.replaced()
    case.ehr.says("old")
    case.drain()
    assert case.asked() is None
    assert case.offer.status == "sent"


@pytest.mark.parametrize("past", ["expires_at", "start"])
def test_an_offer_whose_time_is_over_does_not_stand_again(case: Case, past: str) -> None:
    case.replaced()
    Offer.objects.update(**{past: timezone.now() - timedelta(minutes=1)})
    case.ehr.says("old")
    case.drain()
    assert case.offer.status == "withdrawn"


def test_an_undo_after_a_booking_is_refused_with_the_reason_and_changes_nothing(case: Case) -> None:
    merge = merging.merge(case.old, case.new, told_by="staff")
    case.drain()
    assert case.entry.patient_id == case.new.pk  # staff said so: nobody is asked again
    booked = factories.appointment(case.new)
    Claim.objects.create(
        opening=case.opening,
        patient=case.new,
        entry=case.entry,
        appointment=booked,
        channel="staff",
        actor="dana",
        state="confirmed",
    )
    assert closed_records.undo(merge) == [
        "A waitlist entry that was taken over has led to a booking. Cancel that booking in the EHR first."
    ]
    case.drain()
    case.old.refresh_from_db()
    assert (case.old.replaced_by_id, case.entry.patient_id) == (case.new.pk, case.new.pk)


def test_an_undo_is_refused_while_what_was_taken_over_stands_in_its_way(case: Case) -> None:
    merge = merging.merge(case.old, case.new, told_by="staff")
    case.drain()
    anew = factories.entry(case.old, case.entry.appointment_type)
    assert closed_records.undo(merge) == [
        "The retired record was put on the waitlist anew. Take that entry off the list first."
    ]
    anew.delete()
    assert entries.hand_over(case.entry, case.ehr.says("last"))
    assert closed_records.undo(merge) == ["A waitlist entry that was taken over has gone on to yet another record."]
    case.old.refresh_from_db()
    assert case.old.replaced_by_id == case.new.pk


def test_an_offer_that_nobody_was_told_of_does_not_stand_again(case: Case) -> None:
    Message.objects.update(status="waiting")
    case.replaced()
    case.ehr.says("old")
    case.drain()
    assert (case.offer.status, case.entry.patient_id) == ("withdrawn", case.old.pk)


def test_staffs_merge_outlives_the_ehrs_next_word_and_their_undo_gives_back(case: Case) -> None:
    merge = merging.merge(case.old, case.new, told_by="staff")
    case.drain()
    case.ehr.says("old")
    case.drain()
    case.old.refresh_from_db()
    assert case.old.replaced_by_id == case.new.pk
    assert closed_records.undo(PatientMerge.objects.get(pk=merge.pk)) == []
    case.drain()
    case.old.refresh_from_db()
    assert (case.old.replaced_by_id, case.entry.patient_id, case.offer.status) == (None, case.old.pk, "sent")


def test_a_merge_of_a_merge_is_undone_from_the_last_one_back(case: Case) -> None:
    first = merging.merge(case.old, case.new, told_by="staff")
    case.drain()
    last = case.ehr.says("last")
    second = merging.merge(case.new, last, told_by="staff")
    case.drain()
    assert case.entry.patient_id == last.pk
    assert closed_records.undo(first)[0] == ("The kept record has been replaced by another one since. Undo that first.")
    assert closed_records.undo(PatientMerge.objects.get(pk=second.pk)) == []
    assert closed_records.undo(PatientMerge.objects.get(pk=first.pk)) == []
    case.drain()
    assert case.entry.patient_id == case.old.pk


def test_what_is_taken_over_by_a_record_that_was_itself_replaced_meanwhile_goes_on_to_the_last_one(case: Case) -> None:
    first = case.replaced()
    last = case.ehr.says("last")
    second = merging.merge(case.new, last, told_by="staff")
    case.drain()
    item = case.asked()
    assert item is not None
    assert run_action(item, "over", user()) == "1 waitlist entry was taken over."
    case.drain()
    assert case.entry.patient_id == last.pk
    assert closed_records.undo(PatientMerge.objects.get(pk=second.pk)) == []
    assert closed_records.undo(PatientMerge.objects.get(pk=first.pk)) == []
    assert WaitlistEntry.objects.get().patient_id == case.old.pk


def test_staff_are_asked_again_where_the_ehr_replaced_also_the_record_that_took_over(case: Case) -> None:
    dana = user()
    case.replaced()
    item = case.asked()
    last = case.ehr.says("last")
    case.ehr.says("new", replaced_by="last")
    case.drain()
    assert item is not None
    run_action(item, "over", dana)
    case.drain()
    again = case.asked()
    assert again is not None
    assert again.patient == last
    run_action(again, "over", dana)
    case.drain()
    assert (case.entry.patient_id, case.asked()) == (last.pk, None)


def test_what_the_ehr_separates_after_a_booking_stays_and_staff_are_told(case: Case) -> None:
    merge = case.replaced()
    closed_records.take_over(merge)
    booked = factories.appointment(case.new)
    Claim.objects.create(
        opening=case.opening, patient=case.new, entry=case.entry, appointment=booked, channel="sms", actor="x"
    )
    case.ehr.says("old")
    case.drain()
    assert case.entry.patient_id == case.new.pk
    assert "has led to a booking" in WorkItem.objects.get(kind="patient.unmerged").advice


def test_two_opposite_merges_make_no_circle(case: Case) -> None:
    merging.merge(case.old, case.new, told_by="staff")
    with pytest.raises(merging.MergeRefused, match="replaced by the other one already"):
        merging.merge(case.new, case.old, told_by="staff")
    with pytest.raises(merging.MergeRefused, match="replaced by another one already"):
        merging.merge(Patient.objects.get(pk=case.old.pk), case.ehr.says("last"), told_by="staff")
    assert PatientMerge.objects.count() == 1


def test_a_stop_of_the_retired_record_binds_the_kept_one_and_its_yes_is_not_passed_on(case: Case) -> None:
    day = timezone.now().date()
    merge = case.replaced()
    ways = consent.ways(case.new, day)
    assert [way.value for way in ways] == [PHONES["new"]]
    consent.revoke_address(Channel.SMS, case.old.contact_points.get().address_index, source="reply")
    assert consent.ways(case.new, day) == []
    merging.undo(merge)
    assert [way.value for way in consent.ways(case.new, day)] == [PHONES["new"]]
