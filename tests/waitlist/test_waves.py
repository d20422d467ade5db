"""When a wave goes out, to how many, and when it does not."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from scheduling import closed_days, openings, practice, worklist
from scheduling.models import AppointmentType, Bookable, Opening, Patient, WorkItem
from tests import factories
from tests.waitlist.conftest import MORNING, Scene, steps, told
from waitlist import attention, candidates, match_summary, offering, offers, ranking, sending, verdicts
from waitlist.models import CandidateVerdict, Channel, MatchSummary, Message, Offer, WaitlistEntry

pytestmark = pytest.mark.django_db


def due(opening: Opening) -> datetime | None:
    return Opening.objects.get(pk=opening.pk).check_due_at


@pytest.mark.parametrize(("hours", "size", "gap"), [(1.75, 5, 3), (10, 4, 5), (30, 3, 10), (100, 2, 30)])
def test_the_nearer_the_time_the_larger_the_wave(scene: Scene, hours: float, size: int, gap: int) -> None:
    scene.waiting(8)
    opening = scene.opening(hours=hours)
    assert scene.look(opening) == size
    opening.refresh_from_db()
    assert (opening.status, opening.waves_sent) == ("offering", 1)
    assert opening.check_due_at == timezone.now() + timedelta(minutes=gap)


def test_the_numbers_of_a_visit_hold_where_no_other_kind_is_offered(scene: Scene) -> None:
    factories.policy(appointment_type=scene.type, waves=[{"size": 1, "gap_minutes": 7}])
    other = factories.bookable(scene.provider, scene.location, factories.appointment_type(), mode=Bookable.Mode.OFF)
    scene.waiting(6)
    opening = scene.opening(hours=10)
    assert (scene.look(opening), due(opening)) == (1, timezone.now() + timedelta(minutes=7))
    Bookable.objects.filter(pk=other.pk).update(mode=Bookable.Mode.AUTOMATIC)
    opening = scene.opening(hours=12)
    assert (scene.look(opening), due(opening)) == (4, timezone.now() + timedelta(minutes=5)), "those of the place"


def test_a_visit_that_is_not_offered_keeps_no_time_open(scene: Scene) -> None:
    """A shorter one would fit in longer, and needs no notice."""
    AppointmentType.objects.update(minimum_notice_minutes=180)
    short = factories.appointment_type(10)
    factories.bookable(scene.provider, scene.location, short, mode=Bookable.Mode.OFF)
    opening = scene.opening(hours=4)
    scene.look(opening)
    assert due(opening) == timezone.now() + timedelta(minutes=5)
    scene.pass_time(hours=1)
    scene.look(opening)
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "unfillable")


def test_waves_follow_one_another_and_nobody_is_offered_twice(scene: Scene) -> None:
    entries = scene.waiting(6)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 4
    scene.pass_time(minutes=5)
    assert scene.look(opening) == 2
    assert [offer.patient_id for offer in opening.offers.order_by("wave", "rank")] == [e.patient_id for e in entries]
    assert [offer.wave for offer in opening.offers.order_by("wave", "rank")] == [1, 1, 1, 1, 2, 2]
    scene.pass_time(minutes=5)
    assert scene.look(opening) == 0
    assert Offer.objects.filter(status="sent").count() == 6
    scene.pass_time(minutes=5)
    scene.look(opening)
    assert steps(opening) == ["wave.sent", "wave.sent", "wave.nobody"]  # not told again and again


def test_a_look_before_its_time_does_not_shorten_the_head_start(scene: Scene) -> None:
    scene.waiting(6)
    opening = scene.opening(hours=10)
    scene.look(opening)
    scene.pass_time(minutes=2)
    assert scene.look(opening) == 0
    assert due(opening) == MORNING + timedelta(minutes=5)
    assert opening.offers.count() == 4


def test_what_became_of_another_time_does_not_shorten_the_head_start(scene: Scene) -> None:
    scene.waiting(6)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 4
    claim = scene.yes(scene.offered(1, hours=34)[0]).claim
    assert claim is not None
    scene.answer(claim, "refused", code="rejected")
    scene.waiting(2)
    assert scene.look(opening) == 0


def test_when_everybody_said_no_the_next_are_asked_at_once(scene: Scene) -> None:
    scene.waiting(5)
    opening = scene.opening(hours=10)
    scene.look(opening)
    for offer in opening.offers.all():
        offers_row = Offer.objects.select_related("opening").get(pk=offer.pk)
        from waitlist import claims

        assert claims.decline(offers_row, "link")
    assert Opening.objects.get(pk=opening.pk).attention_due_at is not None
    assert scene.look(opening) == 1


def test_a_look_older_than_a_minute_sends_nothing(scene: Scene) -> None:
    scene.waiting(2)
    opening = scene.opening(hours=10)
    Opening.objects.filter(pk=opening.pk).update(checked_at=timezone.now() - timedelta(seconds=61))
    opening.refresh_from_db()
    assert offers.send_wave(opening) == 0
    assert (Offer.objects.count(), due(opening)) == (0, timezone.now())


def test_paused_held_and_mine_send_nothing(scene: Scene) -> None:
    scene.waiting(2)
    paused, held, mine = scene.opening(hours=10), scene.opening(hours=12), scene.opening(hours=14)
    practice.pause("ana")
    assert scene.look(paused) == 0
    assert due(paused) == timezone.now()  # left due: taken up as soon as the pause ends
    practice.resume("ana")
    openings.hold(held, Opening.Held.PROVIDER_DAY)
    assert scene.look(held) == 0
    assert due(held) == held.start - timedelta(hours=1)
    openings.make_mine(mine, "ben")
    assert scene.look(mine) == 0
    assert due(mine) == timezone.now() + timedelta(minutes=10)
    assert (Offer.objects.count(), Message.objects.count()) == (0, 0)
    scene.pass_time(minutes=10)
    assert scene.look(mine) == 2, "the clerk's time is over"


def test_a_fresh_cancellation_waits_for_second_thoughts(scene: Scene) -> None:
    scene.waiting(2)
    factories.policy(start_delay_seconds=300)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 0
    assert due(opening) == opening.created_at + timedelta(seconds=300)


def test_past_the_cut_off_the_opening_closes_and_nobody_is_told_twice(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=1.5)
    opening = offer.opening
    assert offer.expires_at == opening.start - timedelta(hours=1)
    scene.pass_time(minutes=30)
    assert scene.look(opening) == 0
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "cut_off")
    attention.drain()
    offer.refresh_from_db()
    assert offer.status == "expired"
    assert told(offer.patient) == ["offer by sms", "offer by email"]


def test_nobody_suits_until_the_cut_off(scene: Scene) -> None:
    opening = scene.opening(hours=1.5)
    assert scene.look(opening) == 0
    assert Opening.objects.get(pk=opening.pk).status == "checking"
    scene.pass_time(minutes=10)
    scene.waiting(1)
    assert scene.look(opening) == 1  # somebody was put on the list meanwhile


def test_closed_as_unfillable_only_when_its_time_is_over(scene: Scene) -> None:
    opening = scene.opening(hours=1.5)
    scene.look(opening)
    scene.pass_time(minutes=31)
    scene.look(opening)
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "unfillable")


def test_too_late_from_the_beginning(scene: Scene) -> None:
    scene.waiting(1)
    opening = scene.opening(hours=0.5)
    assert scene.look(opening) == 0
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason, Offer.objects.count()) == ("closed", "cut_off", 0)


def test_verdicts_are_kept_for_those_offered_and_the_next(scene: Scene) -> None:
    scene.waiting(1, minimum_notice_minutes=24 * 60)
    scene.waiting(4)
    opening = scene.opening(hours=30)
    scene.waiting(1, patient_deceased=True)
    scene.look(opening)
    rows = list(CandidateVerdict.objects.filter(opening=opening).order_by("rank"))
    assert [(row.rank, row.eligible, row.wave) for row in rows] == [
        (1, True, 1),
        (2, True, 1),
        (3, True, 1),
        (4, True, 0),
        (5, True, 0),
        (6, False, 0),
    ]
    assert rows[5].reasons == ["deceased"]
    assert MatchSummary.objects.get(opening=opening).due_at == timezone.now() + timedelta(seconds=5)
    scene.pass_time(minutes=10)
    scene.look(opening)
    kept = CandidateVerdict.objects.get(pk=rows[0].pk)
    assert (kept.rank, kept.eligible, kept.wave) == (1, True, 1)  # what was true when it was offered
    assert CandidateVerdict.objects.get(pk=rows[3].pk).wave == 2


def test_who_was_passed_over_is_judged_anew_at_the_next_wave(scene: Scene) -> None:
    scene.waiting(7)
    (barred,) = scene.waiting(1, patient_restricted=True)
    opening = scene.opening(hours=30)
    scene.look(opening)
    verdict = CandidateVerdict.objects.get(opening=opening, entry=barred)
    assert (verdict.eligible, verdict.reasons) == (False, ["restricted"])
    Patient.objects.filter(pk=barred.patient_id).update(restricted=False)
    scene.pass_time(minutes=10)
    scene.look(opening)
    verdict.refresh_from_db()
    assert (verdict.eligible, verdict.reasons, verdict.wave) == (True, ["suits"], 0)
    assert verdict.computed_at == timezone.now()


def test_a_look_that_began_before_the_wave_does_not_take_back_that_it_was_offered(scene: Scene) -> None:
    scene.waiting(2)
    opening = scene.opening(hours=30)
    before = Opening.objects.select_related("location", "source").get(pk=opening.pk)
    scene.look(opening)
    assert before.waves_sent == 0
    verdicts.keep(before, ranking.following(candidates.facts_for(before), 0, 50), timezone.now())
    assert list(CandidateVerdict.objects.values_list("wave", flat=True)) == [1, 1]


def test_the_next_fifty_follow_with_the_counts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KEPT", 12)
    monkeypatch.setattr(offers, "SPARE", 1)
    scene.waiting(17)
    opening = scene.opening(hours=30)
    scene.look(opening)
    ranks = CandidateVerdict.objects.filter(opening=opening).order_by("rank")
    assert list(ranks.values_list("rank", "wave")) == [(1, 1), (2, 1), (3, 1), (4, 0)]
    assert match_summary.drain(timezone.now() + match_summary.SOON) == 1
    assert list(ranks.values_list("rank", "wave")) == [(1, 1), (2, 1), (3, 1), *((rank, 0) for rank in range(4, 16))]
    assert set(ranks.values_list("eligible", flat=True)) == {True}
    assert MatchSummary.objects.get(opening=opening).counts == {"behind": 2}


# --- night ---
NINE_PM = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)
EIGHT_AM = datetime(2026, 3, 4, 13, 0, tzinfo=UTC)


def test_by_night_waves_wait_for_the_morning_one_after_the_other(scene: Scene) -> None:
    scene.waiting(2)
    scene.clock.move_to(NINE_PM)
    first, second = scene.opening(hours=40), scene.opening(hours=41)
    assert (scene.look(first), scene.look(second)) == (0, 0)
    assert Offer.objects.count() == 0
    mornings = [due(first), due(second)]
    assert all(EIGHT_AM <= at < EIGHT_AM + timedelta(minutes=5) for at in mornings if at)
    assert mornings[0] != mornings[1]


def test_no_opening_starts_so_late_after_the_night_that_its_time_is_over(scene: Scene) -> None:
    """Its cut-off is a minute past eight, and most would start later than that."""
    scene.pass_time(hours=11)  # nine in the evening
    scene.waiting(1)
    found = []
    for _ in range(4):
        opening = scene.opening(hours=12 + 1 / 60)
        scene.look(opening)
        opening.refresh_from_db()
        found.append((opening.check_due_at, opening.start - timedelta(hours=1)))
    assert all(looked_at is not None and looked_at < over for looked_at, over in found)


def test_a_gap_that_ends_at_night_waits_for_the_morning(scene: Scene) -> None:
    scene.waiting(8)
    scene.clock.move_to(NINE_PM - timedelta(hours=1, minutes=2))
    opening = scene.opening(hours=40)
    assert scene.look(opening) == 3
    scene.pass_time(minutes=1)
    assert due(opening) is not None
    assert due(opening) >= EIGHT_AM  # type: ignore[operator]


def test_when_the_cut_off_comes_first_e_mail_goes_at_night_and_texts_do_not(scene: Scene) -> None:
    (both,) = scene.waiting(1)
    (text_only,) = scene.waiting(1, patient_email=None)
    (by_phone,) = scene.waiting(1, patient_consent=())
    scene.clock.move_to(NINE_PM)
    opening = scene.opening(hours=8)
    assert scene.look(opening) == 1
    offer = opening.offers.get()
    assert offer.patient_id == both.patient_id
    assert told(both.patient) == ["offer by email"]
    assert due(opening) == NINE_PM + timedelta(minutes=5), "the next wave waits for no morning either"
    assert Message.objects.get().due_at == NINE_PM
    assert told(text_only.patient) == []
    for asleep in (text_only, by_phone):
        verdict = CandidateVerdict.objects.get(entry=asleep)
        assert (verdict.eligible, verdict.reasons, verdict.wave) == (False, ["quiet"], 0)


def test_by_night_those_who_sleep_do_not_hide_who_reads_e_mail(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "SPARE", 0)
    scene.waiting(5, patient_email=None)
    (reader,) = scene.waiting(1)
    scene.clock.move_to(NINE_PM)
    opening = scene.opening(hours=8)
    assert scene.look(opening) == 1
    assert opening.offers.get().patient_id == reader.patient_id


def test_who_asked_for_it_is_texted_by_night_what_would_be_gone_by_the_morning(scene: Scene) -> None:
    (asked,) = scene.waiting(1, patient_email=None, texts_by_night=True)
    (other,) = scene.waiting(1, patient_email=None)
    scene.clock.move_to(NINE_PM)
    opening = scene.opening(hours=8)
    assert scene.look(opening) == 1
    assert opening.offers.get().patient_id == asked.patient_id
    message = Message.objects.get()
    assert (message.channel, message.due_at, sending.may_send(message, NINE_PM).action) == ("sms", NINE_PM, "send")
    # Taken back before it left; that somebody else wants it so says nothing.
    WaitlistEntry.objects.filter(pk=asked.pk).update(texts_by_night=False)
    WaitlistEntry.objects.filter(pk=other.pk).update(texts_by_night=True)
    assert sending.may_send(message, NINE_PM).action == "wait"

    WaitlistEntry.objects.update(texts_by_night=True)
    later = scene.opening(hours=30)
    assert scene.look(later) == 0, "there is time in the morning"


def test_quiet_hours_are_those_of_the_patient(scene: Scene) -> None:
    (entry,) = scene.waiting(1, patient_time_zone=factories.LOS_ANGELES)  # 7 o'clock there
    opening = scene.opening(hours=30)
    scene.look(opening)
    assert {message.due_at for message in Message.objects.all()} == {MORNING + timedelta(hours=1)}
    offer = opening.offers.get()
    assert offer.expires_at == MORNING + timedelta(hours=25)  # a day from when it can be read
    assert "4:00 PM ET" in Message.objects.get(channel="sms").body  # the place's clock, named
    assert entry.patient_id == offer.patient_id


# --- people who cannot be written to, or must not be by a machine ---
def test_without_text_or_e_mail_staff_call_in_the_same_wave(scene: Scene) -> None:
    (silent,) = scene.waiting(1, patient_consent=())
    (other,) = scene.waiting(1)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 2
    item = WorkItem.objects.get(kind="offer.call")
    offer = Offer.objects.get(patient=silent.patient)
    assert (item.patient_id, item.due_at, item.subject_id) == (silent.patient_id, offer.expires_at, offer.pk)
    assert (told(silent.patient), told(other.patient)) == ([], ["offer by sms", "offer by email"])


def test_calls_wait_for_a_free_person_and_no_wave_waits_for_them(scene: Scene) -> None:
    """Two per clerk, in office hours: whoever is beyond that is passed over for those who can be written to."""
    silent = scene.waiting(12, patient_consent=())
    others = scene.waiting(4)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 4
    calls = WorkItem.objects.filter(kind="offer.call", status="open")
    assert {item.patient_id for item in calls} == {entry.patient_id for entry in silent[:2]}
    assert set(opening.offers.values_list("entry", flat=True)) == {e.pk for e in (*silent[:2], *others[:2])}
    passed = CandidateVerdict.objects.get(opening=opening, entry=silent[2])
    assert (passed.eligible, passed.reasons) == (False, ["no_caller"])
    worklist.finish(calls[0], "ana", "Called.")
    scene.pass_time(minutes=6)
    scene.look(opening)
    assert [item.patient_id for item in calls.order_by("pk")] == [silent[1].patient_id, silent[2].patient_id]


@pytest.mark.parametrize(("kind", "called"), [("claim.chase", 1), ("message.call", 1), ("reply.unclear", 2)])
def test_calls_about_anything_count_and_other_work_does_not(scene: Scene, kind: str, called: int) -> None:
    silent = scene.waiting(3, patient_consent=())
    opening = scene.opening(hours=10)
    worklist.ask_staff(kind, "Call a patient", dedupe_key="other", location=opening.location)
    scene.look(opening)
    calls = WorkItem.objects.filter(kind="offer.call", status="open").order_by("pk")
    assert [item.patient_id for item in calls] == [entry.patient_id for entry in silent[:called]]


def test_after_office_hours_nobody_is_asked_to_call(scene: Scene) -> None:
    (silent,) = scene.waiting(1, patient_consent=())
    (other,) = scene.waiting(1)
    scene.pass_time(hours=8, minutes=30)  # half past six
    opening = scene.opening(hours=30)
    assert scene.look(opening) == 1
    assert told(other.patient) == ["offer by sms", "offer by email"]
    assert not WorkItem.objects.filter(kind="offer.call").exists()
    scene.pass_time(hours=15)
    scene.look(opening)
    assert [item.patient_id for item in WorkItem.objects.filter(kind="offer.call")] == [silent.patient_id]


def test_on_a_closed_day_of_the_location_nobody_is_asked_to_call(scene: Scene) -> None:
    (silent,) = scene.waiting(1, patient_consent=())
    opening = scene.opening(hours=30)
    (holiday,) = closed_days.add(opening.location, [(timezone.localdate(), "Holiday")])
    scene.look(opening)
    assert not WorkItem.objects.filter(kind="offer.call").exists()
    holiday.delete()
    scene.pass_time(minutes=10)
    scene.look(opening)
    assert [item.patient_id for item in WorkItem.objects.filter(kind="offer.call")] == [silent.patient_id]


def test_staff_record_a_yes_on_the_phone(scene: Scene, django_user_model: type) -> None:
    (silent,) = scene.waiting(1, patient_consent=())
    opening = scene.opening(hours=10)
    scene.look(opening)
    user = django_user_model.objects.create_user("ana")
    said = worklist.run_action(WorkItem.objects.get(kind="offer.call"), "yes", user)
    assert said.startswith("Received")
    opening.refresh_from_db()
    claim = opening.claims.get()
    assert (claim.channel, claim.patient_id, claim.state) == ("staff", silent.patient_id, "pending")


def test_a_call_that_nobody_made_counts_as_no_silence(scene: Scene) -> None:
    (silent,) = scene.waiting(1, patient_consent=())
    opening = scene.opening(hours=10)
    scene.look(opening)
    scene.pass_time(hours=9)
    attention.drain()
    silent.refresh_from_db()
    assert (silent.silences, Offer.objects.get().status) == (0, "expired")
    assert WorkItem.objects.get(kind="offer.call").status == "done"


def test_new_patients_are_called_not_written_to(scene: Scene) -> None:
    (new,) = scene.waiting(1, patient_established=False)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 1
    assert told(new.patient) == []
    assert WorkItem.objects.get(kind="offer.call").advice.startswith("This visit needs a word")


def test_one_live_offer_per_patient(scene: Scene) -> None:
    scene.waiting(1)
    first, second = scene.opening(hours=10), scene.opening(hours=12)
    assert (scene.look(first), scene.look(second)) == (1, 0)


def test_the_database_skips_a_patient_with_another_live_offer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two waves in the same moment both find her free; only one of them can store its offer."""
    from waitlist import candidates

    (entry, next_one) = scene.waiting(2)
    factories.offer(scene.opening(hours=50), entry)
    real = candidates.load
    monkeypatch.setattr(
        "waitlist.candidates.load",
        lambda ids, facts: [_free(candidate) for candidate in real(ids, facts)],
    )
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 1
    assert opening.offers.get().patient_id == next_one.patient_id
    assert told(entry.patient) == []


