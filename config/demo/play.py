"""Plays one cancellation to its end without a browser, and says how long each hop took."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

import requests
from django.db import close_old_connections
from django.db.models import QuerySet
from django.utils import timezone

from config.demo.control import SandboxControl
from integrations.messaging.console.webhook import HEADER, sign
from integrations.models import Connection, InboundEvent
from scheduling import mirror
from scheduling.models import Appointment, ExternalId, Opening, TimelineEntry
from waitlist.models import Channel, Claim, Message, Offer

#: The promise is two minutes; what takes longer has failed.
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.05

Found = TypeVar("Found")


class DidNotHappen(Exception):
    """A hop of the loop was not reached in time; the text says which."""


class Playthrough:
    """One cancellation, from the EHR's front desk to the new booking in the EHR."""

    def __init__(
        self, connection: Connection, control: SandboxControl, site_url: str, say: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._control = control
        self._site_url = site_url
        self._say = say
        self._started = timezone.now()

    def run(self) -> None:
        """Play it; raises :class:`DidNotHappen` when a hop is missing or the EHR does not hold the new booking."""
        appointment = self._appointment_to_cancel()
        external = mirror.external_value(appointment.source, ExternalId.Kind.APPOINTMENT, appointment.pk)
        self._say(f"The EHR's front desk cancels Appointment/{external}.")
        self._started = timezone.now()
        self._control.post(f"appointments/{external}/cancel", {"reason_code": "pat"})
        opening = self._await("the opening", lambda: Opening.objects.filter(freed_by=appointment).first())
        offer = self._await("an offer by text", lambda: self._offer_by_text(opening))
        self._answer_yes(offer)
        claim = self._await(
            "the confirmed booking",
            lambda: (
                Claim.objects.filter(offer=offer, state=Claim.State.CONFIRMED).select_related("appointment").first()
            ),
        )
        self._await("the confirmation's text", lambda: self._sent(offer, Message.Kind.CONFIRMED))
        booked_as = self._check_ehr(claim)
        self._tell_story(opening)
        seconds = (timezone.now() - self._started).total_seconds()
        self._say(f"The EHR holds Appointment/{booked_as} for the patient who said yes, after {seconds:.1f} s.")

    def _appointment_to_cancel(self) -> Appointment:
        soonest = timezone.now() + timedelta(days=3)
        found = Appointment.objects.filter(
            source=self._connection.source,
            status=Appointment.Status.BOOKED,
            start__gt=soonest,
            appointment_type__code="follow-up",
            provider__bookables__appointment_type__code="follow-up",
        ).order_by("start", "pk")
        appointment = found.first()
        if appointment is None:
            raise DidNotHappen("The sandbox's calendar has no booked follow-up to cancel; start the demo with --fresh.")
        return appointment

    def _offer_by_text(self, opening: Opening) -> Offer | None:
        message = self._message(opening).first()
        return message.offer if message else None

    @staticmethod
    def _message(opening: Opening) -> QuerySet[Message]:
        sent = (Message.Status.SENT, Message.Status.DELIVERED)
        return Message.objects.filter(
            opening=opening, kind=Message.Kind.OFFER, channel=Channel.SMS, status__in=sent
        ).select_related("offer")

    @staticmethod
    def _sent(offer: Offer, kind: str) -> Message | None:
        sent = (Message.Status.SENT, Message.Status.DELIVERED)
        return Message.objects.filter(offer=offer, kind=kind, status__in=sent).first()

    def _answer_yes(self, offer: Offer) -> None:
        text = Message.objects.get(offer=offer, kind=Message.Kind.OFFER, channel=Channel.SMS)
        self._say(f"The first patient's phone shows:\n    {text.body}")
        self._say(f"The patient answers: YES {offer.code}")
        fields = {"MessageSid": f"demo-{offer.pk}-{time.time_ns()}", "From": text.address, "Body": f"YES {offer.code}"}
        body = urlencode(fields).encode()
        headers = {HEADER: sign(body), "Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self._site_url}/webhooks/sms/console/inbound/"
        requests.post(url, data=body, headers=headers, timeout=10).raise_for_status()

    def _check_ehr(self, claim: Claim) -> str:
        """Ask the EHR itself, past everything of ours, whether the patient has the time."""
        appointment = claim.appointment
        external = mirror.external_value(appointment.source, ExternalId.Kind.APPOINTMENT, appointment.pk)
        patient = mirror.external_value(appointment.source, ExternalId.Kind.PATIENT, claim.patient_id)
        found = self._control.get("appointments", _id=external)
        resources = found["appointments"]
        held = [each for each in resources if each["status"] == "booked" and _is_for(each, patient, appointment)]
        if len(held) != 1:
            raise DidNotHappen("The EHR does not hold the new booking.")
        return external

    def _tell_story(self, opening: Opening) -> None:
        event = InboundEvent.objects.filter(received_at__gte=self._started).order_by("received_at").first()
        steps = [(row.at, row.summary) for row in TimelineEntry.objects.filter(opening=opening)]
        if event is not None:
            steps.append((event.received_at, "The EHR's event was stored."))
        before = self._started
        self._say("")
        for at, summary in sorted(steps):
            self._say(f"  {_since(self._started, at):7.2f} s  (+{_since(before, at):5.2f})  {summary}")
            before = at
        self._say("")

    def _await(self, what: str, look: Callable[[], Found | None]) -> Found:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            found = look()
            if found is not None:
                return found
            close_old_connections()
            time.sleep(POLL_SECONDS)
        raise DidNotHappen(f"After {PATIENCE_SECONDS} seconds there is still no sign of {what}.")


def _is_for(resource: dict[str, object], patient: str, appointment: Appointment) -> bool:
    actors = [each.get("actor", {}).get("reference") for each in resource.get("participant", [])]  # type: ignore[attr-defined]
    start = datetime.fromisoformat(str(resource["start"]))
    return f"Patient/{patient}" in actors and start == appointment.start


def _since(start: datetime, at: datetime) -> float:
    return (at - start).total_seconds()
