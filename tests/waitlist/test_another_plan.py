"""Another plan pays for a patient's visits: what rested on the earlier one is judged anew, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from scheduling.models import Coverage, Opening, Plan, WorkItem
from scheduling.worklist import ask_staff
from tests import factories
from tests.waitlist.conftest import Scene
from waitlist import insurance
from waitlist.models import CandidateVerdict, Offer, WaitlistEntry
from waitlist.offering import call_key

pytestmark = pytest.mark.django_db
UNKNOWN = "insurance_unknown"


@pytest.fixture
def acme(scene: Scene) -> Plan:
    """The one plan that the provider takes, for a kind of visit that needs one."""
    scene.type.needs_insurance = True
    scene.type.save()
    plan = Plan.objects.create(code="acme", name="Acme PPO")
    scene.provider.plans.add(plan)
    return plan


def insured(scene: Scene, plan: Plan | None) -> WaitlistEntry:
    entry = scene.waiting()[0]
    Coverage.objects.create(
        patient=entry.patient, source=scene.source, external_id=f"c-{entry.pk}", code="A", plan=plan, position=1
    )
    return entry


def has(entry: WaitlistEntry, plan: Plan | None) -> None:
    """Say that this plan pays for the patient's visits, and look at what rests on it."""
    Coverage.objects.filter(patient=entry.patient).update(plan=plan)
    insurance.look_again(entry.patient, timezone.now())


def another_plan() -> Plan:
    return Plan.objects.get_or_create(code="beta", name="Beta")[0]


def offer_to(scene: Scene, entry: WaitlistEntry, reasons: list[str], **fields: Any) -> Offer:
    """An offer and why it was made."""
    opening = scene.opening()
    CandidateVerdict.objects.create(
        opening=opening, entry=entry, rank=1, eligible=True, reasons=reasons, computed_at=timezone.now()
    )
    return factories.offer(opening, entry, **fields)


def became(offer: Offer) -> tuple[str, str]:
    offer.refresh_from_db()
    return offer.status, offer.withdrawn_reason


def test_only_the_offer_that_the_plan_no_longer_pays_for_is_taken_back(scene: Scene, acme: Plan) -> None:
    entry, other = insured(scene, acme), insured(scene, acme)
    opening = scene.opening(hours=30)
    assert scene.look(opening) == 2
    offers = [opening.offers.get(entry=each) for each in (entry, other)]
    has(entry, another_plan())
    assert [became(each) for each in offers] == [("withdrawn", "insurance"), ("sent", "")]


def test_times_they_were_offered_or_judged_for_are_looked_at_and_no_others(scene: Scene, acme: Plan) -> None:
    entry, other = insured(scene, acme), insured(scene, acme)
    offered, judged, begun, over, others = (scene.opening(hours=hours) for hours in (30, 40, -1, 50, 60))
    factories.offer(offered, entry)
    factories.offer(over, entry, status="expired")
    factories.offer(others, other)
    for opening, whose in ((judged, entry), (begun, entry), (others, other)):
        CandidateVerdict.objects.create(opening=opening, entry=whose, rank=1, eligible=True, computed_at=timezone.now())
    has(entry, another_plan())
    assert set(Opening.objects.filter(attention_due_at__isnull=False)) == {offered, judged}


@pytest.mark.parametrize("how", ["it pays as before", "answered", "needs none any more", "closed", "left the list"])
def test_what_does_not_rest_on_it_or_is_over_is_left_alone(scene: Scene, acme: Plan, how: str) -> None:
    entry = insured(scene, acme)
    offer = offer_to(scene, entry, ["suits"])
    plan = acme if how == "it pays as before" else another_plan()
    if how == "answered":
        Offer.objects.update(answered_at=timezone.now())
    elif how == "needs none any more":
        scene.type.needs_insurance = False
        scene.type.save()
    elif how == "closed":
        Opening.objects.update(status=Opening.Status.CLOSED)
    elif how == "left the list":
        WaitlistEntry.objects.update(status=WaitlistEntry.Status.LEFT)
    has(entry, plan)
    assert became(offer) == ("sent", "")


