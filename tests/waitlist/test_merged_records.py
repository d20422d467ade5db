"""Two records of one person: what either has, was offered or forbade counts for the one in use, until an undo."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling import families, merging
from scheduling.bulk_renewal import renew_patients
from scheduling.merging import ToldBy
from scheduling.models import Appointment, Opening, Patient, PatientMerge
from scheduling.patients import apply_patient
from scheduling.records import PatientRecord
from tests import factories
from tests.waitlist.conftest import Scene, scene  # noqa: F401 - a fixture
from waitlist import attention, candidates, claims, closed_records, consent, eligibility, replies, telling
from waitlist.models import Channel, ConsentRecord, Message, Offer, Reply, WaitlistEntry
from waitlist.pages import states
from waitlist.reasons import Reason

pytestmark = pytest.mark.django_db

PHONE = "+12125550144"
TOTALS = ("TOTAL_FORMS", "INITIAL_FORMS")


class Pair:
    """Somebody with two records, the second one on the list."""

    def __init__(self, scene: Scene, **fields: Any) -> None:  # noqa: F811
        self.scene = scene
        self.old = factories.patient(**fields)
        (self.entry,) = scene.waiting(1, **{f"patient_{name}": value for name, value in fields.items()})
        self.new: Patient = self.entry.patient

    def merged(self) -> merging.PatientMerge:
        return merging.merge(self.old, self.new, told_by=ToldBy.STAFF)

    def reasons(self, opening: Opening) -> set[Reason]:
        return set(self.verdict(opening).reasons) - {Reason.SUITS}

    def verdict(self, opening: Opening) -> eligibility.Verdict:
        facts = candidates.facts_for(Opening.objects.get(pk=opening.pk))
        return eligibility.judge(facts, candidates.load([self.entry.pk], facts)[0])

    def has_at(self, opening: Opening, **fields: Any) -> Appointment:
        """The old record has a visit at the opening's time, elsewhere."""
        return factories.appointment(self.old, factories.provider(), self.scene.location, start=opening.start, **fields)

    def was_offered(self, **fields: Any) -> Offer:
        """The old record was offered another opening."""
        entry = factories.entry(self.old, self.scene.type)
        opening = factories.opening(factories.provider(), self.scene.location, start=factories.in_days(9))
        return factories.offer(opening, entry, **fields)


@pytest.fixture
def pair(scene: Scene) -> Pair:  # noqa: F811
    return Pair(scene)


@pytest.fixture
def opening(scene: Scene) -> Opening:  # noqa: F811
    return scene.opening(hours=10)


def test_twins_share_nothing(pair: Pair, opening: Opening) -> None:
    """Born the same day, of one name and at one number: two people as long as nobody says otherwise."""
    born: dict[str, Any] = {"birth_date": date(1980, 1, 2), "family_name": "Sample"}
    for twin in (pair.old, pair.new):
        Patient.objects.filter(pk=twin.pk).update(**born)
        factories.contact(twin, PHONE)
    pair.has_at(opening)
    pair.was_offered(status="sent")
    Patient.objects.filter(pk=pair.old.pk).update(restricted=True)
    assert pair.reasons(opening) == set()
    offer = factories.offer(opening, pair.entry)
    assert claims.claim(opening, pair.new, offer=offer, channel="link").claim is not None


def test_a_visit_of_the_retired_record_is_in_the_way_until_an_undo(pair: Pair, opening: Opening) -> None:
    pair.has_at(opening)
    merge = pair.merged()
    assert pair.reasons(opening) == {Reason.BUSY}
    offer = factories.offer(opening, pair.entry)
    assert states._conflict(offer) is states.PageState.OVERLAPS
    answer = claims.claim(opening, pair.new, offer=offer, channel="link")
    assert (answer.claim, answer.outcome) == (None, claims.Outcome.OVERLAPS)
    assert Appointment.objects.count() == 1

    assert closed_records.undo(merge) == []
    Offer.objects.all().delete()
    assert pair.reasons(opening) == set()
    offer = factories.offer(opening, pair.entry)
    assert claims.claim(opening, pair.new, offer=offer, channel="link").claim is not None


