"""What falls due is taken up, once, whoever takes it up and whatever fails beside it."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db import transaction
from django.utils import timezone

from scheduling import guards, openings
from scheduling.contention import DEADLOCK
from scheduling.models import Opening, Patient, WorkItem
from tests import factories, race
from tests.queries import asked
from tests.waitlist.conftest import Scene, told
from waitlist import attention, claims, entries, replies, tasks
from waitlist.models import Claim, MatchSummary, Offer, WaitlistEntry
from waitlist.policies import policy_for

pytestmark = pytest.mark.django_db


def open_kinds() -> list[str]:
    return sorted(item.kind for item in WorkItem.objects.filter(status=WorkItem.Status.OPEN))


def test_new_free_time_is_looked_at_after_the_start_delay(scene: Scene) -> None:
    opening = factories.opening(scene.provider, scene.location, attention_due_at=timezone.now(), checked_at=None)
    assert attention.is_due()
    tasks.drain_attention()
    opening.refresh_from_db()
    assert (opening.attention_due_at, opening.check_due_at) == (None, timezone.now() + timedelta(seconds=30))
    assert not attention.is_due()


def _everything_was_seen_to() -> None:
    Opening.objects.update(attention_due_at=None)
    Patient.objects.update(attention_due_at=None)
    MatchSummary.objects.update(due_at=None)
    Claim.objects.update(chase_at=None)


def test_whatever_falls_due_calls_for_a_worker_by_itself(scene: Scene) -> None:
    """What the sweep does not hear of is seen to by nobody."""
    (offer,) = scene.offered(1)
    now = timezone.now()
    _everything_was_seen_to()
    assert not attention.is_due()
    for row, fields in (
        (offer, {"expires_at": now}),
        (offer, {"answered_at": now}),
        (offer.patient, {"attention_due_at": now}),
        (offer.opening.match_summary, {"due_at": now}),
    ):
        rows = type(row).objects.filter(pk=row.pk)
        before = rows.values(*fields).get()
        rows.update(**fields)
        assert attention.is_due(), fields
        rows.update(**before)
        assert not attention.is_due()
    Offer.objects.update(status="no", expires_at=now)
    assert not attention.is_due(), "it is over"
    reply = replies.receive("sms", "in-1", "+12125550199", "hello?")
    assert attention.is_due()
    replies.handle(reply.pk)
    assert not attention.is_due()


def test_a_claim_that_the_ehr_does_not_confirm_calls_for_a_worker(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    scene.yes(offer)
    attention.drain()
    _everything_was_seen_to()
    assert not attention.is_due()
    Claim.objects.update(chase_at=timezone.now())
    assert attention.is_due()


def test_taking_up_one_opening_leaves_the_others_due(scene: Scene) -> None:
    one, other = (
        factories.opening(scene.provider, scene.location, attention_due_at=timezone.now(), checked_at=None)
        for _ in range(2)
    )
    assert attention.take_up(one.pk)
    assert [row.pk for row in Opening.objects.filter(attention_due_at__isnull=False)] == [other.pk]


def test_a_held_day_takes_its_offers_back_and_going_on_offers_afresh(scene: Scene) -> None:
    """64: with three cancellations of one day nobody keeps an offer that a sick provider cannot honour."""
    (offer,) = scene.offered(1)
    opening = offer.opening
    openings.hold(opening, Opening.Held.PROVIDER_DAY)
    guards.ask_about_day(opening, "Several appointments were cancelled")
    attention.drain()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "held")
    assert told(offer.patient)[2:] == ["withdrawn by sms", "withdrawn by email"]
    assert scene.look(opening) == 0
    guards.release_day(opening)
    attention.drain()
    opening.refresh_from_db()
    assert opening.check_due_at == timezone.now()
    assert scene.look(opening) == 1
    offer.refresh_from_db()
    assert (offer.status, offer.wave) == ("sent", 2)
    assert told(offer.patient)[4:] == ["offer by sms", "offer by email"]


def test_a_hold_that_passes_by_itself_leaves_the_offers_and_is_looked_at_when_the_time_is_over(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    openings.hold(offer.opening, Opening.Held.EHR_SILENT)
    Opening.objects.update(attention_due_at=timezone.now(), check_due_at=None)
    attention.drain()
    offer.refresh_from_db()
    offer.opening.refresh_from_db()
    assert offer.status == "sent"
    cut_off = policy_for(offer.opening.location_id, None).cut_off
    assert offer.opening.check_due_at == offer.opening.start - cut_off


def test_a_time_that_ends_sooner_by_now_is_not_offered_as_it_was(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    Opening.objects.update(end=offer.end - timedelta(minutes=5), attention_due_at=timezone.now())
    attention.drain()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "changed")


def test_who_leaves_the_list_loses_the_offer_without_a_word(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    entries.leave(offer.entry)
    attention.drain()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "not_waiting")
    assert told(offer.patient) == ["offer by sms", "offer by email"]


def test_offers_run_out_and_silence_counts_only_where_something_was_sent(scene: Scene) -> None:
    told_of_it, not_told = scene.offered(2, hours=100)
    not_told.messages.update(status="suppressed")
    scene.pass_time(hours=24)
    assert attention.is_due()
    attention.drain()
    for offer in (told_of_it, not_told):
        offer.refresh_from_db()
        offer.entry.refresh_from_db()
    assert (told_of_it.status, told_of_it.entry.silences) == ("expired", 1)
    assert (not_told.status, not_told.entry.silences) == ("expired", 0)


def test_a_yes_that_came_too_late_is_no_silence(scene: Scene) -> None:
    first, late = scene.offered(2, hours=30)
    scene.yes(first)
    scene.yes(late)
    scene.pass_time(hours=29)
    attention.drain()
    late.refresh_from_db()
    late.entry.refresh_from_db()
    assert (late.status, late.entry.silences, late.entry.lost_races) == ("too_late", 0, 1)


def test_any_answer_ends_the_count_of_silences(scene: Scene) -> None:
    first, late, declined, silent = scene.offered(4)
    WaitlistEntry.objects.update(silences=2)
    claims.decline(Offer.objects.select_related("opening").get(pk=declined.pk), "link")
    scene.yes(first)
    scene.yes(late)
    attention.drain()
    counts = dict(WaitlistEntry.objects.values_list("pk", "silences"))
    assert [counts[each.entry_id] for each in (first, late, declined, silent)] == [0, 0, 0, 2]


def test_a_yes_in_the_moment_of_expiry_wins(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=100)
    scene.pass_time(hours=23, minutes=59)
    soon = timezone.now() + timedelta(minutes=1)
    with race.right_before("waitlist.withdrawal.move", lambda: scene.yes(offer)):
        attention.drain(soon)
    offer.refresh_from_db()
    offer.entry.refresh_from_db()
    assert (offer.status, offer.entry.silences) == ("yes", 0)


def test_taking_up_an_opening_asks_nothing_more_of_the_worklist(scene: Scene) -> None:
    opening = factories.opening(scene.provider, scene.location, attention_due_at=timezone.now(), checked_at=None)
    with asked() as found:
        assert attention.take_up(opening.pk)
    assert found.total() == 3, "the opening, its offers and the policy"


def test_who_gave_way_to_another_worker_is_taken_up_again_at_once_and_nobody_is_asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database ended our transaction since two waited for each other: no fault that staff are to hear of."""
    opening = factories.opening(scene.provider, scene.location, attention_due_at=timezone.now(), checked_at=None)
    with monkeypatch.context() as once:
        once.setattr(attention, "look_at", Mock(side_effect=race.ended_by_the_database(DEADLOCK)))
        attention.drain()
    assert open_kinds() == []
    assert attention.is_due()
    attention.drain()
    opening.refresh_from_db()
    assert opening.check_due_at is not None