@pytest.mark.parametrize(("reasons", "left"), [([UNKNOWN], ["suits"]), ([UNKNOWN, "minor"], ["minor"])])
def test_a_proposal_for_want_of_a_plan_goes_out_by_itself_once_it_is_known(
    scene: Scene, acme: Plan, reasons: list[str], left: list[str]
) -> None:
    entry = insured(scene, None)
    offer = offer_to(scene, entry, reasons, status="proposed")
    has(entry, acme)
    assert became(offer) == ("proposed", "")
    assert CandidateVerdict.objects.get().reasons == left


@pytest.mark.parametrize(
    ("status", "reasons", "after"),
    [
        ("proposed", ["suits"], "proposed"),  # a person looks at it before it is sent
        ("sent", ["suits"], "withdrawn"),
        ("sent", [UNKNOWN], "sent"),  # it was offered although nobody knew
    ],
)
def test_a_plan_that_is_not_known_any_more(
    scene: Scene, acme: Plan, status: str, reasons: list[str], after: str
) -> None:
    entry = insured(scene, acme)
    offer = offer_to(scene, entry, reasons, status=status)
    has(entry, None)
    assert became(offer)[0] == after


@pytest.mark.parametrize(("status", "reasons"), [("proposed", ["suits"]), ("sent", [UNKNOWN])])
def test_a_plan_that_is_not_taken_there_ends_a_proposal_and_a_call_too(
    scene: Scene, acme: Plan, status: str, reasons: list[str]
) -> None:
    entry = insured(scene, acme)
    offer = offer_to(scene, entry, reasons, status=status)
    has(entry, another_plan())
    assert became(offer) == ("withdrawn", "insurance")


@pytest.mark.parametrize(
    ("owner", "status", "whose", "stands"),
    [
        (True, "open", "its", True),
        (True, "done", "its", False),
        (False, "open", "its", False),
        (True, "open", "another's", False),
    ],
)
def test_a_call_stands_only_while_somebody_has_taken_it(
    scene: Scene, acme: Plan, owner: bool, status: str, whose: str, stands: bool
) -> None:
    entry = insured(scene, None)
    offer = offer_to(scene, entry, [UNKNOWN])
    called = offer if whose == "its" else factories.offer(scene.opening(hours=90), scene.waiting()[0])
    ask_staff("offer.call", "Call", dedupe_key=call_key(called))
    WorkItem.objects.update(owner=User.objects.create(username="dana") if owner else None, status=status)
    beside = factories.offer(offer.opening, scene.waiting()[0])
    has(entry, acme)
    assert became(beside) == ("sent", "")
    assert became(offer) == (("sent", "") if stands else ("withdrawn", "replaced_by_fresh"))


@pytest.mark.parametrize(
    ("how", "count"),
    [
        *(("no plan", 1), ("another", 1), ("the same", 0), ("of another patient", 0), ("entered by staff", 0)),
        *(("answered", 0), ("expired", 0), ("needs none any more", 0), ("filled", 0), ("not taken before either", 0)),
        *(("at two times", 2), ("of the second insurance", 0)),
    ],
)
def test_offers_at_stake_are_those_that_the_plan_alone_lets_stand(
    scene: Scene, acme: Plan, how: str, count: int
) -> None:
    entry = insured(scene, acme)
    factories.offer(scene.opening(), entry)
    ids, plan = {Coverage.objects.get().pk}, {"another": another_plan().pk, "the same": acme.pk}.get(how)
    if how == "at two times":
        factories.offer(scene.opening(hours=90), insured(scene, acme))
        ids = set(Coverage.objects.values_list("pk", flat=True))
    elif how == "of the second insurance":
        second = Coverage.objects.create(
            patient=entry.patient, source=scene.source, external_id="second", code="A", plan=acme, position=2
        )
        ids = {second.pk}
    elif how == "of another patient":
        insured(scene, acme)
        ids = {Coverage.objects.latest("pk").pk}
    elif how == "entered by staff":
        WaitlistEntry.objects.update(plan=acme)
    elif how == "answered":
        Offer.objects.update(answered_at=timezone.now())
    elif how == "expired":
        Offer.objects.update(status="expired")
    elif how == "needs none any more":
        scene.type.needs_insurance = False
        scene.type.save()
    elif how == "filled":
        Opening.objects.update(status="filled")
    elif how == "not taken before either":
        scene.provider.plans.set([Plan.objects.create(code="gamma", name="Gamma")])
    assert insurance.offers_at_stake(ids, plan) == count
