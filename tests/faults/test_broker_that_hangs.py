"""A broker that accepts connections and says nothing, or refuses them: what arrives is stored and acknowledged."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integrations.models import InboundEvent
from tests.faults.people import Inbox, offer_of, told
from tests.flows import answering
from tests.flows.clinic import Clinic
from tests.flows.phones import all_at_once
from tests.flows.stack import Stack, free_port
from waitlist.models import Claim, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.process]


class WebServerAlone(Stack):
    """A web server as in production, whose workers are elsewhere: here, the test pumps in their place."""

    is_embedded = False  # type: ignore[assignment]


@pytest.fixture
def silent_broker() -> Iterator[int]:
    """A port that takes connections into its queue and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        yield listener.getsockname()[1]


@pytest.fixture(params=["hangs", "is down"])
def web(request: pytest.FixtureRequest, clinic: Clinic, silent_broker: int, tmp_path: Path) -> Iterator[Stack]:
    port = silent_broker if request.param == "hangs" else free_port()
    server = WebServerAlone(tmp_path, CELERY_BROKER_URL=f"redis://127.0.0.1:{port}/0")
    try:
        server.start_web()
        yield server
    finally:
        server.stop()


def test_notifications_and_answers_are_stored_and_acknowledged(
    clinic: Clinic, web: Stack, pump: Callable[[], None]
) -> None:
    clinic.subscribe(web.url)
    clinic.cancel(1)
    clinic.cancel(2)
    Inbox(clinic).wait_until_all_arrived(2)  # "delivered" is a 2xx within the EHR's ten seconds
    assert {each["attempts"] for each in Inbox(clinic).notifications()} == {1}
    assert InboundEvent.objects.filter(via="webhook", status="received").count() == 2

    pump()
    calls = [answering.text(offer_of(clinic, 1), f"YES {offer_of(clinic, 1).code}"), answering.tap(offer_of(clinic, 2))]
    assert max(all_at_once(web.url, calls)) < 400
    assert Reply.objects.count() == 1
    assert Claim.objects.count() == 1

    pump()  # the broker is back: nothing was lost
    assert set(Claim.objects.values_list("state", flat=True)) == {"confirmed"}
    assert "confirmed" in told(clinic, 1) + told(clinic, 2)