def test_one_failing_opening_does_not_keep_the_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = (
        factories.opening(scene.provider, scene.location, attention_due_at=timezone.now(), checked_at=None)
        for _ in range(2)
    )
    real = attention.look_at

    def fails(opening: Opening, now: object) -> None:
        if opening.pk == bad.pk:
            raise RuntimeError("made to fail")
        real(opening, now)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "look_at", fails)
    attention.drain()
    bad.refresh_from_db()
    good.refresh_from_db()
    assert good.check_due_at is not None
    assert bad.attention_due_at == timezone.now() + timedelta(seconds=30)
    assert open_kinds() == ["opening.stuck"]
    monkeypatch.undo()
    attention.drain(timezone.now() + timedelta(seconds=30))
    assert open_kinds() == []


@pytest.mark.parametrize("ends", ["closed", "booked in the EHR"])
@pytest.mark.parametrize("why", [Opening.Held.REASON, Opening.Held.TYPE, Opening.Held.STATUS])
def test_what_staff_were_asked_of_a_time_ends_with_it(scene: Scene, why: Opening.Held, ends: str) -> None:
    opening, other = (factories.opening(scene.provider, scene.location) for _ in range(2))
    for each in (opening, other):
        guards.hold_and_ask(each, why)
    if ends == "closed":
        openings.close(opening, Opening.Closed.STAFF)
    else:
        openings.take(opening.pk, by_staff=True)
        opening.refresh_from_db()
        openings.fill(opening)
    attention.drain()
    (left,) = WorkItem.objects.filter(status=WorkItem.Status.OPEN)
    assert left.opening == other


