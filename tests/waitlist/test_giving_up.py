"""A patient gives up an appointment on the page that confirmed it; what follows is told as it becomes true."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from scheduling.models import Appointment, Writeback
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import heading, link_of, nobody_has_guessed, text  # noqa: F401
from waitlist.models import Offer, WaitlistEntry

pytestmark = pytest.mark.django_db


def press(offer: Offer, then: str = "", channel: str = "sms", **fields: str) -> Any:
    """Give the appointment up, in a browser without cookies that checks forgery protection."""
    return Client(enforce_csrf_checks=True).post(f"{link_of(offer, channel)}cancel/", {"then": then, **fields})


def cancels() -> int:
    return Writeback.objects.filter(kind="cancel").count()


@pytest.fixture
def offer(scene: Scene) -> Offer:
    return pages.booked(scene)


def test_it_is_asked_first_and_looking_changes_nothing(offer: Offer, client: Client) -> None:
    page = client.get(link_of(offer))
    assert 'href="cancel/?lang=en"' in page.content.decode()
    before = pages.rows()
    assert heading(client.get(f"{link_of(offer)}cancel/")) == "Cancel this appointment?"
    assert client.head(f"{link_of(offer)}cancel/").status_code == 200
    assert "Choose one of the answers." in text(press(offer))
    assert pages.rows() == before


@pytest.mark.parametrize(("then", "status"), [("another", "waiting"), ("nothing", "booked")])
def test_it_goes_to_the_ehr_and_the_page_says_that_it_is_not_done_yet(
    offer: Offer, client: Client, then: str, status: str
) -> None:
    answer = press(offer, then)
    assert (answer.status_code, answer.headers["Location"]) == (303, link_of(offer))
    page = client.get(link_of(offer))
    assert heading(page) == "You asked us to cancel. It is not canceled yet."
    assert page.headers["Refresh"] == "3"
    assert cancels() == 1
    assert WaitlistEntry.objects.get(pk=offer.entry_id).status == status
    # Pressed again, on another device or by the back button: nothing more.
    assert press(offer, then).status_code == 303
    assert cancels() == 1
    Appointment.objects.filter(origin="waitlist").update(status="cancelled")
    Writeback.objects.filter(kind="cancel").update(status="done")
    assert heading(client.get(link_of(offer))) == "You do not have this appointment any more"


@pytest.mark.parametrize(("then", "status"), [("another", "waiting"), ("nothing", "left")])
def test_a_yes_that_is_not_written_yet_is_taken_back_at_once(
    scene: Scene, client: Client, then: str, status: str
) -> None:
    offer = pages.received(scene)
    press(offer, then)
    assert heading(client.get(link_of(offer))) == "You do not have this appointment any more"
    assert WaitlistEntry.objects.get(pk=offer.entry_id).status == status
    assert cancels() == 0


def test_from_an_e_mail_the_birth_year_is_asked(offer: Offer) -> None:
    assert "Write the year with four digits" in text(press(offer, "nothing", "email"))
    wrong = press(offer, "nothing", "email", birth_year="1899")
    assert "not the year of birth that we know" in text(wrong)
    assert 'name="then" value="nothing" checked' in wrong.content.decode()
    assert cancels() == 0
    born = offer.patient.birth_date
    assert born is not None
    assert press(offer, "nothing", "email", birth_year=str(born.year)).status_code == 303
    assert cancels() == 1


def test_what_has_begun_or_was_never_had_cannot_be_given_up(scene: Scene, client: Client) -> None:
    offer = pages.booked(scene)
    other = scene.offered(1, hours=30)[0]
    assert client.get(f"{link_of(other)}cancel/").status_code == 303
    scene.clock.move_to(offer.start)
    assert "cancel/" not in client.get(link_of(offer)).content.decode()
    assert press(offer, "nothing").status_code == 303
    assert cancels() == 0
    assert client.get("/o/" + "a" * 22 + "/cancel/").status_code == 404