def _free(candidate: object) -> object:
    from dataclasses import replace

    return replace(candidate, has_live_offer=False)  # type: ignore[type-var]


def test_codes_of_one_number_differ(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering.secrets, "choice", min)
    phone = "+12125550177"
    scene.waiting(1, patient_phone=phone, patient_email=None)
    scene.waiting(1, patient_phone=phone, patient_email=None)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 2
    codes = list(opening.offers.values_list("code", flat=True))
    assert len(set(codes)) == 2
    assert all(code.isdigit() and len(code) == 2 for code in codes)


def test_a_code_is_not_given_to_the_same_number_again_for_a_week(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering.secrets, "choice", min)
    codes = []
    for days in (0, 6, 8):
        scene.pass_time(days=days)
        offer = scene.offered(1, patient_phone="+12125550177", patient_email=None)[0]
        codes.append(offer.code)
    # The first one is free again once no late reply can mean it.
    assert codes == ["10", "11", "10"]


def test_the_link_is_unguessable_and_kept_as_a_hash(scene: Scene) -> None:
    from waitlist import links

    scene.waiting(1)
    opening = scene.opening(hours=10)
    scene.look(opening)
    text, email = Message.objects.get(channel="sms").body, Message.objects.get(channel="email").body
    by_text = text.rpartition("/o/")[2].partition("/")[0]
    by_email = email.rpartition("/o/")[2].partition("/")[0]
    found = links.find_offer(by_text)
    assert found is not None
    assert (found.offer, found.asks_birth_year) == (opening.offers.get(), False)
    mailed = links.find_offer(by_email)
    assert mailed is not None
    assert (mailed.offer, mailed.asks_birth_year) == (opening.offers.get(), True)
    assert by_text != by_email
    assert len(base64.urlsafe_b64decode(f"{by_text}==")) * 8 == 128
    assert by_text not in found.offer.token_hash
    assert links.find_offer(found.offer.token_hash) is None
    assert links.find_offer("x" * 32) is None
    assert links.find_offer("") is None


