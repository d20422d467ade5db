"""Transactions that read first and write then, from many threads at once: they wait for each other, none fails.

On SQLite such a transaction fails at once, whatever its patience, when another one wrote in between; so every
transaction takes its turn when it begins. On PostgreSQL the same load shows that nothing waits in a circle.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from integrations import tasks
from integrations.models import InboundEvent
from scheduling.models import Provider
from tests.faults.people import offer_of, tap
from tests.flows.clinic import WEBHOOK_SECRET, Clinic
from tests.integrations.ehr.signing import plain
from tests.race import together
from waitlist import tasks as waitlist_tasks
from waitlist.models import Claim

pytestmark = pytest.mark.django_db(transaction=True)

THREADS, ROUNDS = 8, 25


def test_reading_first_and_writing_then(transactional_db: None) -> None:
    row = Provider.objects.create(name="Dr. Ana")

    def count_up(_: int) -> None:
        for _round in range(ROUNDS):
            with transaction.atomic():
                locked = Provider.objects.select_for_update().get(pk=row.pk)
                locked.claim_serial += 1
                locked.save()

    together(THREADS, count_up)
    row.refresh_from_db()
    assert row.claim_serial == THREADS * ROUNDS


def test_webhooks_workers_and_patients_at_once(
    clinic: Clinic, poll_and_pump: Callable[[], None], pump: Callable[[], None]
) -> None:
    clinic.cancel(1)
    poll_and_pump()
    offers = [offer_of(clinic, number) for number in (1, 2)]
    before = InboundEvent.objects.count()

    def notify(number: int) -> None:
        for round_ in range(ROUNDS):
            resource = {"resourceType": "Appointment", "id": f"booking-{number}", "meta": {"versionId": f"x{round_}"}}
            body = json.dumps(resource).encode()
            answer: Any = Client().post(
                "/webhooks/ehr/sandbox/", body, "application/fhir+json", headers=plain(body, WEBHOOK_SECRET)
            )
            assert answer.status_code == 200

    def work() -> None:
        for _round in range(3):
            tasks.drain_inbox()
            waitlist_tasks.drain_attention()
            tasks.drain_checks()
            tasks.drain_messages()

    acts: list[Callable[[], object]] = [
        lambda: notify(2),
        lambda: notify(3),
        work,
        work,
        lambda: tap(offers[0]),
        lambda: tap(offers[1]),
    ]
    together(len(acts), lambda index: acts[index]())
    pump()

    assert InboundEvent.objects.count() == before + 2 * ROUNDS
    assert not InboundEvent.objects.filter(error__contains="Operational").exists()
    assert Claim.objects.get().state == "confirmed"