def test_a_chain_of_merges_is_one_person(pair: Pair, opening: Opening) -> None:
    oldest = factories.patient()
    factories.appointment(oldest, factories.provider(), pair.scene.location, start=opening.start)
    merging.merge(oldest, pair.old, told_by=ToldBy.MESSAGE)
    pair.merged()
    everybody = {oldest.pk, pair.old.pk, pair.new.pk}
    assert pair.reasons(opening) == {Reason.BUSY}
    assert families.all_records(Patient.objects.get(pk=pair.old.pk)) == everybody
    assert families.records_of([pair.old.pk, pair.new.pk]) == {
        pair.old.pk: {oldest.pk, pair.old.pk},
        pair.new.pk: everybody,
    }


def test_records_that_lead_back_to_one_another_end_the_search(pair: Pair) -> None:
    Patient.objects.filter(pk=pair.old.pk).update(replaced_by=pair.new)
    Patient.objects.filter(pk=pair.new.pk).update(replaced_by=pair.old)
    assert families.records_of_one(pair.old.pk) == {pair.old.pk, pair.new.pk}


def test_offers_to_the_retired_record_count_towards_the_caps(pair: Pair, opening: Opening) -> None:
    factories.policy(offers_per_day=1)
    pair.was_offered(status="expired")
    assert pair.reasons(opening) == set()
    pair.merged()
    assert pair.reasons(opening) == {Reason.CAPS}


def test_one_live_offer_per_person_while_the_merge_is_still_being_seen_to(pair: Pair, opening: Opening) -> None:
    offer = pair.was_offered(status="sent")
    merge = pair.merged()
    assert pair.reasons(opening) == {Reason.LIVE_OFFER}
    attention.drain()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "frozen")
    assert pair.reasons(opening) == set()
    assert closed_records.undo(merge) == []


def test_what_the_retired_record_said_about_this_very_time_counts(pair: Pair, opening: Opening) -> None:
    factories.policy(offers_per_day=5)
    said_no = factories.offer(opening, factories.entry(pair.old, pair.scene.type), status="no")
    pair.merged()
    assert pair.reasons(opening) == {Reason.DECLINED}
    factories.offer(opening, pair.entry, status="withdrawn")
    assert pair.reasons(opening) == {Reason.DECLINED}
    said_no.delete()
    assert pair.reasons(opening) == set()


def test_nobody_is_offered_the_time_they_gave_up_under_another_record(pair: Pair, opening: Opening) -> None:
    gave_up = factories.appointment(pair.old, pair.scene.provider, pair.scene.location, status="cancelled")
    Opening.objects.filter(pk=opening.pk).update(freed_by=gave_up)
    assert pair.reasons(opening) == set()
    pair.merged()
    assert pair.reasons(opening) == {Reason.FREED_IT}


def reached(pair: Pair, opening: Opening) -> set[str]:
    """The channels an offer would take and the channels any other news would, which must be the same."""
    offered: set[str] = {each.channel for each in pair.verdict(opening).channels}
    assert {consent.channel_of(each) for each in consent.ways(pair.new, timezone.now().date())} == offered
    return offered


@pytest.mark.parametrize("replaced_twice", [False, True])
def test_stop_under_the_retired_record_is_not_written_past_until_an_undo(
    pair: Pair, opening: Opening, replaced_twice: bool
) -> None:
    first = factories.patient() if replaced_twice else pair.old
    number = factories.contact(first, PHONE)
    consent.revoke_address(Channel.SMS, number.address_index, source=ConsentRecord.Source.REPLY)
    if replaced_twice:
        merging.merge(first, pair.old, told_by=ToldBy.STAFF)
    assert reached(pair, opening) == {"sms", "email"}
    merge = pair.merged()
    assert reached(pair, opening) == {"email"}
    merging.undo(merge)
    assert reached(pair, opening) == {"sms", "email"}


def test_stop_at_a_number_that_the_retired_record_has_no_more_binds_nobody(pair: Pair, opening: Opening) -> None:
    number = factories.contact(pair.old, PHONE, use="old")
    consent.revoke_address(Channel.SMS, number.address_index, source=ConsentRecord.Source.REPLY)
    pair.merged()
    assert reached(pair, opening) == {"sms", "email"}


def test_a_stop_binds_both_of_two_records_that_lead_back_to_one_another(pair: Pair) -> None:
    number = factories.contact(pair.old, PHONE)
    pair.merged()
    PatientMerge.objects.create(retired=pair.new, kept=pair.old, told_by=ToldBy.LINK, at=timezone.now())
    consent.revoke_address(Channel.SMS, number.address_index, source=ConsentRecord.Source.REPLY)
    for each in (pair.old, pair.new):
        assert [way.system for way in consent.ways(each, timezone.now().date())] == ["email"]


