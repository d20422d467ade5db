"""What pays for visits is read from the EHR by one worker while another brings it in line with a plan's new meaning."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection as database
from django.db import connections, transaction

from integrations import mapping, mapping_mirror
from integrations.models import CodeMapping, Connection
from scheduling import coverages
from scheduling.models import Coverage, Plan
from scheduling.records import CoverageRecord
from tests import factories
from tests.race import somebody_waits_for_us, wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def told() -> Coverage:
    """One patient's insurance, as the EHR told it when its code meant plan alpha."""
    if database.vendor != "postgresql":
        pytest.skip("SQLite writes one transaction after the other: nobody meets an unfinished one there")
    alpha, _ = (Plan.objects.create(code=code, name=code) for code in ("alpha", "beta"))
    source, patient = factories.connection().source, factories.patient()
    row = Coverage(source=source, patient=patient, external_id="c-1", code="PPO", plan=alpha)
    row.save()
    return row


def meanwhile(act: Callable[[], object]) -> threading.Thread:
    """Have another worker begin with ``act``, and go on once it stands still before what we hold."""

    def work() -> None:
        try:
            act()
        finally:
            connections.close_all()

    other = threading.Thread(target=work)
    other.start()
    wait_until(somebody_waits_for_us)
    return other


def test_what_the_ehr_says_by_now_is_what_a_plan_is_given_to(told: Coverage) -> None:
    """It says another code: the plan of the old one is not written over the new one's."""

    def give_beta() -> None:
        with transaction.atomic():
            coverages.set_plan(told.source, "", "PPO", "beta")

    with transaction.atomic():
        Coverage.objects.filter(pk=told.pk).update(code="HMO")
        other = meanwhile(give_beta)
    other.join(timeout=30)
    told.refresh_from_db()
    assert told.plan is not None
    assert (told.code, told.plan.code) == ("HMO", "alpha")


def test_what_is_kept_by_the_old_meaning_gets_the_new_one_although_it_was_not_there_yet(told: Coverage) -> None:
    connection = Connection.objects.get()
    mapping.map_code(connection, "plan", "", "PPO", "beta")
    row, another = CodeMapping.objects.get(), factories.patient()
    with transaction.atomic():
        Connection.objects.filter(pk=connection.pk).update(coverage_due_at=None)
        coverages.keep(connection.source, another.pk, [CoverageRecord("c-2", "", code="PPO", plan_target="alpha")])
        other = meanwhile(lambda: mapping_mirror.apply(row.pk))
    other.join(timeout=30)
    assert set(Coverage.objects.values_list("external_id", "plan__code")) == {("c-1", "beta"), ("c-2", "beta")}