# --- ask first ---
@pytest.fixture
def asking(scene: Scene) -> Scene:
    Bookable.objects.update(mode=Bookable.Mode.ASK_FIRST)
    return scene


def test_ask_first_proposes_and_tells_nobody(asking: Scene) -> None:
    asking.waiting(5)
    opening = asking.opening(hours=10)
    assert asking.look(opening) == 0
    opening.refresh_from_db()
    assert (opening.status, opening.held, opening.waves_sent) == ("checking", "ask_first", 0)
    assert [offer.status for offer in opening.offers.all()] == ["proposed"] * 4
    assert Message.objects.count() == 0
    item = WorkItem.objects.get(kind="opening.ask_first")
    assert item.title == "A freed time waits for your go-ahead: 4 patients would be offered it first"
    assert [action.slug for action in worklist.actions_for(item)] == ["send", "dont"]
    assert openings.take(opening.pk) is None


def test_send_sends_after_a_fresh_look_and_goes_on_by_itself(asking: Scene, django_user_model: type) -> None:
    asking.waiting(5)
    opening = asking.opening(hours=10)
    asking.look(opening)
    asking.pass_time(minutes=3)
    worklist.run_action(WorkItem.objects.get(), "send", django_user_model.objects.create_user("ana"))
    assert Message.objects.count() == 0
    attention.drain()
    assert due(opening) == timezone.now()
    assert asking.look(opening) == 4
    assert [offer.status for offer in opening.offers.all()] == ["sent"] * 4
    assert Message.objects.filter(kind="offer").count() == 8
    assert CandidateVerdict.objects.filter(opening=opening, wave=1).count() == 4
    asking.pass_time(minutes=5)
    assert asking.look(opening) == 1  # the second wave asks nobody


