"""The EHR cancels under a code that nobody mapped: whoever waits is offered nothing, and staff are asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integrations.models import CodeMapping
from scheduling.models import Opening
from tests.faults.people import asked_of_staff, told
from tests.flows.clinic import Clinic
from waitlist.models import Offer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("domain", ["reason", "type"])
def test_nobody_is_offered_the_time_before_a_person_has_said_what_the_code_means(
    clinic: Clinic, poll_and_pump: Callable[[], None], domain: str
) -> None:
    if domain == "type":
        CodeMapping.objects.filter(domain="type").update(state="unmapped", target="")
    clinic.cancel(1, "pat" if domain == "type" else "ZZ-LEGACY-17")
    poll_and_pump()
    assert Opening.objects.get().held == domain
    assert not Offer.objects.exists()
    assert {f"mapping.{domain}", f"opening.{domain}"} <= set(asked_of_staff())
    for number in range(1, 5):
        assert told(clinic, number) == []
