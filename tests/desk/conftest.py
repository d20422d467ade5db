"""Two locations, a practice that works, and three people who sign in: Maria sees all, Dana works at Riverside, Ira
runs the connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from audit.encryption import prefix_tokens
from config.desk.groups import FRONT_DESK, INTEGRATION_ADMIN, keep_groups
from integrations.models import Connection
from scheduling.models import (
    AppointmentType,
    Location,
    LocationAccess,
    Opening,
    Patient,
    PatientSearchToken,
    Provider,
    Source,
)
from tests import factories
from waitlist.models import WaitlistEntry

SignIn = Callable[[str], Client]


@dataclass
class Practice:
    """What every test of the desk starts from. Everything named ``their`` belongs to Lakeview, where Dana is not."""

    source: Source
    connection: Connection
    riverside: Location
    lakeview: Location
    chen: Provider
    followup: AppointmentType
    patient: Patient
    their_patient: Patient

    def opening(self, location: Location | None = None, **fields: Any) -> Opening:
        """Time of Dr. Chen tomorrow, freed at the EHR."""
        start = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
        values = {"start": start, "source": self.source, "correlation_id": "c" * 32, **fields}
        return factories.opening(self.chen, location or self.riverside, **values)

    def entry(self, patient: Patient | None = None, **fields: Any) -> WaitlistEntry:
        """An entry for a follow-up."""
        return factories.entry(patient or self.patient, self.followup, **fields)


@pytest.fixture
def practice(db: None) -> Practice:
    """The practice with one patient at each location."""
    factories.practice(name="Harbor Family Practice")
    source = factories.source("sandbox")
    riverside, lakeview = factories.location(name="Riverside"), factories.location(name="Lakeview")
    chen, followup = factories.provider(name="Dr. Mei Chen"), factories.appointment_type(30, name="Follow-up")
    for place in (riverside, lakeview):
        factories.bookable(chen, place, followup)
    people = (
        factories.patient(given_name="Robin", family_name="Alvarez", locations=[riverside], names=source),
        factories.patient(given_name="Thea", family_name="Elsewhere", locations=[lakeview], names=source),
    )
    for person in people:
        can_be_found(person)
    return Practice(
        source,
        factories.connection("sandbox", source=source, last_event_at=timezone.now(), loaded_at=timezone.now()),
        riverside,
        lakeview,
        chen,
        followup,
        *people,
    )


def can_be_found(person: Patient) -> None:
    """Give a made-up patient the search tokens that one from the EHR gets."""
    tokens = prefix_tokens(f"{person.given_name} {person.preferred_name} {person.family_name}", "patient name")
    PatientSearchToken.objects.bulk_create(PatientSearchToken(patient=person, token=token) for token in tokens)


@pytest.fixture
def people(practice: Practice) -> dict[str, User]:
    """Maria, Dana and Ira."""
    keep_groups()
    maria = User.objects.create_superuser("maria", password="of no use here")
    dana = User.objects.create_user("dana", password="of no use here", is_staff=True)
    dana.groups.add(Group.objects.get(name=FRONT_DESK))
    LocationAccess.objects.create(user=dana, location=practice.riverside)
    ira = User.objects.create_user("ira", password="of no use here", is_staff=True)
    ira.groups.add(Group.objects.get(name=INTEGRATION_ADMIN))
    return {"maria": maria, "dana": dana, "ira": ira}


@pytest.fixture
def sign_in(people: dict[str, User]) -> SignIn:
    """Return a browser in which the person is signed in."""

    def enter(name: str) -> Client:
        client = Client()
        client.force_login(people[name], backend="django.contrib.auth.backends.ModelBackend")
        return client

    return enter


@pytest.fixture
def maria(sign_in: SignIn) -> Client:
    return sign_in("maria")


@pytest.fixture
def dana(sign_in: SignIn) -> Client:
    return sign_in("dana")


@pytest.fixture
def ira(sign_in: SignIn) -> Client:
    return sign_in("ira")