def test_the_question_about_a_day_ends_with_the_last_time_that_is_held_for_it(scene: Scene) -> None:
    first, second = (factories.opening(scene.provider, scene.location) for _ in range(2))
    for each in (first, second):
        openings.hold(each, Opening.Held.PROVIDER_DAY)
    guards.ask_about_day(first, "Several appointments were cancelled")
    openings.close(first, Opening.Closed.RESTORED)
    attention.drain()
    assert open_kinds() == ["opening.provider_day"], "the other time of that day is still held for it"
    openings.close(second, Opening.Closed.RESTORED)
    attention.drain()
    assert open_kinds() == []


def test_what_a_dead_worker_had_begun_is_still_due(scene: Scene) -> None:
    """20: it is taken off the list in the transaction that acts on it."""
    opening = factories.opening(scene.provider, scene.location, attention_due_at=timezone.now(), checked_at=None)

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with pytest.raises(Killed), transaction.atomic(), race.right_before("waitlist.attention.look_at", die):
        attention.drain()
    opening.refresh_from_db()
    assert opening.attention_due_at is not None
    assert opening.check_due_at is None


def test_what_another_worker_took_up_meanwhile_is_left_to_it(scene: Scene) -> None:
    """23: both found it due; the one who comes second does nothing."""
    factories.opening(scene.provider, scene.location, attention_due_at=timezone.now(), checked_at=None)
    now, by_the_other = timezone.now(), []
    with race.right_before("waitlist.attention.take_up", lambda: by_the_other.append(attention.drain_openings(now))):
        by_us = attention.drain_openings(now)
    assert (by_the_other, by_us) == ([1], 0)


@pytest.mark.django_db(transaction=True)
def test_many_workers_withdraw_once() -> None:
    location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
    opening = factories.opening(provider, location, status="offering")
    for _ in range(3):
        factories.offer(opening, factories.entry(factories.patient(), kind))
    openings.close(opening, Opening.Closed.TAKEN)
    race.together(4, lambda _: attention.drain())
    assert Offer.objects.filter(status="withdrawn", withdrawn_reason="taken").count() == 3
    assert not attention.is_due()


@pytest.mark.django_db(transaction=True)
def test_many_workers_count_a_lost_race_once() -> None:
    location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
    opening = factories.opening(provider, location, status="claimed")
    entry = factories.entry(factories.patient(), kind)
    factories.offer(opening, entry, answered_at=timezone.now())
    race.together(4, lambda _: attention.drain())
    entry.refresh_from_db()
    assert (entry.lost_races, Offer.objects.get().status) == (1, "too_late")


@pytest.mark.django_db(transaction=True)
def test_two_waves_at_once_give_a_patient_one_live_offer() -> None:
    """Each holds its own opening; the database decides whose offer stands."""
    import time_machine

    from tests.waitlist.conftest import MORNING

    with time_machine.travel(MORNING, tick=False):
        location, kind = factories.location(), factories.appointment_type()
        times = []
        for hours in (30, 40):
            provider = factories.provider()
            factories.bookable(provider, location, kind)
            opening = factories.opening(provider, location, start=MORNING + timedelta(hours=hours))
            Opening.objects.filter(pk=opening.pk).update(created_at=MORNING - timedelta(minutes=5))
            times.append(opening.pk)
        entry = factories.entry(factories.patient(), kind)
        from waitlist import offers

        def wave(index: int) -> int:
            with transaction.atomic():
                Opening.objects.filter(pk=times[index]).update(checked_at=MORNING)
                return offers.send_wave(Opening.objects.get(pk=times[index]), MORNING)

        assert sorted(race.together(2, wave)) == [0, 1]
    assert Offer.objects.get().entry_id == entry.pk
