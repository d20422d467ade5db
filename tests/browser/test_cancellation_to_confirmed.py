"""A cancellation in the EHR, a text to a patient, taps on a phone, a booking in the EHR: nothing in between is played.

The EHR and the carrier are processes of their own, the product is its web server, worker and beat, and the phone is
Chromium without scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from scheduling.models import Opening
from tests.browser.conftest import WIDTHS, keep_picture
from tests.flows.answering import LINK
from tests.flows.clinic import Clinic
from tests.flows.conftest import clinic, sandbox, stack
from tests.flows.outside import Outside, reached_by
from tests.flows.stack import Stack, wait_for

__all__ = ["clinic", "sandbox", "stack"]

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.django_db(transaction=True)]
PHONE = 390
#: Milliseconds for what needs workers and the EHR.
PATIENCE = 60_000


@pytest.fixture
def outside(stack: Stack) -> Iterator[Outside]:
    """The carrier and the mail server of the stack."""
    with reached_by(stack) as places:
        yield places


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    """A browser as narrow as a phone that runs no scripts."""
    context = chromium.new_context(
        viewport={"width": PHONE, "height": WIDTHS[PHONE]}, java_script_enabled=False, has_touch=True
    )
    yield context.new_page()
    context.close()


def test_a_patient_taps_yes_and_has_the_appointment(
    clinic: Clinic, stack: Stack, outside: Outside, phone: Page
) -> None:
    stack.start()
    clinic.subscribe(stack.url)
    number = clinic.patient("waiting-1").contact_points.get(system="phone").value
    clinic.cancel(1)
    (text,) = wait_for(lambda: outside.texts(number), "the text with the offer")
    link = LINK.search(text)
    assert link is not None

    clinic.fault("slow", path="Slot", count=None)  # the EHR takes its time, so that there is something to wait for
    phone.goto(link.group())
    expect(phone.locator("h1")).to_have_text("Do you want this appointment?")
    phone.get_by_role("button", name="Yes, I'll take it").tap()
    expect(phone.locator("h1")).to_have_text("We have your answer. It is not confirmed yet.")
    keep_picture(phone, "flow-received-390-light")
    reference = phone.locator(".reference").inner_text()
    assert clinic.bookings_at(0) == []

    clinic.heal()
    # Nobody presses anything: the page looks again by itself.
    expect(phone.locator("h1")).to_have_text("You have this appointment", timeout=PATIENCE)
    keep_picture(phone, "flow-confirmed-390-light")
    (booked,) = clinic.bookings_at(0)
    assert clinic.patient_of(booked) == "waiting-1"
    assert clinic.creates() == 1
    texts = wait_for(lambda: found if len(found := outside.texts(number)) == 3 else None, "the confirming text")
    assert re.findall(r"\b[A-Z0-9]{6}\b", texts[2]).count(reference) == 1
    assert Opening.objects.get().status == "filled"
