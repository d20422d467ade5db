"""Shadow: waves are computed and kept, paced as if they went out; nobody is told and nobody can claim."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from scheduling import shadow as gate
from scheduling.models import Bookable, Opening, Source, Writeback
from tests import factories
from tests.waitlist.conftest import Scene, steps
from waitlist import cancellations, claims, entries, messages, offering, shadow
from waitlist.models import Claim, MatchSummary, Message, Offer, ShadowOffer

pytestmark = pytest.mark.django_db


def would_have(opening: Opening) -> list[tuple[int, int]]:
    """Who would have been offered it: wave and patient, in order."""
    rows = opening.shadow_offers.order_by("wave", "rank")
    return list(rows.values_list("wave", "entry__patient_id"))


def test_waves_are_paced_as_if_they_went_out_and_nothing_is(scene: Scene) -> None:
    entries = scene.waiting(6)
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    assert scene.look(opening) == 0
    scene.pass_time(minutes=2)
    scene.look(opening)  # too early: the first wave has its head start
    scene.pass_time(minutes=3)
    scene.look(opening)
    people = [entry.patient_id for entry in entries]
    assert would_have(opening) == [*((1, who) for who in people[:4]), *((2, who) for who in people[4:])]
    assert Opening.objects.get(pk=opening.pk).check_due_at == timezone.now() + timedelta(minutes=5)
    assert (Offer.objects.count(), Message.objects.count(), Opening.objects.get(pk=opening.pk).waves_sent) == (0, 0, 0)
    assert steps(opening) == ["wave.shadow", "wave.shadow"]
    assert {each.way for each in opening.shadow_offers.all()} == {"message"}
    # Why who, as of any wave.
    assert opening.verdicts.filter(entry=entries[0], eligible=True).exists()
    assert MatchSummary.objects.filter(opening=opening).exists()


def test_nobody_is_asked_to_send_what_shadow_computes(scene: Scene) -> None:
    scene.waiting(2)
    Bookable.objects.update(mode="ask_first")
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    scene.look(opening)
    assert len(would_have(opening)) == 2
    assert Opening.objects.get(pk=opening.pk).held == ""
    assert not opening.work_items.exists()


def test_who_would_hold_an_offer_already_is_passed_over(scene: Scene) -> None:
    first, second, third = scene.waiting(3)
    factories.policy(waves=[{"size": 2, "gap_minutes": 5}])
    shadow.begin(scene.source)
    one, other = scene.opening(hours=10), scene.opening(hours=14)
    scene.look(one)
    scene.look(other)
    assert would_have(one) == [(1, first.patient_id), (1, second.patient_id)]
    assert would_have(other) == [(1, third.patient_id)]


def test_who_waits_for_two_kinds_of_visit_is_counted_once(scene: Scene) -> None:
    (first,) = scene.waiting(1)
    other = factories.appointment_type()
    factories.bookable(scene.provider, scene.location, other)
    factories.entry(first.patient, other, joined_at=first.joined_at + timedelta(seconds=1))
    (second,) = scene.waiting(1)
    factories.policy(waves=[{"size": 2, "gap_minutes": 5}])
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    scene.look(opening)
    assert would_have(opening) == [(1, first.patient_id), (1, second.patient_id)]


@pytest.mark.parametrize(
    ("hours_ago", "passed_over"),
    [((23,), True), ((25,), False), ((30, 60), True), ((30, 7 * 24 + 1), False), ((), False)],
)
def test_who_would_have_had_their_fill_of_offers_is_passed_over(
    scene: Scene, hours_ago: tuple[int, ...], passed_over: bool
) -> None:
    factories.policy(offers_per_day=1, offers_per_week=2)
    (entry,) = scene.waiting(1)
    shadow.begin(scene.source)
    for ago in hours_ago:
        over = scene.opening(hours=30, status="closed")
        factories.shadow_offer(over, entry, created_at=timezone.now() - timedelta(hours=ago))
    opening = scene.opening(hours=10)
    scene.look(opening)
    assert would_have(opening) == ([] if passed_over else [(1, entry.patient_id)])


@pytest.mark.parametrize(
    ("status", "hours_ago", "holds"), [("open", 2, True), ("open", 4, False), ("closed", 2, False)]
)
def test_an_offer_is_held_while_it_could_be_answered(scene: Scene, status: str, hours_ago: int, holds: bool) -> None:
    factories.policy(offers_per_day=9, offers_per_week=9, offer_open_hours=3)
    (entry,) = scene.waiting(1)
    shadow.begin(scene.source)
    at = timezone.now() - timedelta(hours=hours_ago)
    factories.shadow_offer(scene.opening(hours=30, status=status), entry, created_at=at)
    opening = scene.opening(hours=10)
    scene.look(opening)
    assert bool(would_have(opening)) is not holds


def test_where_nobody_suits_it_is_said_once_and_looked_at_again(scene: Scene) -> None:
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    for _ in range(2):
        scene.look(opening)
        assert (opening.shadow_offers.count(), steps(opening)) == (0, ["wave.shadow_nobody"])
        due_at = Opening.objects.get(pk=opening.pk).check_due_at
        assert due_at is not None
        assert due_at > timezone.now()
        scene.pass_time(minutes=6)


def test_who_cannot_be_written_to_would_have_been_called(scene: Scene) -> None:
    scene.waiting(1, patient_consent=())
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    scene.look(opening)
    assert [each.way for each in opening.shadow_offers.all()] == ["call"]
    assert not opening.work_items.exists()


def test_who_could_only_be_told_too_late_would_have_been_offered_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.waiting(1)
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    monkeypatch.setattr(offering, "reachable", lambda wave, plan: None)
    scene.look(opening)
    assert would_have(opening) == []


def test_it_does_not_begin_while_a_patient_may_still_say_yes(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    found = shadow.begin(scene.source)
    assert found is not None
    assert found.offers == 1
    scene.source.refresh_from_db()
    assert not scene.source.in_shadow
    assert scene.yes(offer).is_win


def under_way(scene: Scene, source: Source, *, over: bool = False) -> None:
    """An offer, a claim, a write and a message of the source, each under way or over."""
    (entry,) = scene.waiting(1)
    visit = factories.appointment(entry.patient, factories.provider(), scene.location, source=source)
    opening = factories.opening(factories.provider(), scene.location, source=source)
    factories.offer(opening, entry, status="expired" if over else "sent")
    Claim.objects.create(
        opening=opening, patient=entry.patient, entry=entry, appointment=visit, state="released" if over else "pending"
    )
    now = timezone.now()
    status = "done" if over else "waiting"
    Writeback.objects.create(
        kind="create", appointment=visit, source=source, status=status, due_at=now, deadline_at=now
    )
    contact = entry.patient.contact_points.get(system="phone")
    Message.objects.create(
        kind="offer", channel="sms", patient=entry.patient, contact_point=contact, opening=opening, body="An offer.",
        address=contact.value, address_index=contact.address_index, status="sent" if over else "waiting",
        dedupe_key=f"told-{opening.pk}", due_at=now,
    )  # fmt: skip


def test_what_is_under_way_at_another_source_or_over_is_in_nobodys_way(scene: Scene) -> None:
    under_way(scene, factories.source("elsewhere"))
    under_way(scene, scene.source, over=True)
    assert shadow.under_way(scene.source) == shadow.UnderWay(0, 0, 0, 0)
    under_way(scene, scene.source)
    assert shadow.begin(scene.source) == shadow.UnderWay(1, 1, 1, 1)
    scene.source.refresh_from_db()
    assert not scene.source.in_shadow
    for at in range(4):
        assert shadow.UnderWay(*(int(each == at) for each in range(4)))


def test_no_claim_is_won_in_shadow_not_even_by_staff(scene: Scene) -> None:
    (entry,) = scene.waiting(1)
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    result = claims.staff_confirm(
        opening, entry.patient, entry=entry, appointment_type=scene.type, start=opening.start, end=opening.end
    )
    assert result.outcome == claims.Outcome.HELD
    assert (Claim.objects.count(), Writeback.objects.count()) == (0, 0)
    assert Opening.objects.get(pk=opening.pk).status == "open"


@pytest.mark.parametrize("proposed", [True, False])
def test_a_shadow_run_that_begins_while_a_wave_is_made_stops_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, proposed: bool
) -> None:
    scene.waiting(2)
    opening = scene.opening(hours=10)
    if proposed:
        Bookable.objects.update(mode="ask_first")
        scene.look(opening)
        Opening.objects.update(held="")
    reachable = offering.reachable

    def and_it_begins(*args: Any) -> Any:
        type(scene.source).objects.update(shadow_since=timezone.now())
        return reachable(*args)

    monkeypatch.setattr(offering, "reachable", and_it_begins)
    assert scene.look(opening) == 0
    assert not Offer.objects.filter(status="sent").exists()
    assert Message.objects.count() == 0


def test_an_offer_that_slipped_through_neither_leaves_nor_wins(scene: Scene) -> None:
    scene.waiting(1)
    opening = scene.opening(hours=10)
    scene.look(opening)  # a wave at the very moment at which the shadow run begins
    type(scene.source).objects.update(shadow_since=timezone.now())
    (text, _) = Message.objects.order_by("channel").reverse()
    assert messages.may_send(text).action == "wait"
    assert scene.yes(Offer.objects.get()).outcome == claims.Outcome.HELD
    assert Writeback.objects.count() == 0


def test_at_its_end_what_is_still_free_is_offered(scene: Scene) -> None:
    scene.waiting(1)
    opening = scene.opening(hours=10)
    shadow.begin(scene.source)
    scene.look(opening)
    assert shadow.end(scene.source)
    assert not shadow.end(scene.source)
    logged = LogEntry.objects.get_for_object(scene.source).order_by("pk")
    assert [[*each.changes] for each in logged][-2:] == [["shadow_since", "shadow_until"], ["shadow_until"]]
    assert Opening.objects.get(pk=opening.pk).check_due_at == timezone.now()
    assert scene.look(opening) == 1
    assert ShadowOffer.objects.count() == 1


def test_its_end_takes_up_what_waited_for_it_and_nothing_else(scene: Scene) -> None:
    shadow.begin(scene.source)
    later, elsewhere = timezone.now() + timedelta(hours=1), factories.source("elsewhere")
    openings = {
        "free": scene.opening(source=scene.source),
        "held": scene.opening(source=scene.source, hours=80, held="type"),
        "over": scene.opening(source=scene.source, hours=90, status="closed"),
        "elsewhere": scene.opening(source=elsewhere, hours=100),
    }
    writes = {}
    for name, source, status in (
        ("waiting", scene.source, "waiting"),
        ("by hand", scene.source, "by_hand"),
        ("elsewhere", elsewhere, "waiting"),
    ):
        visit = factories.appointment(factories.patient(), source=source)
        writes[name] = Writeback.objects.create(
            kind="cancel", appointment=visit, source=source, status=status, due_at=later, deadline_at=later
        )
    Opening.objects.update(check_due_at=later)
    assert shadow.end(scene.source)
    now = timezone.now()
    due = Opening.objects.filter(check_due_at=now).values_list("pk", flat=True)
    assert [name for name, row in openings.items() if row.pk in due] == ["free"]
    sent = Writeback.objects.filter(due_at=now).values_list("pk", flat=True)
    assert [name for name, row in writes.items() if row.pk in sent] == ["waiting"]


def test_it_is_of_one_source_and_covers_whom_no_live_one_knows(scene: Scene) -> None:
    live = factories.source("live")
    person, stranger = factories.patient(names=scene.source), factories.patient()
    who = (person.pk, stranger.pk, None)
    assert [gate.covers(each) for each in who] == [False, False, False]
    shadow.begin(scene.source)
    assert (gate.is_on(scene.source.pk), gate.is_on(live.pk)) == (True, False)
    factories.external_id(live, "provider", person, "prov-1")
    assert [gate.covers(each) for each in who] == [True, True, True]
    factories.external_id(live, "patient", person, "pat-1")
    assert [gate.covers(each) for each in who] == [False, True, True]


def test_messages_without_an_opening_wait_only_for_patients_known_to_shadow_alone(scene: Scene) -> None:
    live = factories.source("live")
    ours, both = factories.patient(names=scene.source), factories.patient(names=scene.source)
    factories.external_id(live, "patient", both, "another")
    shadow.begin(scene.source)
    decided = {}
    for person in (ours, both):
        entries.ask(factories.entry(person, scene.type))
        contact = person.contact_points.get(system="phone")
        message = messages.compose(
            Message.Kind.STILL_WANTED,
            messages.Address.of(contact),
            messages.Subject(person, scene.location),
            {"link": "https://example.org/"},
            dedupe_key=f"still:{person.pk}",
        )
        message.save()
        decided[person.pk] = messages.may_send(message).action
    assert decided == {ours.pk: "wait", both.pk: "send"}
    # Who wrote to us is answered, but not by a person.
    for kind, action in ((Message.Kind.HELP, "send"), (Message.Kind.STAFF, "wait")):
        answer = Message.objects.get(patient=ours)
        answer.kind, answer.initiated = kind, False
        assert messages.may_send(answer).action == action


def test_what_a_patient_gives_up_meanwhile_goes_to_staff(scene: Scene) -> None:
    person = factories.patient(names=scene.source)
    visit = scene.booked(person, hours=48, source=scene.source)
    shadow.begin(scene.source)
    cancellations.cancel_by_patient(visit, wants_another=False)
    assert Writeback.objects.get().status == Writeback.Status.BY_HAND


def test_a_time_that_would_have_been_offered_does_not_end_as_one_nobody_could_take(scene: Scene) -> None:
    scene.waiting(1)
    opening = scene.opening(hours=2)
    shadow.begin(scene.source)
    scene.look(opening)
    scene.pass_time(hours=1, minutes=1)
    scene.look(opening)
    assert Opening.objects.get(pk=opening.pk).closed_reason == "cut_off"
