"""What a person can do about an opening: it says first who is told what, then does it, and refuses plainly."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from scheduling import openings
from scheduling.contention import DEADLOCK
from scheduling.models import Opening, WorkItem, Writeback
from scheduling.worklist import ask_staff
from tests import factories, race
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of
from waitlist.models import Claim, Message, Offer


def step(opening: Opening, name: str) -> str:
    return f"/admin/openings/{opening.pk}/do/{name}/"


def buttons(client: Client, opening: Opening) -> list[str]:
    return [each.slug for each in client.get(f"/admin/openings/{opening.pk}/").context["steps"]]


def test_hold_and_go_on(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    assert buttons(dana, opening) == ["mine", "hold", "close"]
    assert "nobody can claim it, until you go on" in said(dana, dana.post(step(opening, "hold")))
    opening.refresh_from_db()
    assert opening.held == Opening.Held.PROVIDER_DAY
    assert buttons(dana, opening) == ["mine", "go-on", "close"]
    assert "Going on: the EHR is asked whether the time is still free" in said(dana, dana.post(step(opening, "go-on")))
    opening.refresh_from_db()
    assert opening.held == Opening.Held.NO


def test_mine_is_for_one_and_can_be_given_back(dana: Client, maria: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering")
    assert said(dana, dana.post(step(opening, "mine"))).startswith("Yours for 10 minutes")
    assert said(maria, maria.post(step(opening, "mine"))) == "Nothing changed: dana is filling this time by hand."
    opening.refresh_from_db()
    assert opening.mine_by == "dana"
    assert "give-back" not in buttons(maria, opening)
    before = opening.mine_until
    dana.post(step(opening, "mine"))
    opening.refresh_from_db()
    assert before is not None
    assert opening.mine_until is not None
    assert opening.mine_until > before
    assert said(dana, dana.post(step(opening, "give-back"))).startswith("Given back")
    opening.refresh_from_db()
    assert (opening.mine_by, opening.mine_until) == ("", None)


def test_closing_says_first_who_is_told_and_can_be_undone(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    factories.offer(opening, practice.entry())
    words = text_of(dana.get(step(opening, "close")))
    assert (
        "The opening closes and no more offers go out. 1 patient holds an offer and is told that this time is no "
        "longer free; a late YES gets the same answer." in words
    )
    opening.refresh_from_db()
    assert opening.status == Opening.Status.OFFERING
    assert said(dana, dana.post(step(opening, "close"))).startswith("Closed. As long as the time has not come")
    opening.refresh_from_db()
    assert (opening.status, opening.closed_reason) == ("closed", "staff")
    assert buttons(dana, opening) == ["reopen"]
    assert said(dana, dana.post(step(opening, "reopen"))).startswith("Open again")
    opening.refresh_from_db()
    assert opening.status == Opening.Status.OPEN


def test_time_that_is_in_another_opening_by_now_is_not_opened_twice(dana: Client, practice: Practice) -> None:
    """It was joined with what was freed beside it: two openings of one time would be offered to twice as many."""
    opening = practice.opening()
    openings.close(opening, Opening.Closed.MERGED)
    joined = practice.opening(start=opening.start, end=opening.end + timedelta(minutes=30))
    answer = said(dana, dana.post(step(opening, "reopen")))
    assert answer == (
        "Nothing changed: it was opened again already, its time is in another opening by now, or it is blocked."
    )
    openings.close(joined, Opening.Closed.STAFF)
    assert said(dana, dana.post(step(opening, "reopen"))).startswith("Open again")


def test_a_step_that_came_too_late_changes_nothing(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="filled")
    for name in ("hold", "close", "mine", "send", "release", "reopen"):
        assert said(dana, dana.post(step(opening, name))) == "Nothing changed: this opening is filled now."
    opening.refresh_from_db()
    assert (opening.status, opening.held, opening.mine_by) == ("filled", "", "")


def test_an_unknown_step_is_not_found(dana: Client, practice: Practice) -> None:
    assert dana.post(step(practice.opening(), "explode")).status_code == 404


def test_who_sends_by_hand_is_told_that_it_goes_beyond_the_calls_given_out(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="open", held="ask_first")
    factories.offer(opening, practice.entry(), status="proposed")
    for number in range(2):
        assert "calls wait for staff here" not in text_of(dana.get(step(opening, "send")))
        ask_staff("offer.call", "Call a patient", dedupe_key=f"c{number}", location=practice.riverside)
    words = text_of(dana.get(step(opening, "send")))
    assert "2 calls wait for staff here already; the machine by itself gives out no more than 2." in words
    assert "What you send goes beyond that." in words


def test_proposed_offers_go_out_by_one_button(dana: Client, practice: Practice) -> None:
    opening = practice.opening(held="ask_first")
    factories.offer(opening, practice.entry(), status="proposed")
    ask_staff("opening.ask_first", "Go ahead?", dedupe_key=f"opening.ask_first:{opening.pk}", opening=opening)
    assert buttons(dana, opening) == ["send", "mine", "close"]
    words = text_of(dana.get(step(opening, "send")))
    assert "The EHR is asked once more whether the time is free. Robin Alvarez is offered tomorrow" in words
    assert said(dana, dana.post(step(opening, "send"))).startswith("The offers go out now")
    opening.refresh_from_db()
    assert opening.held == Opening.Held.NO
    assert opening.attention_due_at is not None
    assert WorkItem.objects.get().status == WorkItem.Status.DONE
    assert said(dana, dana.post(step(opening, "send"))) == "Nothing changed: this opening is open now."


def test_somebody_who_may_only_look_finds_no_buttons(ira: Client, people: object, practice: Practice) -> None:
    from scheduling.models import LocationAccess

    LocationAccess.objects.create(user=people["ira"], location=practice.riverside)  # type: ignore[index]
    opening = practice.opening()
    assert buttons(ira, opening) == []
    assert ira.post(step(opening, "close")).status_code == 403
    opening.refresh_from_db()
    assert opening.status == Opening.Status.OPEN


# --- booking for a patient on the phone -----------------------------------------------------------------------------


def choice_of(client: Client, opening: Opening, query: str) -> str:
    key: str = client.get(f"{step(opening, 'confirm')}?{query}").context["choices"][0].key
    return key


def test_booking_says_who_is_told_and_claims(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    entry = practice.entry()
    factories.offer(opening, practice.entry(factories.patient()), rank=1)
    factories.offer(opening, entry, rank=2)  # the patient's own offer is nobody else's
    words = text_of(dana.get(f"{step(opening, 'confirm')}?entry={entry.pk}"))
    assert "Book it for Robin Alvarez Do nothing, go back" in words
    assert "Robin Alvarez gets this time; the EHR is asked to book it now." in words
    assert "Robin Alvarez is told “received, not yet confirmed”, then “confirmed” with a booking reference" in words
    assert "1 other patient holds an offer: once the booking is confirmed they are told the time is filled." in words
    assert not Claim.objects.exists()
    key = choice_of(dana, opening, f"entry={entry.pk}")
    response = dana.post(step(opening, "confirm"), {"entry": entry.pk, "patient": "", "choice": key})
    assert said(dana, response).startswith("Received for tomorrow")
    claim = Claim.objects.get()
    assert (claim.patient, claim.entry, claim.channel, claim.actor) == (practice.patient, entry, "staff", "dana")
    assert Writeback.objects.get().appointment == claim.appointment
    opening.refresh_from_db()
    assert opening.status == Opening.Status.CLAIMED


def test_a_patient_who_is_not_on_the_list_can_be_booked(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    query = f"patient={practice.patient.pk}"
    key = choice_of(dana, opening, query)
    response = dana.post(step(opening, "confirm"), {"patient": practice.patient.pk, "choice": key})
    assert said(dana, response).startswith("Received for")
    assert Claim.objects.get().appointment.appointment_type == practice.followup


def test_a_race_lost_on_the_phone_says_who_has_it(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    other = factories.patient(given_name="Faster", family_name="Finger", locations=[practice.riverside])
    key = choice_of(dana, opening, f"patient={other.pk}")
    dana.post(step(opening, "confirm"), {"patient": other.pk, "choice": key})
    response = dana.post(step(opening, "confirm"), {"patient": practice.patient.pk, "choice": key})
    assert said(dana, response) == "Nothing was booked: this opening is claimed now. Faster Finger has it."
    assert Claim.objects.get().patient == other
    assert not Message.objects.filter(patient=practice.patient).exists()


def test_a_visit_that_does_not_fit_is_not_booked(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    bad = f"{practice.followup.pk}@{(opening.start + timedelta(minutes=20)).isoformat()}"
    for choice in ("", bad, "999@x"):
        response = dana.post(step(opening, "confirm"), {"patient": practice.patient.pk, "choice": choice})
        assert said(dana, response) == "Nothing was booked: choose a kind of visit that fits into this time."
    assert not Claim.objects.exists()
    opening.refresh_from_db()
    assert opening.status == Opening.Status.OPEN


def test_where_nothing_fits_the_page_says_so(dana: Client, practice: Practice) -> None:
    opening = practice.opening(minutes=10)
    words = text_of(dana.get(f"{step(opening, 'confirm')}?patient={practice.patient.pk}"))
    assert "No kind of visit fits into this time with this provider here." in words


def test_choosing_shows_the_line_and_finds_anybody_by_name(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    address = f"/admin/openings/{opening.pk}/choose/"
    assert "Nobody has been ranked for this time yet." in text_of(dana.get(address))
    entry = practice.entry()
    response = dana.post(address, {"query": "rob alv"})
    assert response.status_code == 302
    assert "rob" not in response.url.lower().partition("?q=")[0]  # type: ignore[attr-defined]
    assert response.url.startswith(f"{address}?q=gAAAA")  # type: ignore[attr-defined]
    words = text_of(dana.get(response.url))  # type: ignore[attr-defined]
    assert "Robin Alvarez Jan 1, 1980 Follow-up Book for Follow-up" in words
    page = dana.get(response.url).content.decode()  # type: ignore[attr-defined]
    assert f"do/confirm/?entry={entry.pk}" in page
    assert 'value="rob alv"' in page


@pytest.mark.parametrize("query", ["", "zzz", "Elsewhere"])
def test_nobody_is_found_by_nothing_or_at_another_location(dana: Client, practice: Practice, query: str) -> None:
    response = dana.post(f"/admin/openings/{practice.opening().pk}/choose/", {"query": query})
    words = text_of(dana.get(response.url))  # type: ignore[attr-defined]
    assert ("No patient matches." in words) == bool(query)
    assert "Thea" not in words


# --- a no on the phone, and a claim given back ----------------------------------------------------------------------


def test_a_no_on_the_phone(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    offer = factories.offer(opening, practice.entry())
    words = text_of(dana.get(f"{step(opening, 'decline')}?offer={offer.pk}"))
    assert "Robin Alvarez is not offered this time again; they keep their place on the waitlist." in words
    response = dana.post(step(opening, "decline"), {"offer": offer.pk})
    assert said(dana, response) == "Noted: this patient does not get this time."
    offer.refresh_from_db()
    assert offer.status == Offer.Status.NO
    again = dana.post(step(opening, "decline"), {"offer": offer.pk})
    assert said(dana, again) == "Nothing changed: this offer was answered or had ended before."


def test_an_offer_of_another_opening_is_not_found(dana: Client, practice: Practice) -> None:
    offer = factories.offer(practice.opening(status="offering"), practice.entry())
    other = practice.opening(start=timezone.now() + timedelta(days=3))
    assert dana.post(step(other, "decline"), {"offer": offer.pk}).status_code == 404
    offer.refresh_from_db()
    assert offer.status == Offer.Status.SENT


def test_releasing_a_claim_before_it_is_written(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    key = choice_of(dana, opening, f"patient={practice.patient.pk}")
    dana.post(step(opening, "confirm"), {"patient": practice.patient.pk, "choice": key})
    assert buttons(dana, opening) == ["release"]
    response = dana.post(step(opening, "release"))
    assert said(dana, response) == "Released. The time is offered again after a fresh look at the EHR."
    assert Claim.objects.get().state == Claim.State.RELEASED
    opening.refresh_from_db()
    assert opening.status == Opening.Status.OPEN


def test_a_claim_that_is_being_written_is_not_released(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    key = choice_of(dana, opening, f"patient={practice.patient.pk}")
    dana.post(step(opening, "confirm"), {"patient": practice.patient.pk, "choice": key})
    Writeback.objects.update(status="sending", sent_at=timezone.now())
    message = said(dana, dana.post(step(opening, "release")))
    assert message == (
        "Nothing changed: the EHR may have this booking already. Wait for its answer, then cancel it in the EHR."
    )
    assert Claim.objects.get().state == Claim.State.PENDING


def test_in_shadow_nothing_reaches_out_from_here(dana: Client, practice: Practice) -> None:
    opening, entry = practice.opening(), practice.entry()
    factories.shadow_offer(opening, entry)
    practice.source.shadow_since = timezone.now()
    practice.source.save()
    page = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert "Shadow: below stands who would have been offered this time." in page
    assert "Robin Alvarez wave 1 · Follow-up by text or e-mail" in page
    assert buttons(dana, opening) == ["mine", "hold", "close"]
    answer = dana.post(step(opening, "confirm"), {"entry": entry.pk})
    assert said(dana, answer).startswith("Nothing was done: this EHR is in shadow")
    assert not Claim.objects.exists()


# --- two who press different buttons ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "verb", "held", "rival", "said"),
    [
        ("go-on", "unhold", "reason", {"status": "closed"}, "this opening is closed now."),
        ("go-on", "unhold", "reason", {"held": ""}, "this opening is open now."),
        ("go-on", "unhold", "reason", {"held": "blocked"}, "this opening is held now (a block lies over this day)."),
        ("hold", "hold", "", {"held": "provider_day"}, "this opening is held now (several cancellations of this day"),
        ("close", "close", "", {"status": "claimed"}, "this opening is claimed now."),
        ("mine", "make_mine", "", {"status": "claimed"}, "this opening is claimed now."),
        ("send", "unhold", "ask_first", {"status": "closed"}, "the offers are on their way already, or the opening"),
    ],
)
def test_who_comes_second_changes_nothing_and_is_told_what_is_true(
    dana: Client, practice: Practice, name: str, verb: str, held: str, rival: dict[str, str], said: str
) -> None:
    opening = practice.opening(held=held)
    factories.offer(opening, practice.entry(), status="proposed")
    with race.right_before(f"scheduling.openings.{verb}", lambda: Opening.objects.update(**rival)):
        answer = said_after(dana, opening, name)
    assert answer.startswith(f"Nothing changed: {said}"), answer
    now = Opening.objects.values(*rival).get()
    assert now == rival


def said_after(client: Client, opening: Opening, name: str) -> str:
    return said(client, client.post(step(opening, name)))


def test_what_is_another_clerk_s_by_now_is_not_given_back_for_them(dana: Client, practice: Practice) -> None:
    opening = practice.opening(mine_by="dana", mine_until=timezone.now() + timedelta(minutes=1))
    with race.right_before("scheduling.openings.give_back", lambda: Opening.objects.update(mine_by="maria")):
        assert said_after(dana, opening, "give-back") == "Nothing changed: it is not yours any more."
    assert Opening.objects.get().mine_by == "maria"


def test_giving_back_what_is_held_promises_no_offers(dana: Client, practice: Practice) -> None:
    opening = practice.opening(held="reason", mine_by="dana", mine_until=timezone.now() + timedelta(minutes=1))
    assert said_after(dana, opening, "give-back") == "Given back. Nobody is offered it while it is held."


def test_what_was_closed_while_it_was_held_is_offered_when_it_is_opened_again(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="closed", closed_reason="blocked", held="provider_day")
    assert said_after(dana, opening, "reopen").endswith("then the waitlist is offered it.")
    opening.refresh_from_db()
    assert (opening.status, opening.held) == ("open", "")


def test_don_t_on_a_time_that_a_colleague_has_just_booked_changes_nothing(dana: Client, practice: Practice) -> None:
    opening = practice.opening(held="ask_first")
    offer = factories.offer(opening, practice.entry(), status="proposed")
    key = f"opening.ask_first:{opening.pk}"
    item = ask_staff("opening.ask_first", "Go ahead?", dedupe_key=key, opening=opening, subject=opening)
    Opening.objects.update(status="claimed")
    answer = said(dana, dana.post(f"/admin/scheduling/workitem/{item.pk}/do/dont/"))
    assert answer == "Nothing changed: this opening is claimed now."
    offer.refresh_from_db()
    opening.refresh_from_db()
    assert (offer.status, opening.status) == ("proposed", "claimed")


# --- two at the same thing in the same moment, of whom the database stopped one ---------------------------------------


@pytest.mark.parametrize("came_from", ["http://testserver/admin/openings/{}/?from=today", "https://elsewhere.example/"])
def test_who_was_stopped_is_told_so_and_sees_what_is_true(
    dana: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch, came_from: str
) -> None:
    opening = practice.opening()
    monkeypatch.setattr(openings, "close", Mock(side_effect=race.ended_by_the_database(DEADLOCK)))
    answer = dana.post(step(opening, "close"), headers={"Referer": came_from.format(opening.pk)})
    where = f"/admin/openings/{opening.pk}/?from=today" if "testserver" in came_from else "/admin/"
    assert (answer.status_code, answer["Location"]) == (302, where)
    assert "your step was stopped" in said(dana, answer)


def test_another_fault_of_the_database_is_no_such_thing(
    dana: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openings, "close", Mock(side_effect=race.ended_by_the_database("57014")))
    with pytest.raises(OperationalError):
        dana.post(step(practice.opening(), "close"))
