"""Answering on the page: a button posts, the page then says what is true, and nothing done twice counts twice."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AccessRecord
from scheduling.models import Appointment, Opening, Patient, Writeback
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import heading, link_of, nobody_has_guessed, say, text  # noqa: F401
from waitlist import claims
from waitlist.links import find_offer
from waitlist.models import Claim, Offer
from waitlist.pages import limits
from waitlist.pages.late import note_late_yes
from waitlist.withdrawal import end_late

pytestmark = pytest.mark.django_db
RECEIVED = "We have your answer. It is not confirmed yet."


def test_yes_claims_and_leads_back_to_the_page(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    path = link_of(offer)
    answer = say(offer, "yes")
    assert (answer.status_code, answer.headers["Location"], answer.content) == (303, path, b"")
    assert answer.cookies == {}
    claim = Claim.objects.get()
    assert (claim.state, claim.channel, claim.offer_id) == ("pending", "link", offer.pk)
    assert claim.actor == f"patient {offer.patient_id}"
    assert heading(client.get(path)) == RECEIVED
    scene.answer(claim)
    assert heading(client.get(path)) == "You have this appointment"


def test_no_declines_and_leads_back_to_the_page(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    assert say(offer, "no").status_code == 303
    offer.refresh_from_db()
    assert (offer.status, Claim.objects.count()) == ("no", 0)
    assert offer.opening.timeline.get(kind="offer.declined").data["channel"] == "link"
    page = client.get(link_of(offer))
    assert heading(page) == "You said no to this time"
    assert "Nobody has taken this time yet. You can still say yes." in text(page)
    assert 'value="no"' not in page.content.decode()


def test_a_changed_mind_is_heard_while_nobody_has_the_time(scene: Scene, client: Client) -> None:
    offer = pages.declined(scene)
    say(offer, "yes")
    assert Claim.objects.get().offer_id == offer.pk
    assert heading(client.get(link_of(offer))) == RECEIVED


def test_a_double_click_is_one_claim(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    assert [say(offer, "yes").status_code for _ in range(3)] == [303, 303, 303]
    assert (Claim.objects.count(), Appointment.objects.count(), Writeback.objects.count()) == (1, 1, 1)
    assert heading(client.get(link_of(offer))) == RECEIVED


def test_a_second_device_sees_and_does_the_same(scene: Scene) -> None:
    offer = pages.question(scene)
    path = link_of(offer)
    phone, tablet = Client(), Client()
    assert heading(phone.get(path)) == heading(tablet.get(path)) == "Do you want this appointment?"
    phone.post(path, {"answer": "yes"})
    tablet.post(path, {"answer": "yes"})
    assert Claim.objects.count() == 1
    assert phone.get(path).content == tablet.get(path).content
    assert heading(tablet.get(path)) == RECEIVED


def test_the_back_button_and_no_after_yes_take_nothing_back(scene: Scene, client: Client) -> None:
    offer = pages.received(scene)
    before = pages.rows()
    assert say(offer, "no").status_code == 303
    assert pages.rows() == before
    assert heading(client.get(link_of(offer))) == RECEIVED


@pytest.mark.parametrize(
    "state",
    [
        *(pages.filled, pages.booked_in_the_ehr, pages.expired, pages.withdrawn, pages.changed, pages.held),
        *(pages.overlaps, pages.refused, pages.canceled, pages.released, pages.declined_and_gone, pages.call),
    ],
)
def test_a_yes_that_is_too_late_hears_the_truth_and_books_nothing(scene: Scene, client: Client, state: Any) -> None:
    offer = state(scene)
    path = link_of(offer)
    before = client.get(path)
    counts = (Claim.objects.count(), Appointment.objects.count(), Writeback.objects.count())
    status = Opening.objects.get(pk=offer.opening_id).status
    assert say(offer, "yes").status_code == 303
    assert (Claim.objects.count(), Appointment.objects.count(), Writeback.objects.count()) == counts
    assert Opening.objects.get(pk=offer.opening_id).status == status
    assert heading(client.get(path)) == heading(before)


def test_a_second_yes_while_the_booking_is_pending(scene: Scene, client: Client) -> None:
    offer = pages.first(scene)
    say(offer, "yes")
    assert Claim.objects.count() == 1
    page = client.get(link_of(offer))
    assert heading(page) == "Someone answered first"
    assert (
        "This time is being booked for someone else. We will let you know whether it is filled or free again. "
        "Nothing is booked for you. You keep your place on the list." in text(page)
    )


def test_a_late_yes_costs_the_server_one_statement(scene: Scene, client: Client) -> None:
    offer = pages.first(scene)
    path = link_of(offer)
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(path, {"answer": "yes"})
    assert (answer.status_code, answer.content, answer.templates) == (303, b"", [])
    assert len(queries) == 1
    offer.refresh_from_db()
    assert (offer.status, offer.answered_at) == ("sent", timezone.now())
    assert end_late() == 1
    offer.refresh_from_db()
    assert (offer.status, offer.entry.lost_races) == ("too_late", 1)


@pytest.mark.parametrize(("answer", "status"), [("no", "no"), ("not_this_day", "no"), ("", "sent")])
def test_what_comes_late_and_is_no_yes_earns_no_better_place_in_line(scene: Scene, answer: str, status: str) -> None:
    offer = pages.first(scene)
    assert say(offer, answer).status_code == 303
    end_late()
    offer.refresh_from_db()
    assert (offer.status, offer.entry.lost_races) == (status, 0)


@pytest.mark.parametrize("state", [each[0] for each in pages.STATES], ids=lambda state: state.__name__)
def test_the_one_statement_does_what_a_claim_does_or_nothing(scene: Scene, state: Any) -> None:
    offer = state(scene)
    token = link_of(offer).split("/")[2]
    found = find_offer(token)
    assert found is not None
    before = pages.rows()
    noted = note_late_yes(token, timezone.now())
    by_statement = pages.rows()
    if not noted:
        assert by_statement == before
    Offer.objects.filter(pk=offer.pk).update(answered_at=found.offer.answered_at)
    assert pages.rows() == before
    assert noted == (state is pages.first)
    if noted:
        result = claims.claim(found.offer.opening, found.offer.patient, offer=found.offer, channel="link")
        assert (result.outcome, pages.rows()) == ("taken", by_statement)


def test_a_link_from_an_e_mail_never_takes_the_short_way(scene: Scene) -> None:
    offer = pages.first(scene)
    before = pages.rows()
    assert not note_late_yes(link_of(offer, "email").split("/")[2], timezone.now())
    page = say(offer, "yes", "email", birth_year="1999")
    assert (page.status_code, heading(page)) == (200, "Someone answered first")
    assert "Error" not in page.content.decode()
    assert pages.rows() == before


@pytest.mark.parametrize("fields", [{}, {"answer": ""}, {"answer": "YES please"}, {"answer": "cancel"}, {"yes": "1"}])
def test_a_form_without_a_known_answer_changes_nothing(scene: Scene, client: Client, fields: dict[str, str]) -> None:
    path = link_of(pages.question(scene))
    before = pages.rows()
    answer = client.post(path, fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert pages.rows() == before


def test_the_language_is_kept_through_the_answer(scene: Scene, client: Client) -> None:
    path = link_of(pages.question(scene))
    answer = client.post(f"{path}?lang=es", {"answer": "yes"})
    assert answer.headers["Location"] == f"{path}?lang=es"
    assert client.post(f"{path}?lang=xx", {"answer": "yes"}).headers["Location"] == path


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options"])
def test_other_methods_are_refused(scene: Scene, client: Client, method: str) -> None:
    path = link_of(pages.question(scene))
    before = pages.rows()
    assert getattr(client, method)(path).status_code == 405
    assert pages.rows() == before


# --- links from e-mails -----------------------------------------------------------------------------------------------
def test_a_link_from_an_e_mail_asks_for_the_birth_year(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    by_mail = client.get(link_of(offer, "email"))
    assert "What year was the patient born?" in text(by_mail)
    assert "birth_year" not in client.get(link_of(offer)).content.decode()
    assert say(offer, "yes", "email", birth_year=" 1980 ").status_code == 303
    assert Claim.objects.get().offer_id == offer.pk


@pytest.mark.parametrize("answer", ["yes", "no"])
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("1981", "This is not the year of birth that we know. Please check it, or call us."),
        ("", "Write the year with four digits, for example 1980."),
        ("80", "Write the year with four digits, for example 1980."),
        ("19800", "Write the year with four digits, for example 1980."),
        ("١٩٨٠", "Write the year with four digits, for example 1980."),
        ("<b>0", "Write the year with four digits, for example 1980."),
    ],
)
def test_without_the_right_year_nothing_is_answered(scene: Scene, answer: str, typed: str, said: str) -> None:
    offer = pages.question(scene)
    before = pages.rows()
    page = say(offer, answer, "email", birth_year=typed)
    assert page.status_code == 200
    assert pages.rows() == before
    body = page.content.decode()
    assert text(page).startswith(f"There is a problem {said} Nothing is booked or changed. Do you want this")
    assert "<title>Error: Do you want this appointment?" in body
    assert 'aria-describedby="birth_year_hint birth_year_error" aria-invalid="true"' in body
    assert f'value="{typed}"' not in body


def test_five_tries_and_then_only_a_call_helps(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    other = scene.offered(1, hours=20)[0]
    assert other.patient_id != offer.patient_id
    for year in range(1990, 1994):
        assert "This is not the year of birth that we know." in text(say(offer, "yes", "email", birth_year=str(year)))
    say(offer, "yes", "email", birth_year="1994")
    before = pages.rows()
    for page in (client.get(link_of(offer, "email")), say(offer, "yes", "email", birth_year="1980")):
        assert heading(page) == "Please call us about this time"
        assert "Call (212) 555-0101" in text(page)
    assert pages.rows() == before
    assert heading(client.get(link_of(other, "email"))) == "Do you want this appointment?", "another patient's is open"
    # Who has the patient's phone is not kept from answering by who reads their mail.
    assert heading(client.get(link_of(offer))) == "Do you want this appointment?"
    scene.pass_time(hours=25)
    say(offer, "yes")
    assert Claim.objects.count() == 0  # the offer's own time was over by then


def test_the_fifth_try_may_be_the_right_one(scene: Scene) -> None:
    offer = pages.question(scene)
    for year in ("1990", "1991", "1992", "1993", "1980"):
        say(offer, "yes", "email", birth_year=year)
    assert Claim.objects.get().offer_id == offer.pk


def test_typing_slips_are_not_counted_as_tries(scene: Scene) -> None:
    offer = pages.question(scene)
    for _ in range(10):
        say(offer, "yes", "email", birth_year="198")
    say(offer, "yes", "email", birth_year="1980")
    assert Claim.objects.count() == 1


def test_without_a_birth_date_on_record_an_e_mails_link_leads_to_the_phone(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    Patient.objects.filter(pk=offer.patient_id).update(birth_date=None)
    page = client.get(link_of(offer, "email"))
    assert heading(page) == "Please call us about this time"
    say(offer, "yes", "email", birth_year="1980")
    assert Claim.objects.count() == 0


@pytest.mark.parametrize(
    ("state", "head"),
    [
        (pages.confirmed, "You have this appointment"),
        (pages.received, RECEIVED),
        (pages.filled, "Someone else has this time"),
    ],
)
def test_where_no_answer_is_waited_for_an_e_mails_link_tells_what_is_true_though_no_year_can_be_asked(
    scene: Scene, client: Client, state: Any, head: str
) -> None:
    offer = state(scene)
    Patient.objects.filter(pk=offer.patient_id).update(birth_date=None)
    page = client.get(link_of(offer, "email"))
    assert (heading(page), "birth_year" in page.content.decode()) == (head, False)


def test_a_wrong_year_is_on_record(scene: Scene) -> None:
    offer = pages.question(scene)
    say(offer, "yes", "email", birth_year="1999")
    record = AccessRecord.objects.get(action="denied")
    assert (record.subject_kind, record.subject_id, record.result) == ("waitlist.offer", str(offer.pk), "refused")
    assert record.detail == {"birth_year": "wrong"}
    assert record.location_id == scene.location.pk
    assert "1999" not in str(vars(record))


def test_a_broken_cache_leaves_the_phones_link_working(scene: Scene, client: Client, monkeypatch: Any) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionError("the cache is away")

    offer = pages.question(scene)
    monkeypatch.setattr(limits, "cache", Broken())
    assert client.get("/o/" + "x" * 32 + "/").status_code == 404
    assert heading(client.get(link_of(offer, "email"))) == "Do you want this appointment?"
    refused = say(offer, "yes", "email", birth_year="1980")
    assert "We cannot take the year any more today. Please call us." in text(refused)
    assert Claim.objects.count() == 0
    say(offer, "yes")
    assert Claim.objects.count() == 1
    assert Offer.objects.get().status == "yes"
