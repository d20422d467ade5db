"""A contact that reached the wrong person: frozen for every channel, listed with what was disclosed, freed again."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from scheduling.models import ContactPoint, WorkItem
from tests import factories
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from waitlist import consent, links, wrong_person
from waitlist.models import Message, Offer, WrongPersonReport

pytestmark = pytest.mark.django_db


def frozen(offer: Offer) -> list[WrongPersonReport]:
    phone = offer.patient.contact_points.get(system="phone")
    return wrong_person.freeze("phone", phone.address_index)


def test_it_lists_what_had_gone_there_and_not_what_was_stopped_or_went_elsewhere(scene: Scene) -> None:
    offer, others = scene.offered(2)
    scene.yes(offer)
    waits = Message.objects.get(kind="received")
    (report,) = frozen(offer)
    others.refresh_from_db()
    assert others.status == "sent"
    assert [(row.kind, row.channel) for row in report.disclosed.all()] == [("offer", "sms")]
    waits.refresh_from_db()
    assert (waits.status, waits.error_code) == ("suppressed", "frozen")
    assert frozen(offer) == []
    assert WrongPersonReport.objects.count() == 1


def test_the_links_that_went_there_are_dead_and_those_that_went_elsewhere_are_not(scene: Scene, client: Client) -> None:
    """Whoever has the number could give the appointment up, or leave the list, in the patient's name."""
    someone = scene.offered(1, hours=30)[0]
    theirs = [pages.link_of(someone), f"/r/{links.make_request_link(someone.entry, timezone.now()).text}/"]
    offer = pages.booked(scene)
    tokens = links.make_request_link(offer.entry, timezone.now())
    by_text, by_mail = pages.link_of(offer), pages.link_of(offer, "email")
    old = [by_text, f"{by_text}cancel/", f"{by_text}calendar.ics", f"{by_text}request/", f"/r/{tokens.text}/"]
    mail = [by_mail, f"/r/{tokens.email}/"]
    assert {client.get(path).status_code for path in (*old, *mail)} == {200}
    scene.pass_time(minutes=1)
    (report,) = frozen(offer)
    assert [client.get(path).status_code for path in old] == [404] * 5
    assert client.post(f"{by_text}cancel/", {"then": "nothing"}).status_code == 404
    assert {client.get(path).status_code for path in (*mail, *theirs)} == {200}
    scene.pass_time(minutes=1)
    assert client.get(f"/r/{links.make_request_link(offer.entry, timezone.now()).text}/").status_code == 200
    assert wrong_person.undo(report, "called them", by="desk")
    assert {client.get(path).status_code for path in (*old, *mail)} == {200}


def test_an_e_mail_that_went_astray_leaves_the_links_of_the_texts(scene: Scene, client: Client) -> None:
    offer = pages.booked(scene)
    tokens = links.make_request_link(offer.entry, timezone.now())
    scene.pass_time(minutes=1)
    mailbox = offer.patient.contact_points.get(system="email")
    assert wrong_person.freeze("email", mailbox.address_index)
    paths = (pages.link_of(offer), f"/r/{tokens.text}/", pages.link_of(offer, "email"), f"/r/{tokens.email}/")
    assert [client.get(path).status_code for path in paths] == [200, 200, 404, 404]


def test_a_text_that_says_so_leaves_the_same_report(scene: Scene) -> None:
    (offer,) = scene.offered(1)
    reply = scene.text(offer.patient, "wrong number")
    report = WrongPersonReport.objects.get()
    assert (report.reply, report.patient, report.disclosed.count()) == (reply, offer.patient, 1)


@pytest.mark.parametrize("words", ["STOP", "wrong number"])
@pytest.mark.parametrize("email", ["robin@example.org", None])
def test_whose_confirmation_was_still_to_be_texted_is_told_otherwise(
    scene: Scene, words: str, email: str | None
) -> None:
    (offer,) = scene.offered(1, patient_email=email)
    claim = scene.yes(offer).claim
    assert claim is not None
    scene.answer(claim)
    Message.objects.filter(kind="confirmed", channel="email").delete()  # as if only the text had been queued
    scene.text(offer.patient, words)
    sent = list(Message.objects.filter(kind="confirmed").order_by("pk").values_list("channel", "status"))
    calls = WorkItem.objects.filter(kind="claim.tell", status="open").count()
    text = ("sms", "suppressed")
    assert (sent, calls) == (([text, ("email", "waiting")], 0) if email else ([text], 1))


def test_what_went_to_everybody_at_a_number_was_disclosed_there_too(scene: Scene) -> None:
    scene.waiting(2, patient_phone="+12125550177", patient_email=None)
    opening = scene.opening(hours=10)
    scene.look(opening)
    scene.deliver()
    one, _ = scene.people
    scene.text(one, "yes")  # asked back: which of the two?
    scene.deliver()
    wrong_person.freeze("phone", one.contact_points.get().address_index)
    report = WrongPersonReport.objects.get(patient=one)
    assert sorted(row.kind for row in report.disclosed.all()) == ["offer", "question"]


def test_an_offer_by_a_call_ends_where_no_other_number_is_left(scene: Scene) -> None:
    scene.waiting(2, patient_email=None, patient_consent=())
    one, other = scene.people
    factories.contact(other, "+12125550190", consent=False, rank=3)
    scene.look(scene.opening(hours=10))
    assert WorkItem.objects.filter(kind="offer.call", status="open").count() == 2
    for person in (one, other):
        wrong_person.freeze("phone", person.contact_points.order_by("rank")[0].address_index)
    open_calls = WorkItem.objects.filter(kind="offer.call", status="open")
    assert [item.patient for item in open_calls] == [other]
    assert Offer.objects.get(patient=one).withdrawn_reason == "wrong_person"


@pytest.mark.parametrize("closed", ["restricted", "frozen"])
def test_nobody_is_called_who_is_restricted_or_whose_only_number_is_frozen(scene: Scene, closed: str) -> None:
    scene.waiting(1, patient_email=None, patient_consent=())
    (person,) = scene.people
    if closed == "frozen":
        wrong_person.freeze("phone", person.contact_points.get().address_index)
    else:
        person.restricted = True
        person.save()
    assert scene.look(scene.opening(hours=10)) == 0
    assert not WorkItem.objects.filter(kind="offer.call").exists()
    assert not Offer.objects.exists()


def test_everybody_who_has_the_number_is_bound_and_only_the_one_is_freed(scene: Scene) -> None:
    one = factories.patient(phone="+12125550177")
    other = factories.patient(phone="+12125550177")
    index = one.contact_points.get(system="phone").address_index
    first, _ = wrong_person.freeze("phone", index)
    wrong_person.ask_to_look(first)
    assert consent.ways(one, first.reported_at.date())[0].system == "email"
    assert wrong_person.undo(first, "They called us from it.", by="dana")
    assert not wrong_person.undo(WrongPersonReport.objects.get(pk=first.pk), "Again.", by="dana")
    states = {row.patient_id: row.state for row in ContactPoint.objects.filter(system="phone")}
    assert states == {one.pk: "usable", other.pk: "frozen"}
    assert WorkItem.objects.get(kind="contact.wrong_person").status == "done"
    one.refresh_from_db()
    assert one.attention_due_at is not None
    again = wrong_person.freeze("phone", index)
    assert [report.patient for report in again] == [one]
