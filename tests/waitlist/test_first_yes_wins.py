"""The first yes wins and everybody else hears the truth; whatever loses has changed nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from scheduling import closed_days, openings
from scheduling.models import Appointment, Location, Opening, Patient, Provider, WorkItem, Writeback
from tests import factories, race
from tests.waitlist.conftest import MORNING, Scene, steps, told
from waitlist import attention, claims, links, messages, replies
from waitlist.models import Claim, Message, Offer, WaitlistEntry
from waitlist.winning import REFERENCE_ALPHABET

pytestmark = pytest.mark.django_db


def everything() -> dict[str, list[Any]]:
    """What a refused claim must leave as it is."""
    return {
        "openings": list(Opening.objects.order_by("pk").values("status", "start", "end", "check_due_at")),
        "offers": list(Offer.objects.order_by("pk").values("status", "answered_at")),
        "claims": list(Claim.objects.order_by("pk").values("state", "patient")),
        "appointments": list(Appointment.objects.order_by("pk").values("status", "start")),
        "writebacks": list(Writeback.objects.order_by("pk").values("status", "appointment")),
        "messages": list(Message.objects.order_by("pk").values("kind", "status")),
        "serials": list(Provider.objects.order_by("pk").values_list("claim_serial", flat=True)),
    }


def test_a_win_is_a_pending_booking_and_no_more(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=10)
    result = scene.yes(offer)
    claim = result.claim
    assert claim is not None
    assert (result.outcome, result.is_win) == ("won", True)
    assert (claim.state, claim.channel, claim.offer_id, claim.entry_id) == ("pending", "link", offer.pk, offer.entry_id)
    assert claim.chase_at == timezone.now() + timedelta(hours=5)  # half of the time that is left
    appointment = claim.appointment
    assert (appointment.status, appointment.origin) == ("pending", "waitlist")
    assert (appointment.start, appointment.end) == (offer.start, offer.end)
    assert len(appointment.reference or "") == 6
    assert set(appointment.reference or "") <= set(REFERENCE_ALPHABET)
    assert not set(REFERENCE_ALPHABET) & set("0O1IL2Z5S8B"), "said over the phone, these are taken for one another"
    assert Opening.objects.get().status == "claimed"
    assert Writeback.objects.get().status == "waiting"
    received = Message.objects.get(kind="received")
    assert (received.initiated, received.due_at) == (False, timezone.now())
    assert appointment.reference in received.body
    assert not Message.objects.filter(kind__in=("confirmed", "filled")).exists()


def test_a_day_at_most_until_staff_call(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=100)
    claim = scene.yes(offer).claim
    assert claim is not None
    assert claim.chase_at == timezone.now() + timedelta(hours=24)


def test_how_long_an_offer_stands_and_until_when_they_hear_are_the_practice_s_numbers(scene: Scene) -> None:
    factories.policy(location=scene.location, offer_open_hours=6, hear_by_hours=3)
    (offer,) = scene.offered(1, hours=100)
    assert offer.expires_at == timezone.now() + timedelta(hours=6)
    claim = scene.yes(offer).claim
    assert claim is not None
    assert claim.chase_at == timezone.now() + timedelta(hours=3)


def test_a_second_yes_hears_that_somebody_was_first(scene: Scene) -> None:
    first, second = scene.offered(2)
    assert scene.yes(first).outcome == "won"
    before = everything()
    result = scene.yes(second)
    assert (result.outcome, result.claim) == ("taken", None)
    assert not claims.decline(Offer.objects.select_related("opening").get(pk=second.pk), "link"), "answered already"
    after = everything()
    assert after["offers"][1] == {"status": "sent", "answered_at": timezone.now()}
    assert {**after, "offers": 0} == {**before, "offers": 0}
    attention.drain()
    second.refresh_from_db()
    second.entry.refresh_from_db()
    assert (second.status, second.entry.lost_races) == ("too_late", 1)
    assert scene.yes(second).outcome == "taken"
    attention.drain()
    second.entry.refresh_from_db()
    assert second.entry.lost_races == 1


def test_a_double_click_is_one_claim(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    first = scene.yes(offer)
    before = everything()
    second = scene.yes(offer, channel="sms")
    assert (second.outcome, second.claim) == ("already_yours", first.claim)
    assert everything() == before
    assert first.claim is not None
    scene.answer(first.claim)
    again = scene.yes(offer)
    assert (again.outcome, again.claim) == ("already_yours", first.claim)


def test_the_second_device_within_the_same_moment(scene: Scene) -> None:
    """The other click lands between this one's look and its UPDATE."""
    (offer,) = scene.offered(1)
    results: list[claims.ClaimResult] = []
    with race.right_after("waitlist.claims.reason_at_a_glance", lambda: results.append(scene.yes(offer))):
        late = scene.yes(offer)
    assert (results[0].outcome, late.outcome, late.claim) == ("won", "already_yours", results[0].claim)
    assert Claim.objects.count() == 1


