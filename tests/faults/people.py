"""What patients say and hear, and what the EHR's notifications come to."""

from __future__ import annotations

from typing import Any

from django.test import Client

from scheduling.models import WorkItem
from tests.flows import answering
from tests.flows.clinic import Clinic, unique
from tests.flows.stack import wait_for
from waitlist import replies
from waitlist.models import Message, Offer, Reply


def phone_of(clinic: Clinic, name: str) -> str:
    """The mobile number of ``waiting-1`` and so on."""
    return str(clinic.patient(name).contact_points.get(system="phone").value)


def text(clinic: Clinic, number: int, words: str) -> Reply:
    """``waiting-<number>`` sends a text, which has not been read yet."""
    return replies.receive("sms", unique(), phone_of(clinic, f"waiting-{number}"), words, 0)


def tap(offer: Offer, answer: str = "yes") -> Any:
    """Press a button on the page behind the offer's link and return the page it leads to."""
    path, body, headers = answering.tap(offer, answer)
    client = Client()
    answered = client.post(path, body, content_type=headers["Content-Type"])
    return client.get(answered["Location"])


def look(offer: Offer) -> str:
    """Open the offer's link and return the page."""
    return Client().get(answering.tap(offer)[0]).content.decode()


def offer_of(clinic: Clinic, number: int) -> Offer:
    """The latest offer that ``waiting-<number>`` got."""
    return Offer.objects.filter(patient=clinic.patient(f"waiting-{number}")).latest("pk")


def told(clinic: Clinic, number: int, channel: str = "sms") -> list[str]:
    """Kinds of the messages that reached ``waiting-<number>``, in order."""
    rows = Message.objects.filter(patient=clinic.patient(f"waiting-{number}"), channel=channel).order_by("pk")
    return [row.kind for row in rows if row.status in ("sent", "delivered")]


def asked_of_staff() -> list[str]:
    """Kinds of what is open on the worklist."""
    return sorted(WorkItem.objects.filter(status="open").values_list("kind", flat=True))


class Inbox:
    """What the EHR's notifications came to at our web server."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic

    def notifications(self) -> list[dict[str, Any]]:
        """Every notification of the EHR, oldest first."""
        found: list[dict[str, Any]] = self._clinic.control.get("notifications")["notifications"]
        return found[::-1]

    def wait_until_all_arrived(self, number: int) -> None:
        """Wait until the EHR has sent so many notifications and waits for no answer any more."""

        def is_done() -> bool:
            states = [each["state"] for each in self.notifications()]
            return len(states) == number and set(states) == {"delivered"}

        wait_for(is_done, f"{number} notifications")

    def send_again(self) -> None:
        """Have the EHR send its oldest notification once more, under the same id."""
        self._clinic.control.post(f"notifications/{self.notifications()[0]['number']}/redeliver")
