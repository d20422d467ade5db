"""How many calls a location's staff are asked to make: by who works there now, and what waits for them already."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from scheduling.models import LocationAccess
from scheduling.worklist import ask_staff
from tests import factories
from waitlist import callers
from waitlist.policies import policy_for

pytestmark = pytest.mark.django_db


def test_only_staff_who_work_there_now_count() -> None:
    here, elsewhere = factories.location(), factories.location()
    each = policy_for(here.pk, None).calls_per_clerk
    assert callers.most_calls(here.pk) == each, "somebody will be there"
    for name, place, fields in (
        ("dana", here, {"is_staff": True}),
        ("ira", here, {"is_staff": True}),
        ("maria", elsewhere, {"is_staff": True}),
        ("gone", here, {"is_staff": True, "is_active": False}),
        ("kiosk", here, {}),
    ):
        LocationAccess.objects.create(user=User.objects.create_user(name, **fields), location=place)
    assert callers.most_calls(here.pk) == 2 * each


def test_only_calls_that_wait_there_count() -> None:
    here, elsewhere = factories.location(), factories.location()
    ask_staff("offer.call", "Call", dedupe_key="1", location=here)
    ask_staff("offer.call", "Call", dedupe_key="2", location=elsewhere)
    ask_staff("reply.unclear", "Read", dedupe_key="3", location=here)
    assert callers.waiting_calls(here.pk) == 1