@pytest.mark.parametrize("told_by_link", [True, False])
def test_who_is_not_to_be_written_to_is_not_under_the_other_record_either(
    pair: Pair, opening: Opening, told_by_link: bool
) -> None:
    Patient.objects.filter(pk=pair.old.pk).update(restricted=True)
    offer = factories.offer(opening, pair.entry)
    source = pair.scene.source
    for name, row in (("old", pair.old), ("new", pair.new)):
        factories.external_id(source, "patient", row, name)
    if told_by_link:
        apply_patient(source, PatientRecord("old", "2", replaced_by="new"), timezone.now())
    else:
        merging.merge(Patient.objects.get(pk=pair.old.pk), pair.new, told_by=ToldBy.STAFF)
    merge = merging.holding(pair.old)
    assert merge is not None
    assert merge.moved == [{"restricted": pair.new.pk}]
    assert Reason.RESTRICTED in pair.reasons(opening)
    attention.drain()
    offer.refresh_from_db()
    assert offer.withdrawn_reason == "frozen"

    if told_by_link:
        apply_patient(source, PatientRecord("old", "3"), timezone.now())
    else:
        assert closed_records.undo(merge) == []
    pair.new.refresh_from_db()
    merge.refresh_from_db()
    assert (pair.new.restricted, merge.moved) == (False, [])
    assert Patient.objects.get(pk=pair.old.pk).restricted


def test_an_undo_leaves_a_restriction_that_was_the_other_records_own(pair: Pair) -> None:
    Patient.objects.update(restricted=True)
    for each in (pair.old, pair.new):
        each.refresh_from_db()
    merge = pair.merged()
    assert merging.undo(merge)
    pair.new.refresh_from_db()
    assert pair.new.restricted


def test_an_undo_leaves_a_restriction_that_a_third_record_brought_too(pair: Pair) -> None:
    third = factories.patient()
    for each in (pair.old, third):
        each.restricted = True
        each.save()
    first = pair.merged()
    second = merging.merge(third, pair.new, told_by=ToldBy.STAFF)
    assert merging.undo(first)
    pair.new.refresh_from_db()
    assert pair.new.restricted
    second.refresh_from_db()
    assert merging.undo(second)
    pair.new.refresh_from_db()
    assert not pair.new.restricted