def test_another_patient_within_the_same_moment(scene: Scene) -> None:
    first, second = scene.offered(2)
    with race.right_after("waitlist.claims.reason_at_a_glance", lambda: scene.yes(first)):
        late = scene.yes(second)
    assert (late.outcome, late.claim) == ("taken", None)
    assert Claim.objects.get().patient_id == first.patient_id
    second.refresh_from_db()
    assert second.answered_at is not None


def test_after_it_is_filled(scene: Scene) -> None:
    first, second = scene.offered(2)
    claim = scene.yes(first).claim
    assert claim is not None
    scene.answer(claim)
    before = everything()
    assert scene.yes(second).outcome == "filled"
    assert everything() == before


def test_after_it_expired(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=10)
    scene.pass_time(hours=9)
    before = everything()
    assert scene.yes(offer).outcome == "expired"
    assert everything() == before
    attention.drain()
    before = everything()
    assert scene.yes(offer).outcome == "expired"
    assert everything() == before


def test_expired_between_the_look_and_the_update(scene: Scene) -> None:
    (offer,) = scene.offered(1)

    def run_out() -> None:
        Offer.objects.filter(pk=offer.pk).update(status="expired")

    with race.right_after("waitlist.claims.reason_at_a_glance", run_out):
        assert not scene.yes(offer).is_win
    assert (Opening.objects.get().status, Claim.objects.count(), Appointment.objects.count()) == ("offering", 0, 0)


def test_after_it_was_withdrawn(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    openings.close(offer.opening, Opening.Closed.STAFF)
    attention.drain()
    before = everything()
    assert scene.yes(offer).outcome == "withdrawn"
    assert everything() == before


def test_booked_in_the_ehr_by_somebody_else(scene: Scene) -> None:
    """39: the EHR's own booking closes the opening; the live offers are withdrawn by themselves."""
    offer, quick = scene.offered(2)
    other = factories.patient()
    booked = scene.booked(other, hours=10)
    openings.give_way(scene.provider.pk, openings.interval_of(offer.opening), booked)
    assert scene.yes(quick).outcome == "filled"  # before anybody took the offers back
    attention.drain()
    offer.refresh_from_db()
    quick.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason, quick.status) == ("withdrawn", "taken", "too_late")
    assert told(offer.patient) == ["offer by sms", "offer by email", "filled by sms", "filled by email"]
    assert Claim.objects.count() == 0


def test_booked_in_the_ehr_but_not_noticed_on_the_opening(scene: Scene) -> None:
    """The provider's calendar is compared under the provider's lock, whatever the opening says."""
    (offer,) = scene.offered(1)
    scene.booked(factories.patient(), hours=10)
    before = everything()
    assert scene.yes(offer).outcome == "filled"
    after = everything()
    assert (after["claims"], after["appointments"], after["writebacks"], after["serials"]) == (
        before["claims"],
        before["appointments"],
        before["writebacks"],
        before["serials"],
    )
    assert Opening.objects.get().status == "offering"
    assert Opening.objects.get().check_due_at == timezone.now()  # looked at again at once


def test_the_time_was_moved(scene: Scene) -> None:
    """42: the slot moves between offer and claim."""
    (offer,) = scene.offered(1)
    opening = offer.opening
    Opening.objects.filter(pk=opening.pk).update(start=opening.start + timedelta(minutes=10))
    before = everything()
    assert scene.yes(offer).outcome == "changed"
    assert everything() == before
    openings.request_attention(opening.pk)
    attention.drain()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "changed")
    assert told(offer.patient)[2:] == ["withdrawn by sms", "withdrawn by email"]


