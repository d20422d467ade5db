"""A thousand patients say yes to one opening at once, by link and by text mixed: one has it, 999 hear the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.test import Client

from integrations.messaging.console.webhook import HEADER, sign
from scheduling.models import Appointment, AppointmentType, Opening, Patient, Writeback
from scheduling.patients import address_index
from tests import factories
from tests.race import together
from waitlist import links
from waitlist import tasks as waitlist_tasks
from waitlist.models import Claim, Message, Offer, Reply, WaitlistEntry

pytestmark = pytest.mark.django_db(transaction=True)

CALLERS, EACH = 16, 63
NUMBER = CALLERS * EACH
assert NUMBER >= 1000


@pytest.fixture
def opening(transactional_db: None) -> Opening:
    cache.clear()
    factories.practice()
    factories.policy(quiet_from="00:00", quiet_until="00:00")
    provider, location = factories.provider(), factories.location()
    kind = factories.appointment_type()
    factories.bookable(provider, location, kind)
    return factories.opening(provider, location, status="offering", waves_sent=1)


@pytest.fixture
def offers(opening: Opening) -> list[tuple[Offer, str, str]]:
    """Each with its link's token and the phone that was written to."""
    kind = AppointmentType.objects.get()
    patients = Patient.objects.bulk_create(
        Patient(given_name="Robin", family_name=f"Sample{number}", established=True) for number in range(NUMBER)
    )
    entries = WaitlistEntry.objects.bulk_create(
        WaitlistEntry(patient=patient, appointment_type=kind, joined_at=opening.created_at, added_by="tests")
        for patient in patients
    )
    made = []
    for number, entry in enumerate(entries):
        tokens = links.make_token()
        made.append((_offer(opening, entry, number, tokens.hash), tokens.text, factories.made_up_phone(number)))
    rows = Offer.objects.bulk_create(offer for offer, _, _ in made)
    Message.objects.bulk_create(_message(offer, phone) for offer, (_, _, phone) in zip(rows, made, strict=True))
    return made


def _offer(opening: Opening, entry: WaitlistEntry, number: int, token_hash: str) -> Offer:
    return Offer(
        opening=opening,
        entry=entry,
        patient=entry.patient,
        appointment_type=entry.appointment_type,
        start=opening.start,
        end=opening.end,
        wave=1,
        rank=number + 1,
        code=f"{number % 90 + 10}",
        token_hash=token_hash,
        expires_at=opening.start,
    )


def _message(offer: Offer, phone: str) -> Message:
    return Message(
        kind="offer",
        channel="sms",
        status="sent",
        patient=offer.patient,
        offer=offer,
        opening=offer.opening,
        address=phone,
        address_index=address_index("phone", phone),
        body="An offer",
        dedupe_key=f"offer:{offer.rank}",
        due_at=offer.opening.created_at,
        sent_at=offer.opening.created_at,
    )


@pytest.mark.process  # a thousand callers take a minute
def test_one_wins(opening: Opening, offers: list[tuple[Offer, str, str]]) -> None:
    def answer(client: Client, number: int) -> int:
        offer, token, phone = offers[number]
        if number % 2:
            return int(
                client.post(f"/o/{token}/", {"answer": "yes"}, REMOTE_ADDR=f"10.0.{number // 250}.1").status_code
            )
        body = urlencode({"MessageSid": f"in-{number}", "From": phone, "Body": f"YES {offer.code}"}).encode()
        return int(
            client.post(
                "/webhooks/sms/console/inbound/",
                body,
                content_type="application/x-www-form-urlencoded",
                headers={HEADER: sign(body)},
            ).status_code
        )

    def caller(index: int) -> list[int]:
        client = Client()
        statuses = []
        for number in range(index, NUMBER, CALLERS):
            statuses.append(answer(client, number))
            if index == 0:
                waitlist_tasks.drain_attention()
        return statuses

    statuses = [status for each in together(CALLERS, caller) for status in each]
    waitlist_tasks.drain_attention()

    assert {status for status in statuses if status >= 400} == set()
    assert len(statuses) == NUMBER
    claim = Claim.objects.get()
    assert Writeback.objects.count() == 1
    assert Appointment.objects.count() == 1
    opening.refresh_from_db()
    assert opening.status == "claimed"
    assert list(Offer.objects.filter(status="yes").values_list("patient", flat=True)) == [claim.patient_id]
    assert Offer.objects.filter(status="too_late").count() == NUMBER - 1
    assert Reply.objects.filter(outcome="new").count() == 0
    by_text = Reply.objects.exclude(patient=claim.patient)
    assert set(by_text.values_list("outcome", flat=True)) == {"too_late"}
    assert by_text.count() in (NUMBER // 2, NUMBER // 2 - 1)


def test_nothing_locks_sqlite_out(opening: Opening, offers: list[tuple[Offer, str, str]]) -> None:
    """Each claim reads before it writes, as each webhook and each drain does; they only ever wait for one another."""
    errors: list[Any] = []

    def work(index: int) -> None:
        try:
            if index % 2:
                for number in range(index, 160, 8):
                    Client().post(f"/o/{offers[number][1]}/", {"answer": "no"})
            else:
                for _ in range(10):
                    waitlist_tasks.drain_attention()
        except Exception as error:
            errors.append(repr(error))

    run: Callable[[int], None] = work
    together(8, run)
    assert errors == []
    assert Offer.objects.filter(status="no").count() == len([n for i in (1, 3, 5, 7) for n in range(i, 160, 8)])