def test_send_sends_nothing_where_the_time_is_held_for_another_reason_by_now(
    asking: Scene, django_user_model: type
) -> None:
    asking.waiting(2)
    opening = asking.opening(hours=10)
    asking.look(opening)
    Opening.objects.filter(pk=opening.pk).update(held=Opening.Held.PROVIDER_DAY)
    said = worklist.run_action(WorkItem.objects.get(), "send", django_user_model.objects.create_user("ana"))
    opening.refresh_from_db()
    assert (said.startswith("Nothing changed: this opening is held"), opening.held) == (True, Opening.Held.PROVIDER_DAY)


def test_dont_closes_and_tells_nobody(asking: Scene, django_user_model: type) -> None:
    asking.waiting(2)
    opening, other = asking.opening(hours=10), asking.opening(hours=50)
    asking.look(opening)
    worklist.run_action(WorkItem.objects.get(), "dont", django_user_model.objects.create_user("ana"))
    assert set(opening.offers.values_list("withdrawn_reason", flat=True)) == {"staff"}
    attention.drain()
    other.refresh_from_db()
    assert other.status != "closed"
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "staff")
    assert ([offer.status for offer in opening.offers.all()], Message.objects.count()) == (["withdrawn"] * 2, 0)
    for button in ("send", "dont"):  # by somebody who had not seen it
        WorkItem.objects.update(status="open")
        said = worklist.run_action(WorkItem.objects.get(), button, django_user_model.objects.get())
        assert said.startswith("Nothing changed: this opening is closed")
    assert (Message.objects.count(), opening.offers.exclude(status="withdrawn").count()) == (0, 0)