class Told:
    """Both records of a pair as the EHR tells them, one version after the other."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.version = pair, 1
        for name, row in (("old", pair.old), ("new", pair.new)):
            factories.external_id(pair.scene.source, "patient", row, name)

    def __call__(self, name: str, **fields: Any) -> None:
        self.version += 1
        apply_patient(self.pair.scene.source, PatientRecord(name, str(self.version), **fields), timezone.now())
        self.pair.old.refresh_from_db()
        self.pair.new.refresh_from_db()

    @property
    def died(self) -> tuple[bool, bool]:
        return self.pair.old.deceased, self.pair.new.deceased


def test_a_death_told_of_the_retired_record_ends_the_waiting_of_the_one_in_use(pair: Pair, opening: Opening) -> None:
    says = Told(pair)
    offer = factories.offer(opening, pair.entry)
    says("old", replaced_by="new")
    assert says.died == (False, False)
    says("old", replaced_by="new", deceased=True)
    assert says.died == (True, True)
    attention.drain()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "frozen")
    assert Reason.DECEASED in pair.reasons(opening)
    says("new")  # which says nothing of it
    assert says.died == (True, True)
    says("old", replaced_by="new")  # it was a mistake
    assert says.died == (False, False)


@pytest.mark.parametrize("says_so_itself", [True, False])
def test_an_undo_leaves_a_death_that_the_record_in_use_says_itself(pair: Pair, says_so_itself: bool) -> None:
    says = Told(pair)
    says("old", replaced_by="new", deceased=True)
    says("new", deceased=says_so_itself)
    assert says.died == (True, True)
    says("old", deceased=True)  # separated again
    assert says.died == (True, says_so_itself)
    says("new")
    assert says.died == (True, False)


def test_all_patients_read_again_together_leave_a_death_as_it_was_told(pair: Pair) -> None:
    says = Told(pair)
    says("old", replaced_by="new", deceased=True)
    source, now = pair.scene.source, timezone.now()
    for told in (False, True):
        record = PatientRecord("new", f"page {told}", deceased=told)
        left = renew_patients(source, [record], now)
        assert left == [record]
        apply_patient(source, record, now)
    says("old", deceased=True)
    assert says.died == (True, True)


def test_what_is_forbidden_after_the_merge_holds_for_the_person_and_goes_on_from_record_to_record(pair: Pair) -> None:
    oldest = factories.patient()
    first = merging.merge(oldest, pair.old, told_by=ToldBy.STAFF)
    second = pair.merged()
    third = merging.merge(factories.patient(), pair.new, told_by=ToldBy.STAFF)

    def restricted() -> list[bool]:
        return [Patient.objects.get(pk=each).restricted for each in (oldest.pk, pair.old.pk, pair.new.pk)]

    for value in (True, False, True):
        Patient.objects.filter(pk=oldest.pk).update(restricted=value)
        merging.follow(Patient.objects.get(pk=oldest.pk))
        assert restricted() == [value, value, value]
    for merge in (first, second, third):
        merge.refresh_from_db()
    assert merging.undo(second)
    assert restricted() == [True, True, False]
    first.refresh_from_db()
    assert merging.undo(first)
    assert restricted() == [True, False, False]


def test_staff_restrict_a_retired_record(pair: Pair, admin_client: Client) -> None:
    pair.merged()
    address = reverse("admin:scheduling_patient_change", args=[pair.old.pk])
    fields = {f"{name}-{part}": 0 for name in ("contact_points", "identifiers") for part in TOTALS}
    for restricted in ({"restricted": "on"}, {}):
        assert admin_client.post(address, {**fields, **restricted}).status_code == 302
        pair.new.refresh_from_db()
        assert pair.new.restricted is bool(restricted)


def test_a_name_that_changes_after_the_merge_changes_nothing_about_who_it_is(pair: Pair, opening: Opening) -> None:
    factories.external_id(pair.scene.source, "patient", pair.new, "new")
    pair.has_at(opening)
    pair.merged()
    record = PatientRecord("new", "2", given_name="Robin", family_name="Married", birth_date=date(1980, 1, 2))
    apply_patient(pair.scene.source, record, timezone.now())
    assert Patient.objects.get(pk=pair.new.pk).family_name == "Married"
    assert Reason.BUSY in pair.reasons(opening)


def test_a_bare_yes_from_a_number_of_both_records_is_the_live_offers(scene: Scene, opening: Opening) -> None:  # noqa: F811
    pair = Pair(scene)
    for record in (pair.old, pair.new):
        record.contact_points.all().delete()
        factories.contact(record, PHONE)
    frozen = factories.offer(scene.opening(hours=50), factories.entry(pair.old, scene.type))
    pair.merged()
    attention.drain()
    assert scene.look(opening) == 1
    offer = opening.offers.get()
    for each in (frozen, offer):
        told(each)
    reply = said("yes")
    assert (reply.outcome, reply.patient_id, reply.offer_id) == ("claimed", pair.new.pk, offer.pk)


def test_the_number_of_the_retired_record_speaks_for_the_one_in_use(pair: Pair) -> None:
    factories.contact(pair.old, PHONE)
    pair.merged()
    WaitlistEntry.objects.filter(pk=pair.entry.pk).update(status="asked")
    reply = said("yes")
    pair.entry.refresh_from_db()
    assert (reply.outcome, reply.patient_id, pair.entry.status) == ("claimed", pair.new.pk, "waiting")


def told(offer: Offer) -> None:
    """The offer went out as a text."""
    contact = offer.patient.contact_points.get()
    Message.objects.create(
        kind="offer",
        channel="sms",
        patient=offer.patient,
        contact_point=contact,
        offer=offer,
        opening=offer.opening,
        address=contact.value,
        address_index=contact.address_index,
        body="An offer.",
        status="delivered",
        dedupe_key=f"told-{offer.pk}",
        due_at=timezone.now(),
    )


def said(text: str) -> Reply:
    """A text came from the number and was dealt with."""
    replies.receive(channel="sms", carrier_id=text, address=PHONE, body=text)
    replies.drain()
    return Reply.objects.get()


def test_the_later_visit_to_be_given_up_may_stand_under_the_retired_record(pair: Pair, opening: Opening) -> None:
    later = factories.appointment(pair.old, pair.scene.provider, pair.scene.location, start=factories.in_days(20))
    WaitlistEntry.objects.filter(pk=pair.entry.pk).update(move_up=later)
    pair.merged()
    offer = factories.offer(opening, pair.entry, move_up=later)
    claim = claims.claim(opening, pair.new, offer=offer, channel="link").claim
    assert claim is not None
    assert telling.moved_up(claim) == later
    assert opening.start + timedelta(days=1) < later.start  # type: ignore[operator]
