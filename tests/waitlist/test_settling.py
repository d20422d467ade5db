"""What the EHR's answer does to a claim, and who is told what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from scheduling import appointments, openings, writebacks
from scheduling.models import Appointment, ContactPoint, ExternalId, Opening, WorkItem, Writeback
from scheduling.records import AppointmentRecord
from scheduling.worklist import ask_staff
from scheduling.writebacks import Outcome
from tests import factories
from tests.waitlist.conftest import Scene, steps, told
from waitlist import attention, cancellations, checklists, claims, entries, messages, settlement
from waitlist.models import Claim, Message, Offer

pytestmark = pytest.mark.django_db


def won(scene: Scene, offer: Offer) -> Claim:
    claim = scene.yes(offer).claim
    assert claim is not None
    return claim


def test_confirmed_only_after_the_ehr_says_so_and_once(scene: Scene) -> None:
    first, second = scene.offered(2)
    claim = won(scene, first)
    assert told(first.patient)[2:] == ["received by sms"]
    for _ in range(2):  # the outbox may hand the same outcome over again
        scene.answer(claim)
    assert (claim.state, claim.settled_at, claim.chase_at) == ("confirmed", timezone.now(), None)
    assert claim.appointment.status == "booked"
    first.entry.refresh_from_db()
    assert first.entry.status == "booked"
    assert told(first.patient)[3:] == ["confirmed by sms", "confirmed by email"]
    assert told(second.patient)[2:] == ["filled by sms", "filled by email"]
    assert steps(claim.opening).count("claim.confirmed") == 1
    assert not WorkItem.objects.exists()  # a plain visit leaves nothing to do


def test_confirmed_answers_a_yes_so_it_goes_at_night_and_filled_waits(scene: Scene) -> None:
    first, _ = scene.offered(2, hours=40)
    claim = won(scene, first)
    scene.pass_time(hours=11)  # 9 in the evening
    scene.answer(claim)
    assert Message.objects.filter(kind="confirmed").first().due_at == timezone.now()  # type: ignore[union-attr]
    morning = timezone.now() + timedelta(hours=11)
    assert {message.due_at for message in Message.objects.filter(kind="filled")} == {morning}


@pytest.mark.parametrize(("code", "held"), [("rejected", "refused"), ("mismatch", "refused"), ("patient_busy", "")])
def test_time_the_ehr_refuses_twice_is_held_before_more_patients_are_disappointed(
    scene: Scene, code: str, held: str
) -> None:
    first, second, third = scene.offered(3)
    scene.answer(won(scene, first), "refused", code=code)
    first.opening.refresh_from_db()
    assert (first.opening.held, first.opening.status) == ("", "offering")
    scene.answer(won(scene, second), "refused", code=code)
    first.opening.refresh_from_db()
    assert (first.opening.held, first.opening.status) == (held, "offering")
    assert WorkItem.objects.filter(kind="opening.refused").count() == (1 if held else 0)
    attention.drain()
    third.refresh_from_db()
    assert third.status == ("withdrawn" if held else "sent")


def test_what_the_ehr_refused_of_another_time_or_for_another_reason_holds_nothing(scene: Scene) -> None:
    scene.answer(won(scene, scene.offered(1)[0]), "refused", code="rejected")
    first, second, *_ = scene.offered(2, hours=34)
    for offer, code in ((first, "mismatch"), (second, "rejected")):
        scene.answer(won(scene, offer), "refused", code=code)
    assert set(Opening.objects.values_list("held", flat=True)) == {""}


def test_whoever_was_to_be_called_with_a_time_is_called_no_more_once_it_is_filled(scene: Scene) -> None:
    scene.waiting(1, patient_consent=())
    *_, other = scene.offered(1)
    call = WorkItem.objects.get(kind="offer.call")
    ask_staff("patient.review", "Something else", dedupe_key="something else")
    scene.answer(won(scene, other))
    call.refresh_from_db()
    assert (call.status, call.resolution) == ("done", "The time is no longer offered.")
    assert WorkItem.objects.get(kind="patient.review").status == "open"


def test_offers_that_have_not_left_are_stopped_and_not_told(scene: Scene) -> None:
    scene.waiting(2)
    opening = scene.opening(hours=10)
    scene.look(opening)
    first, second = opening.offers.order_by("rank")
    scene.answer(won(scene, first))
    assert Message.objects.filter(offer=second, status="suppressed", error_code="withdrawn").count() == 2
    assert not Message.objects.filter(patient=second.patient, kind="filled").exists()


def test_refused_the_winner_hears_it_and_the_opening_runs_again(scene: Scene) -> None:
    """34: the next in line; who was too late gets a fresh offer, who declined or was refused does not."""
    winner, late, declined, silent = scene.offered(4)
    claim = won(scene, winner)
    scene.yes(late)
    claims.decline(Offer.objects.select_related("opening").get(pk=declined.pk), "link")
    attention.drain()
    scene.answer(claim, "refused", code="rejected", detail="No.")
    assert (claim.state, claim.refused_because, claim.settled_at) == ("refused", "rejected", timezone.now())
    assert claim.appointment.status == "cancelled"
    winner.entry.refresh_from_db()
    assert winner.entry.status == "waiting"
    assert told(winner.patient)[3:] == ["refused by sms", "refused by email"]
    opening = Opening.objects.get()
    assert (opening.status, opening.attention_due_at) == ("offering", timezone.now())
    attention.drain()
    opening.refresh_from_db()
    assert opening.check_due_at == timezone.now()
    (next_entry,) = scene.waiting(1)
    old_token = late.token_hash
    scene.pass_time(seconds=1)
    assert scene.look(opening) == 2  # at once: a refusal does not wait for the gap
    statuses = {offer.patient_id: offer.status for offer in opening.offers.all()}
    assert statuses == {
        winner.patient_id: "yes",
        late.patient_id: "sent",
        declined.patient_id: "no",
        silent.patient_id: "sent",
        next_entry.patient_id: "sent",
    }
    late.refresh_from_db()
    assert (late.wave, late.answered_at) == (2, None)
    assert late.token_hash != old_token
    assert scene.yes(winner).outcome == "refused"
    assert scene.yes(late).outcome == "won"


def test_refused_because_it_is_taken_closes_the_opening(scene: Scene) -> None:
    winner, other = scene.offered(2)
    claim = won(scene, winner)
    scene.answer(claim, "refused", taken=True, code="taken")
    opening = Opening.objects.get()
    assert (claim.state, opening.status, opening.closed_reason) == ("refused", "closed", "taken")
    attention.drain()
    other.refresh_from_db()
    assert (other.status, other.withdrawn_reason) == ("withdrawn", "taken")
    assert told(other.patient)[2:] == ["filled by sms", "filled by email"]


def test_given_up_when_its_time_had_come_is_still_told(scene: Scene) -> None:
    """35: the EHR was down until the visit would have begun."""
    (offer,) = scene.offered(1, hours=3)
    claim = won(scene, offer)
    scene.pass_time(hours=3, minutes=1)
    scene.answer(claim, "refused", code="too_late")
    text = Message.objects.get(kind="refused", channel="sms")
    assert (messages.may_send(text).action, text.expires_at) == ("send", offer.end + timedelta(hours=2))


@pytest.mark.parametrize("result", ["unknown", "held", "dead"])
def test_nothing_is_decided_while_the_ehr_is_silent(scene: Scene, result: str) -> None:
    (offer,) = scene.offered(1)
    claim = won(scene, offer)
    before = Message.objects.count()
    scene.answer(claim, result, code="timeout")
    assert (claim.state, Opening.objects.get().status, Message.objects.count()) == ("pending", "claimed", before)
    scene.answer(claim)  # a retry, or a booking by hand, ends it well
    assert claim.state == "confirmed"


def test_who_waits_too_long_is_called_once(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=10)
    claim = won(scene, offer)
    scene.pass_time(hours=5)
    attention.drain()
    attention.drain()
    item = WorkItem.objects.get()
    assert (item.kind, item.urgency, item.status, item.times_seen) == ("claim.chase", 0, "open", 1)
    assert steps(claim.opening).count("claim.chased") == 1
    claim.refresh_from_db()
    assert (claim.state, claim.chase_at) == ("pending", None)
    scene.answer(claim)
    item.refresh_from_db()
    assert item.status == "done"
    offer.entry.refresh_from_db()
    assert offer.entry.status == "booked"


def test_a_call_about_a_yes_ends_when_the_ehr_refuses_it(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=10)
    claim = won(scene, offer)
    scene.pass_time(hours=5)
    attention.drain()
    scene.answer(claim, "refused", code="rejected")
    assert WorkItem.objects.get(kind="claim.chase").status == "done"


def test_who_left_the_list_after_a_yes_has_the_appointment_all_the_same(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    claim = won(scene, offer)
    assert entries.leave(offer.entry)
    scene.answer(claim)
    assert (claim.state, claim.entry.status if claim.entry else "") == ("confirmed", "left")
    assert "confirmed by sms" in told(offer.patient)


def test_each_who_waits_too_long_is_called(scene: Scene) -> None:
    waiting = [won(scene, scene.offered(1, hours=10)[0])]
    beside = factories.provider()
    factories.bookable(beside, scene.location, scene.type)
    Opening.objects.update(provider=beside)
    Appointment.objects.update(provider=beside)
    waiting.append(won(scene, scene.offered(1, hours=10)[0]))
    scene.pass_time(hours=5)
    attention.drain()
    items = WorkItem.objects.filter(kind="claim.chase")
    assert {item.patient_id for item in items} == {claim.patient_id for claim in waiting}


def test_two_workers_chase_a_claim_once(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=10)
    claim = won(scene, offer)
    seen_by_both = [Claim.objects.select_related("opening", "appointment", "patient").get(pk=claim.pk) for _ in "ab"]
    assert [settlement.chase(row) for row in seen_by_both] == [True, False]
    assert (WorkItem.objects.get().times_seen, steps(claim.opening).count("claim.chased")) == (1, 1)


def test_a_winner_who_sent_stop_is_told_by_e_mail(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    claim = won(scene, offer)
    assert scene.text(offer.patient, "STOP").outcome == "opted_out"
    scene.answer(claim)
    assert told(offer.patient)[2:] == ["stop_receipt by sms", "confirmed by email"]
    assert not WorkItem.objects.exists()


def test_a_winner_who_can_be_written_to_nowhere_is_called(scene: Scene) -> None:
    (offer,) = scene.offered(1, patient_email=None)
    claim = won(scene, offer)
    scene.text(offer.patient, "STOP")
    scene.answer(claim)
    item = WorkItem.objects.get()
    assert (item.kind, item.urgency, item.patient_id) == ("claim.tell", 0, offer.patient_id)
    assert not Message.objects.filter(kind="confirmed").exists()


def test_stop_between_confirmation_and_sending_goes_another_way(scene: Scene) -> None:
    (offer,) = scene.offered(1, patient_email=None)
    claim = won(scene, offer)
    scene.answer(claim)
    scene.text(offer.patient, "STOP")
    assert Message.objects.get(kind="confirmed").status == "suppressed"
    assert WorkItem.objects.get().kind == "claim.tell"


def test_released_before_anything_was_written(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    claim = won(scene, offer)
    assert claims.release(claim, "staff")
    claim.refresh_from_db()
    assert (claim.state, claim.appointment.status) == ("released", "cancelled")
    assert Writeback.objects.get().status == "refused"
    assert Opening.objects.get().status == "offering"
    assert not claims.release(claim, "staff")


def test_not_released_once_the_ehr_may_have_it(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    claim = won(scene, offer)
    lease = writebacks.lease(Writeback.objects.get().pk)
    assert lease is not None
    writebacks.mark_sent(lease.row)
    assert not claims.release(Claim.objects.get(pk=claim.pk), "staff")
    assert (Claim.objects.get().state, Opening.objects.get().status) == ("pending", "claimed")


def test_what_was_sent_once_and_waits_to_be_sent_again_is_not_released(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    won(scene, offer)
    Writeback.objects.update(sent_at=timezone.now())
    assert not claims.release(Claim.objects.get(), "staff")
    assert (Claim.objects.get().state, Writeback.objects.get().status) == ("pending", "waiting")


def test_staff_do_not_close_what_is_being_booked(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    claim = won(scene, offer)
    assert not openings.close(Opening.objects.get(), Opening.Closed.STAFF)
    scene.answer(claim)
    assert (claim.state, Opening.objects.get().status) == ("confirmed", "filled")


# --- moving up ---
def moved_up(scene: Scene, **fields: object) -> tuple[Claim, Appointment]:
    """A patient with an appointment in 20 days who said yes to an earlier time."""
    (entry,) = scene.waiting(1, **fields)
    old = scene.booked(entry.patient, hours=480)
    entry.move_up = old
    entry.save()
    from waitlist import match_keys

    match_keys.rebuild([entry.pk])
    opening = scene.opening(hours=30)
    assert scene.look(opening) == 1
    scene.deliver()
    return won(scene, opening.offers.get()), old


def test_the_offer_says_what_a_yes_gives_up(scene: Scene) -> None:
    claim, old = moved_up(scene)
    assert claim.offer is not None
    assert claim.offer.move_up_id == old.pk
    body = Message.objects.get(kind="offer", channel="email").body
    assert "March 23" in body
    assert "unless" in body


def test_the_later_one_is_given_up_only_after_the_earlier_is_confirmed(scene: Scene) -> None:
    claim, old = moved_up(scene)
    assert not Writeback.objects.filter(kind="cancel").exists()
    scene.answer(claim)
    row = Writeback.objects.get(kind="cancel")
    assert (row.appointment_id, row.opening_id, row.status) == (old.pk, claim.opening_id, "waiting")
    old.refresh_from_db()
    assert old.status == "booked"  # until the EHR has cancelled it
    assert "March 23" in Message.objects.get(kind="confirmed", channel="email").body


def test_a_refused_move_up_keeps_the_later_one(scene: Scene) -> None:
    claim, old = moved_up(scene)
    scene.answer(claim, "refused", code="rejected")
    old.refresh_from_db()
    assert (old.status, Writeback.objects.filter(kind="cancel").count()) == ("booked", 0)
    assert "March 23" in Message.objects.get(kind="refused", channel="email").body


def test_an_earlier_time_given_up_on_its_way_to_the_ehr_does_not_cost_the_later_one(scene: Scene) -> None:
    """They keep the later one unless the earlier is theirs, and the earlier is cancelled by staff."""
    claim, old = moved_up(scene, patient_established=False)
    Writeback.objects.update(status="unknown", sent_at=timezone.now())
    assert cancellations.cancel_by_patient(claim.appointment, wants_another=False) == cancellations.Outcome.STAFF
    scene.answer(claim)
    old.refresh_from_db()
    assert (claim.state, old.status) == ("confirmed", "booked")
    assert not Writeback.objects.filter(kind="cancel").exists()
    assert "March 23" not in Message.objects.get(kind="confirmed", channel="email").body
    # Nothing is arranged for a visit that is to be cancelled.
    asked = set(WorkItem.objects.values_list("kind", flat=True))
    assert ("appointment.cancel" in asked, checklists.KIND in asked) == (True, False)


@pytest.mark.parametrize("is_gone", [True, False])
def test_what_is_no_later_visit_any_more_is_not_given_up(scene: Scene, is_gone: bool) -> None:
    """It was cancelled in the EHR while the earlier one was being booked, or moved to before it."""
    claim, old = moved_up(scene)
    begins = claim.opening.start - timedelta(hours=5)
    change = {"status": "cancelled"} if is_gone else {"start": begins, "end": begins + timedelta(minutes=30)}
    Appointment.objects.filter(pk=old.pk).update(**change)
    scene.answer(claim)
    assert claim.state == "confirmed"
    assert not Writeback.objects.filter(kind="cancel").exists()


def test_the_freed_time_opens_once_the_cancellation_is_read_back(scene: Scene) -> None:
    claim, old = moved_up(scene)
    for kind, row, value in (
        (ExternalId.Kind.PROVIDER, scene.provider, "prov"),
        (ExternalId.Kind.LOCATION, scene.location, "loc"),
        (ExternalId.Kind.PATIENT, claim.patient, "pat"),
        (ExternalId.Kind.APPOINTMENT, old, "a-old"),
    ):
        factories.external_id(scene.source, kind, row, value)
    scene.answer(claim)
    row = Writeback.objects.get(kind="cancel")
    record = AppointmentRecord(
        external_id="a-old", version="2", status="cancelled", start=old.start, end=old.end, patient_id="pat",
        provider_id="prov", location_id="loc", reason_verdict="rebookable",
    )  # fmt: skip
    with transaction.atomic():
        Writeback.objects.filter(pk=row.pk).update(status="done")
        appointments.apply_appointment(scene.source, record, timezone.now())
        claims.settle(row, Outcome("done"))
        claims.settle(row, Outcome("done"))
    freed = Opening.objects.exclude(pk=claim.opening_id).get()
    assert (freed.start, freed.depth, freed.freed_by_id) == (old.start, 1, old.pk)
    assert steps(claim.opening).count("moveup.done") == 1


@pytest.mark.parametrize("result", ["refused", "dead"])
def test_a_failed_cancellation_leaves_both_and_asks_staff(scene: Scene, result: str) -> None:
    scene.answer(won(scene, scene.offered(1)[0]))  # somebody else's, who has nothing to do with it
    claim, old = moved_up(scene)
    scene.answer(claim)
    row = Writeback.objects.get(kind="cancel")
    for _ in range(2):
        claims.settle(row, Outcome(result))  # type: ignore[arg-type]
    old.refresh_from_db()
    item = WorkItem.objects.get(kind="moveup.cancel")
    assert (old.status, item.urgency, item.patient_id) == ("booked", 0, claim.patient_id)
    assert Opening.objects.count() == 2
    assert steps(claim.opening).count("moveup.failed") == 1


def test_a_write_about_the_later_one_under_way_leaves_it_to_staff(scene: Scene) -> None:
    claim, old = moved_up(scene)
    writebacks.request_cancel(old)
    scene.answer(claim)
    assert claim.state == "confirmed"
    assert WorkItem.objects.get().kind == "moveup.cancel"


# --- the winner cancels at once ---
def test_the_winner_cancels_at_once(scene: Scene) -> None:
    """41: it runs again as a new opening, without those who declined it and without who gave it up."""
    winner, declined, silent = scene.offered(3)
    claims.decline(Offer.objects.select_related("opening").get(pk=declined.pk), "link")
    claim = won(scene, winner)
    scene.answer(claim)
    attention.drain()
    booked = claim.appointment
    booked.refresh_from_db()
    for kind, row, value in (
        (ExternalId.Kind.PROVIDER, scene.provider, "prov"),
        (ExternalId.Kind.LOCATION, scene.location, "loc"),
        (ExternalId.Kind.PATIENT, claim.patient, "pat"),
        (ExternalId.Kind.APPOINTMENT, booked, "a-new"),
    ):
        factories.external_id(scene.source, kind, row, value)
    Writeback.objects.update(status="done")
    record = AppointmentRecord(
        external_id="a-new", version="2", status="cancelled", start=booked.start, end=booked.end, patient_id="pat",
        provider_id="prov", location_id="loc", reason_verdict="rebookable",
    )  # fmt: skip
    (opened,) = appointments.apply_appointment(scene.source, record, timezone.now()).opened
    (fresh,) = scene.waiting(1)
    winner.entry.refresh_from_db()
    assert opened.pk != claim.opening_id
    scene.pass_time(minutes=1)
    assert scene.look(opened) == 2
    assert {offer.patient_id for offer in opened.offers.all()} == {silent.patient_id, fresh.patient_id}


def test_a_contact_frozen_meanwhile_is_not_written_to(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    claim = won(scene, offer)
    ContactPoint.objects.filter(patient=offer.patient).update(state="frozen")
    scene.answer(claim)
    assert not Message.objects.filter(kind="confirmed").exists()
    assert WorkItem.objects.get().kind == "claim.tell"
