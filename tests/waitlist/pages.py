"""A patient's way to their page, and every state the page can be in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from scheduling.models import Appointment, Opening, Patient, Writeback
from scheduling.openings import close, hold
from tests import factories
from tests.waitlist.conftest import Scene
from waitlist import claims
from waitlist.cancellations import cancel_by_patient
from waitlist.models import Message, Offer
from waitlist.settlement import release
from waitlist.withdrawal import withdraw

LINK = re.compile(r"(/o/[A-Za-z0-9_-]+/)")
HEADING = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)


@pytest.fixture(autouse=True)
def nobody_has_guessed() -> Iterator[None]:
    """Guesses are counted in the cache, which outlives a test."""
    cache.clear()
    yield
    cache.clear()


def link_of(offer: Offer, channel: str = "sms") -> str:
    """The path of the link that the patient was sent."""
    body = Message.objects.filter(offer=offer, kind="offer", channel=channel).latest("pk").body
    found = LINK.search(body)
    assert found, "the offer's message has no link"
    return found[1]


def heading(response: Any) -> str:
    """The one heading of the first level on a page."""
    headings = HEADING.findall(response.content.decode())
    assert len(headings) == 1
    return str(headings[0])


def text(response: Any) -> str:
    """What a page says, without its tags, entities as they are written."""
    body = response.content.decode().partition("<main>")[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def rows() -> dict[str, list[Any]]:
    """Every row of the product but the access log, which is to grow."""
    ours = ("waitlist", "scheduling", "integrations", "auditlog")
    return {
        model._meta.label: list(model._base_manager.order_by("pk").values())
        for model in apps.get_models()
        if model._meta.app_label in ours
    }


def say(offer: Offer, answer: str, channel: str = "sms", **fields: str) -> Any:
    """Press a button on the offer's page, in a browser without cookies that checks forgery protection."""
    return Client(enforce_csrf_checks=True).post(link_of(offer, channel), {"answer": answer, **fields})


def question(scene: Scene) -> Offer:
    return scene.offered(1)[0]


def received(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    scene.yes(offer)
    return offer


def confirmed(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    scene.answer(_won(scene, offer))
    return offer


def refused(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    scene.answer(_won(scene, offer), "refused", taken=True)
    return offer


def refused_and_open_again(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    scene.answer(_won(scene, offer), "refused")
    return offer


def canceled(scene: Scene) -> Offer:
    offer = confirmed(scene)
    Appointment.objects.filter(origin="waitlist").update(status="cancelled")
    return offer


def booked(scene: Scene) -> Offer:
    """Confirmed, with the rows as the outbox leaves them."""
    offer = confirmed(scene)
    Appointment.objects.filter(claim__offer=offer).update(status="booked")
    Writeback.objects.filter(appointment__claim__offer=offer).update(status="done")
    return offer


def canceling(scene: Scene) -> Offer:
    offer = booked(scene)
    cancel_by_patient(Appointment.objects.get(claim__offer=offer), wants_another=False)
    return offer


def released(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    assert release(_won(scene, offer), "patient")
    return offer


def first(scene: Scene) -> Offer:
    late, quick = scene.offered(2)
    scene.yes(quick)
    return late


def too_late(scene: Scene) -> Offer:
    late, quick = scene.offered(2)
    scene.yes(quick)
    scene.yes(late)
    return late


def filled(scene: Scene) -> Offer:
    late, quick = scene.offered(2)
    scene.answer(_won(scene, quick))
    return late


def booked_in_the_ehr(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    close(offer.opening, Opening.Closed.TAKEN)
    return offer


def declined(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    assert claims.decline(Offer.objects.get(pk=offer.pk), "link")
    return offer


def declined_and_gone(scene: Scene) -> Offer:
    other, quick = scene.offered(2)
    assert claims.decline(Offer.objects.get(pk=other.pk), "link")
    scene.answer(_won(scene, quick))
    return other


def expired(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    Offer.objects.filter(pk=offer.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    return offer


def withdrawn(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    Offer.objects.filter(pk=offer.pk).update(status="withdrawn")
    return offer


def withdrawn_and_held(scene: Scene) -> Offer:
    """Its patient was told that it ended; staff decide about the time."""
    offer = scene.offered(1)[0]
    hold(offer.opening, Opening.Held.TYPE)
    withdraw(offer.opening, "held")
    offer.refresh_from_db()
    return offer


def closed(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    close(offer.opening, Opening.Closed.RESTORED)
    return offer


def changed(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    Opening.objects.filter(pk=offer.opening_id).update(start=offer.start + timedelta(minutes=15))
    return offer


def held(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    hold(offer.opening, Opening.Held.PROVIDER_DAY)
    return offer


def overlaps(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    factories.appointment(offer.patient, factories.provider(), scene.location, scene.type, start=offer.start)
    return offer


def provider_is_taken(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    factories.appointment(factories.patient(), scene.provider, scene.location, scene.type, start=offer.start)
    return offer


def call(scene: Scene) -> Offer:
    offer = scene.offered(1)[0]
    Patient.objects.filter(pk=offer.patient_id).update(restricted=True)
    return offer


def _won(scene: Scene, offer: Offer) -> Any:
    claim = scene.yes(offer).claim
    assert claim is not None
    return claim


#: How a page comes about, and its heading in both languages.
STATES: list[tuple[Callable[[Scene], Offer], str, str]] = [
    (question, "Do you want this appointment?", "¿Quiere esta cita?"),
    (
        received,
        "We have your answer. It is not confirmed yet.",
        "Recibimos su respuesta. La cita todavía no está confirmada.",
    ),
    (confirmed, "You have this appointment", "Esta cita es suya"),
    (refused, "We could not book this time for you", "No pudimos reservarle esta cita"),
    (refused_and_open_again, "We could not book this time for you", "No pudimos reservarle esta cita"),
    (canceled, "You do not have this appointment any more", "Usted ya no tiene esta cita"),
    (
        canceling,
        "You asked us to cancel. It is not canceled yet.",
        "Usted pidió cancelar. La cita todavía no está cancelada.",
    ),
    (released, "You do not have this appointment any more", "Usted ya no tiene esta cita"),
    (first, "Someone answered first", "Otra persona respondió antes"),
    (too_late, "Someone answered first", "Otra persona respondió antes"),
    (provider_is_taken, "Someone answered first", "Otra persona respondió antes"),
    (filled, "Someone else has this time", "Otra persona tiene esta cita"),
    (booked_in_the_ehr, "Someone else has this time", "Otra persona tiene esta cita"),
    (declined, "You said no to this time", "Usted dijo que no a esta cita"),
    (declined_and_gone, "You said no to this time", "Usted dijo que no a esta cita"),
    (expired, "This offer has ended", "Esta oferta ya terminó"),
    (withdrawn, "This time is no longer offered", "Esta cita ya no se ofrece"),
    (withdrawn_and_held, "This time is no longer offered", "Esta cita ya no se ofrece"),
    (closed, "This time is no longer offered", "Esta cita ya no se ofrece"),
    (changed, "This time has changed", "Este horario cambió"),
    (held, "We must check this time first", "Antes tenemos que revisar esta cita"),
    (overlaps, "You already have an appointment at this time", "Usted ya tiene una cita a esta hora"),
    (call, "Please call us about this time", "Llámenos, por favor, por esta cita"),
]