def test_send_sends_to_those_only_who_can_still_have_it(asking: Scene, django_user_model: type) -> None:
    paused, restricted, fine = asking.waiting(3)
    opening = asking.opening(hours=10)
    asking.look(opening)
    WaitlistEntry.objects.filter(pk=paused.pk).update(status="paused")
    Patient.objects.filter(pk=restricted.patient_id).update(restricted=True)
    worklist.run_action(WorkItem.objects.get(), "send", django_user_model.objects.create_user("ana"))
    opening.refresh_from_db()
    assert asking.look(opening) == 1
    statuses = dict(opening.offers.values_list("entry", "status"))
    assert statuses == {paused.pk: "withdrawn", restricted.pk: "withdrawn", fine.pk: "sent"}
    assert set(Message.objects.values_list("patient", flat=True)) == {fine.patient_id}


def test_a_proposal_whose_time_has_changed_is_not_sent(asking: Scene, django_user_model: type) -> None:
    asking.waiting(1)
    opening = asking.opening(hours=10, minutes=60)
    asking.look(opening)
    worklist.run_action(WorkItem.objects.get(), "send", django_user_model.objects.create_user("ana"))
    Opening.objects.filter(pk=opening.pk).update(start=opening.start + timedelta(minutes=30))
    opening.refresh_from_db()
    asking.look(opening)
    assert Message.objects.count() == 0
    offer = opening.offers.get()
    assert (offer.status, offer.start) == ("proposed", opening.start), "proposed anew, with the time that is left"


def test_an_undecided_proposal_ends_with_its_opening(asking: Scene) -> None:
    asking.waiting(2)
    opening = asking.opening(hours=10)
    asking.look(opening)
    assert due(opening) == opening.start - timedelta(hours=1)
    asking.pass_time(hours=9)
    asking.look(opening)
    attention.drain()
    opening.refresh_from_db()
    assert opening.status == "closed"
    assert {offer.status for offer in opening.offers.all()} == {"expired"}
    assert (WorkItem.objects.get().status, Message.objects.count()) == ("done", 0)


def test_consent_taken_back_between_proposal_and_send(asking: Scene, django_user_model: type) -> None:
    (entry,) = asking.waiting(1, patient_email=None)
    opening = asking.opening(hours=10)
    asking.look(opening)
    phone = entry.patient.contact_points.get()
    factories.consents(phone, "revoked", channel=Channel.SMS)
    worklist.run_action(WorkItem.objects.get(), "send", django_user_model.objects.create_user("ana"))
    attention.drain()
    assert asking.look(opening) == 1
    assert (Message.objects.count(), WorkItem.objects.filter(kind="offer.call").count()) == (0, 1)