def test_moved_between_the_look_and_the_update(scene: Scene) -> None:
    (offer,) = scene.offered(1)

    def move() -> None:
        Opening.objects.update(end=offer.end - timedelta(minutes=5))

    with race.right_after("waitlist.claims.reason_at_a_glance", move):
        assert scene.yes(offer).outcome == "changed"
    assert (Opening.objects.get().status, Claim.objects.count()) == ("offering", 0)


def test_two_overlapping_times_of_one_patient(scene: Scene) -> None:
    """31: the second is refused and stays as it was."""
    (offer,) = scene.offered(1)
    other_provider = factories.provider()
    factories.bookable(other_provider, scene.location, scene.type)
    other = factories.opening(other_provider, scene.location, start=offer.start + timedelta(minutes=15))
    assert scene.yes(offer).outcome == "won"
    before = everything()
    result = claims.claim(
        other,
        offer.patient,
        channel="staff",
        appointment_type=scene.type,
        start=other.start,
        end=other.end,
    )
    assert result.outcome == "overlaps"
    assert everything() == before


def test_what_others_have_at_that_time_and_what_was_cancelled_stands_in_nobodys_way(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    beside = factories.provider()
    factories.appointment(factories.patient(), beside, scene.location, scene.type, start=offer.start)
    for provider in (beside, scene.provider):
        factories.appointment(
            offer.patient, provider, scene.location, scene.type, start=offer.start, status="cancelled"
        )
    assert scene.yes(offer).outcome == "won"


def test_two_overlapping_openings_of_one_provider(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    beside = scene.opening(hours=10.25)
    assert scene.yes(offer).outcome == "won"
    someone = factories.patient()
    result = claims.claim(
        beside, someone, channel="staff", appointment_type=scene.type, start=beside.start, end=beside.end
    )
    assert result.outcome == "filled"
    assert Claim.objects.count() == 1


def test_a_held_opening_is_not_the_patients_to_take(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    openings.hold(offer.opening, Opening.Held.PROVIDER_DAY)
    before = everything()
    assert scene.yes(offer).outcome == "held"
    assert everything() == before
    with race.right_after("waitlist.claims.reason_at_a_glance", lambda: None):
        assert claims.staff_confirm(offer.opening, offer.patient).outcome == "won"


def test_held_between_the_look_and_the_update(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    with race.right_after(
        "waitlist.claims.reason_at_a_glance", lambda: openings.hold(offer.opening, Opening.Held.BLOCKED)
    ):
        assert scene.yes(offer).outcome == "held"
    assert (Opening.objects.get().status, Claim.objects.count()) == ("offering", 0)


@pytest.mark.parametrize("change", [{"deceased": True}, {"active": False}, {"restricted": True}])
def test_a_record_closed_between_offer_and_answer(scene: Scene, change: dict[str, bool]) -> None:
    """51: frozen, and to staff."""
    offer, other = scene.offered(2)
    type(offer.patient).objects.filter(pk=offer.patient_id).update(**change)
    assert scene.yes(offer).outcome == "frozen"
    offer.refresh_from_db()
    assert (offer.status, Claim.objects.count(), Opening.objects.get().status) == ("withdrawn", 0, "offering")
    item = WorkItem.objects.get()
    assert (item.kind, item.patient_id) == ("patient.frozen", offer.patient_id)
    assert told(offer.patient) == ["offer by sms", "offer by email"]  # nothing more
    other.refresh_from_db()
    assert other.status == "sent"


@pytest.mark.parametrize("change", [{"deceased": True}, {"active": False}, {"restricted": True}])
def test_closed_between_the_look_and_the_update(scene: Scene, change: dict[str, bool]) -> None:
    (offer,) = scene.offered(1)

    def close() -> None:
        Patient.objects.filter(pk=offer.patient_id).update(**change)

    with race.right_after("waitlist.claims.reason_at_a_glance", close):
        assert scene.yes(offer).outcome == "frozen"
    assert (Opening.objects.get().status, Claim.objects.count()) == ("offering", 0)
    assert WorkItem.objects.get().kind == "patient.frozen"


def test_merged_between_the_look_and_the_update(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    successor = factories.patient()

    def merge() -> None:
        type(successor).objects.filter(pk=offer.patient_id).update(replaced_by=successor)

    with race.right_after("waitlist.claims.reason_at_a_glance", merge):
        assert scene.yes(offer).outcome == "frozen"
    assert (Opening.objects.get().status, Claim.objects.count()) == ("offering", 0)


def test_staff_on_the_phone_and_the_patient_at_once(scene: Scene) -> None:
    """40: one of them wins, the other sees who."""
    first, second = scene.offered(2)
    assert scene.yes(first).outcome == "won"
    result = claims.staff_confirm(second.opening, second.patient)
    assert result.outcome == "taken"
    assert result.claim is not None
    assert (result.claim.patient_id, result.claim.channel) == (first.patient_id, "link")


def test_staff_first_then_the_same_patient_taps_yes(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    first = claims.staff_confirm(offer.opening, offer.patient)
    assert first.claim is not None
    assert (first.outcome, first.claim.offer_id, first.claim.entry_id) == ("won", offer.pk, offer.entry_id)
    second = scene.yes(offer)
    assert (second.outcome, second.claim) == ("already_yours", first.claim)


def test_staff_take_it_for_somebody_who_was_not_offered_it(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    (entry,) = scene.waiting(1)
    opening = offer.opening
    result = claims.staff_confirm(
        opening, entry.patient, appointment_type=scene.type, start=opening.start, end=opening.end
    )
    assert result.claim is not None
    assert (result.claim.entry_id, result.claim.offer_id, result.claim.channel) == (entry.pk, None, "staff")


def test_staff_take_a_time_for_somebody_who_was_offered_another(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    other = scene.opening(hours=34)
    result = claims.staff_confirm(other, offer.patient, appointment_type=scene.type, start=other.start, end=other.end)
    assert result.claim is not None
    assert (result.claim.opening_id, result.claim.offer_id, result.claim.entry_id) == (other.pk, None, offer.entry_id)
    assert result.claim.appointment.start == other.start
    offer.refresh_from_db()
    assert offer.status == "sent"


def test_staff_may_take_a_free_time_for_somebody_whose_offer_has_run_out(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    Offer.objects.filter(pk=offer.pk).update(expires_at=timezone.now())
    assert scene.yes(offer).outcome == "expired"
    assert claims.staff_confirm(offer.opening, offer.patient).outcome == "won"


def test_no_then_yes_while_it_is_free(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    assert claims.decline(Offer.objects.select_related("opening").get(pk=offer.pk), "link")
    assert not claims.decline(Offer.objects.select_related("opening").get(pk=offer.pk), "link")
    assert scene.yes(offer).outcome == "won"


def test_a_short_booking_leaves_the_rest(scene: Scene) -> None:
    scene.waiting(1)
    opening = scene.opening(hours=10, minutes=60)
    scene.look(opening)
    offer = opening.offers.get()
    assert (offer.end - offer.start) == timedelta(minutes=30)
    scene.yes(offer)
    rest = Opening.objects.exclude(pk=opening.pk).get()
    assert (rest.parent_id, rest.start, rest.status) == (opening.pk, offer.end, "open")
    assert (rest.attention_due_at, rest.offers.count()) == (timezone.now(), 0)


def test_a_claim_that_says_nothing_is_refused_loudly(scene: Scene) -> None:
    opening = scene.opening()
    with pytest.raises(ValueError, match="names its type, start and end"):
        claims.claim(opening, factories.patient(), channel="staff")


def test_losing_costs_a_look_and_one_update(scene: Scene, django_assert_num_queries: Any) -> None:
    first, second = scene.offered(2)
    token = Message.objects.get(offer=second, channel="sms").body.rpartition("/o/")[2].partition("/")[0]
    scene.yes(first)
    with django_assert_num_queries(2):
        found = links.find_offer(token)
        assert found is not None
        result = claims.claim(found.offer.opening, found.offer.patient, offer=found.offer, channel="link")
    assert result.outcome == "taken"


# --- many at once, each with a connection of its own ---
def line_up(number: int) -> tuple[Opening, list[Offer]]:
    """An opening and so many patients who hold a live offer of it."""
    location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
    opening = factories.opening(provider, location, start=timezone.now() + timedelta(days=2), status="offering")
    offers = []
    for index in range(number):
        person = factories.patient(phone=f"+1212555{100 + index % 100:04d}", email=None)
        offers.append(factories.offer(opening, factories.entry(person, kind), code=str(10 + index)))
    return opening, offers


def crowd(number: int, texting: int) -> tuple[Opening, list[Offer]]:
    """An opening offered to so many patients, the first ``texting`` of them by text; stored in bulk."""
    location, kind = factories.location(), factories.appointment_type()
    opening = factories.opening(factories.provider(), location, start=timezone.now() + timedelta(days=2))
    Opening.objects.filter(pk=opening.pk).update(status="offering")
    people = Patient.objects.bulk_create([Patient(given_name="Robin", established=True) for _ in range(number)])
    waiting = WaitlistEntry.objects.bulk_create(
        [WaitlistEntry(patient=each, appointment_type=kind, joined_at=timezone.now()) for each in people]
    )
    offers = Offer.objects.bulk_create(
        [
            Offer(
                opening=opening,
                entry=entry,
                patient=entry.patient,
                appointment_type=kind,
                start=opening.start,
                end=opening.end,
                wave=1,
                rank=rank,
                code=str(rank),
                token_hash=f"{rank:064d}",
                expires_at=timezone.now() + timedelta(hours=1),
            )
            for rank, entry in enumerate(waiting, start=1)
        ]
    )
    for offer in offers[:texting]:
        contact = factories.contact(offer.patient, f"+1212555{100 + offer.rank:04d}")
        address = messages.Address.of(contact)
        messages.queue("offer", address, messages.Subject.of(offer), {}, dedupe_key=f"offer:{offer.pk}")
    Message.objects.update(status="sent")
    return opening, offers


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_a_thousand_at_once_by_link_and_text_one_winner() -> None:
    """29: sixteen workers take a thousand answers, one in twenty of them a text."""
    texting, workers = 50, 16
    opening, offers = crowd(1000, texting)

    def say_yes(offer: Offer) -> str:
        row = Offer.objects.select_related("opening", "patient", "appointment_type").get(pk=offer.pk)
        if offer.rank > texting:
            return str(claims.claim(row.opening, row.patient, offer=row, channel="link").outcome)
        reply = replies.receive("sms", f"in-{offer.rank}", row.patient.contact_points.get().value, f"YES {row.code}")
        assert replies.handle(reply.pk)
        reply.refresh_from_db()
        return "won" if reply.outcome == "claimed" else reply.outcome

    outcomes = [
        outcome
        for each in race.together(workers, lambda n: [say_yes(o) for o in offers[n::workers]])
        for outcome in each
    ]
    assert outcomes.count("won") == 1
    assert set(outcomes) <= {"won", "taken", "too_late"}
    assert (len(outcomes), outcomes.count("too_late") >= texting - 1) == (1000, True)
    assert Claim.objects.count() == Appointment.objects.count() == Writeback.objects.count() == 1
    assert Opening.objects.get(pk=opening.pk).status == "claimed"
    assert Offer.objects.filter(status="yes").count() == 1
    assert Offer.objects.filter(status="sent", answered_at__isnull=True).count() == 0
    while attention.drain():
        pass
    assert Offer.objects.filter(status="too_late").count() == 999
    assert WaitlistEntry.objects.filter(lost_races=1).count() == 999


@pytest.mark.django_db(transaction=True)
def test_one_patient_many_devices_one_claim() -> None:
    _, (offer,) = line_up(1)

    def tap(_: int) -> tuple[str, int | None]:
        row = Offer.objects.select_related("opening", "patient", "entry", "appointment_type").get(pk=offer.pk)
        result = claims.claim(row.opening, row.patient, offer=row, channel="link")
        return str(result.outcome), result.claim.pk if result.claim else None

    outcomes = race.together(6, tap)
    assert sorted(outcome for outcome, _ in outcomes) == ["already_yours"] * 5 + ["won"]
    assert {claim for _, claim in outcomes} == {Claim.objects.get().pk}


@pytest.mark.django_db(transaction=True)
def test_one_patient_two_overlapping_openings_at_once() -> None:
    """Different openings and providers: only the patient's row can tell the two claims apart."""
    location, kind, person = factories.location(), factories.appointment_type(), factories.patient()
    start = timezone.now() + timedelta(days=2)
    times = [factories.opening(factories.provider(), location, start=start + timedelta(minutes=10 * n)) for n in (0, 1)]

    def take(index: int) -> str:
        opening = Opening.objects.get(pk=times[index].pk)
        return claims.claim(
            opening, person, channel="staff", appointment_type=kind, start=opening.start, end=opening.end
        ).outcome

    assert sorted(race.together(2, take)) == ["overlaps", "won"]
    assert Claim.objects.count() == 1
    assert sorted(Opening.objects.values_list("status", flat=True)) == ["claimed", "open"]


@pytest.mark.django_db(transaction=True)
def test_one_provider_two_overlapping_openings_at_once() -> None:
    location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
    start = timezone.now() + timedelta(days=2)
    times = [factories.opening(provider, location, start=start + timedelta(minutes=10 * n)) for n in (0, 1)]
    people = [factories.patient(), factories.patient()]

    def take(index: int) -> str:
        opening = Opening.objects.get(pk=times[index].pk)
        return claims.claim(
            opening, people[index], channel="staff", appointment_type=kind, start=opening.start, end=opening.end
        ).outcome

    assert sorted(race.together(2, take)) == ["filled", "won"]
    assert Claim.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_yes_and_no_of_one_patient_at_once_never_wait_for_each_other() -> None:
    for _ in range(3):
        _, (offer,) = line_up(1)

        def act(index: int, pk: int = offer.pk) -> bool:
            row = Offer.objects.select_related("opening", "patient", "entry", "appointment_type").get(pk=pk)
            if index:
                return claims.decline(row, "link")
            return claims.claim(row.opening, row.patient, offer=row, channel="link").is_win

        race.together(2, act)
        offer.refresh_from_db()
        won = Claim.objects.filter(offer=offer).count()
        assert (offer.status, won) in (("yes", 1), ("no", 0))


def test_the_database_itself_allows_one_live_claim(scene: Scene) -> None:
    from django.db import IntegrityError

    first, second = scene.offered(2)
    claim = scene.yes(first).claim
    assert claim is not None
    appointment = scene.booked(second.patient, hours=200)
    with pytest.raises(IntegrityError):
        Claim.objects.create(
            opening=claim.opening, patient=second.patient, appointment=appointment, channel="x", actor="x"
        )


def test_the_scene_is_set_in_office_hours(scene: Scene) -> None:
    assert timezone.now() == MORNING
    assert Location.objects.get().zone.key == "America/New_York"
    assert connection.vendor in ("sqlite", "postgresql")
    assert steps(scene.opening()) == []


@pytest.mark.parametrize(
    ("won_at", "starts_in", "named"),
    [
        (MORNING, 10, "Tue Mar 3, 3:00 PM"),
        (MORNING + timedelta(hours=8), 16, "Wed Mar 4, 8:00 AM"),  # half the time ends at two in the night
        (MORNING + timedelta(days=3, hours=8), 90, "Mon Mar 9, 8:00 AM"),  # a day later is Saturday
        (MORNING + timedelta(hours=8), 13, "Wed Mar 4, 12:30 AM"),  # nobody answers before the visit
    ],
)
def test_who_hears_nothing_is_told_to_call_when_somebody_answers(
    scene: Scene, won_at: datetime, starts_in: float, named: str
) -> None:
    (offer,) = scene.offered(1, hours=(won_at - MORNING) / timedelta(hours=1) + starts_in)
    scene.clock.move_to(won_at)
    Offer.objects.update(expires_at=offer.start)
    claim = scene.yes(offer).claim
    assert claim is not None
    said = Message.objects.get(kind="received").body
    assert f"If you hear nothing by {named}, call" in said
    assert claim.chase_at == won_at + min((offer.start - won_at) / 2, timedelta(hours=24))


def test_nobody_is_told_to_call_on_a_closed_day(scene: Scene) -> None:
    (offer,) = scene.offered(1, hours=90)
    scene.clock.move_to(MORNING + timedelta(hours=8))
    wednesday = timezone.localdate() + timedelta(days=1)
    closed_days.add(offer.opening.location, [(wednesday, "Holiday")])
    Offer.objects.update(expires_at=offer.start)
    scene.yes(offer)
    assert "If you hear nothing by Thu Mar 5, 8:00 AM, call" in Message.objects.get(kind="received").body
