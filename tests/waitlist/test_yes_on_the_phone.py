"""Staff take a time for a patient on the phone while others answer: one has it, and staff hear who."""

from __future__ import annotations

import pytest

from scheduling import worklist
from scheduling.models import Opening, WorkItem
from tests import race
from tests.waitlist.conftest import Scene
from tests.waitlist.test_first_yes_wins import line_up
from waitlist import attention, claims
from waitlist.claims import ClaimResult
from waitlist.models import Claim, Offer

pytestmark = pytest.mark.django_db


def called_and_texted(scene: Scene) -> tuple[Offer, Offer]:
    """One patient is offered the time on the phone, the other by text."""
    scene.waiting(1, patient_consent=())
    (by_phone, by_text) = scene.offered(1)
    return by_phone, by_text


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("link", "Another patient said yes by their link."),
        ("sms", "Another patient said yes by text."),
        ("staff", "system took it for another patient."),
    ],
)
def test_whoever_calls_too_late_hears_who_was_first_and_the_patient_moves_up(
    scene: Scene, django_user_model: type, channel: str, said: str
) -> None:
    by_phone, by_text = called_and_texted(scene)
    assert scene.yes(by_text, channel).outcome == "won"
    item = WorkItem.objects.get(kind="offer.call")
    answer = worklist.run_action(item, "yes", django_user_model.objects.create_user("ana"))
    assert answer == (
        f"Not booked: somebody answered first; it is being booked. {said} Tell the patient; they keep their place on "
        "the list."
    )
    attention.drain()
    by_phone.refresh_from_db()
    by_phone.entry.refresh_from_db()
    assert (by_phone.status, by_phone.entry.lost_races) == ("too_late", 1)


@pytest.mark.parametrize(
    ("button", "said", "status", "then"),
    [
        ("yes", "Received: the booking is on its way", "yes", "The patient has this time already."),
        ("no", "Noted: the patient does not want", "no", "The offer was over already"),
        ("missed", "Noted: not reached", "withdrawn", "The offer was over already"),
    ],
)
def test_what_came_of_a_call_is_noted_and_said_to_who_says_it_again(
    scene: Scene, django_user_model: type, button: str, said: str, status: str, then: str
) -> None:
    by_phone, _ = called_and_texted(scene)
    item, ana = WorkItem.objects.get(kind="offer.call"), django_user_model.objects.create_user("ana")
    assert worklist.run_action(item, button, ana).startswith(said)
    by_phone.refresh_from_db()
    assert by_phone.status == status
    WorkItem.objects.filter(pk=item.pk).update(status="open")
    assert worklist.run_action(WorkItem.objects.get(pk=item.pk), button, ana).startswith(then)
    by_phone.refresh_from_db()
    by_phone.entry.refresh_from_db()
    assert (by_phone.status, by_phone.entry.status) == (status, "waiting"), "they keep their place"
    if button != "yes":
        WorkItem.objects.filter(pk=item.pk).update(status="open")
        Opening.objects.update(status="closed", closed_reason="blocked")
        assert worklist.run_action(WorkItem.objects.get(pk=item.pk), "yes", ana).startswith("Not booked: ")


@pytest.mark.django_db(transaction=True)
def test_staff_and_another_patient_at_the_same_moment() -> None:
    for _ in range(3):
        _, (phoned, tapping) = line_up(2)

        def act(index: int, phoned: int = phoned.pk, tapping: int = tapping.pk) -> ClaimResult:
            rows = Offer.objects.select_related("opening", "patient", "entry", "appointment_type")
            offer = rows.get(pk=(phoned, tapping)[index])
            if index == 0:
                return claims.staff_confirm(offer.opening, offer.patient, offer=offer)
            return claims.claim(offer.opening, offer.patient, offer=offer, channel="link")

        by_staff, by_link = race.together(2, act)
        claim = Claim.objects.get(opening=phoned.opening_id)
        assert sorted((by_staff.outcome, by_link.outcome)) == ["taken", "won"]
        assert claim.patient_id == (phoned if by_staff.is_win else tapping).patient_id
        assert by_staff.claim == claim, "staff see who has it, whoever that is"


@pytest.mark.django_db(transaction=True)
def test_staff_and_the_same_patient_at_the_same_moment() -> None:
    for _ in range(3):
        _, (offer,) = line_up(1)

        def act(index: int, pk: int = offer.pk) -> ClaimResult:
            row = Offer.objects.select_related("opening", "patient", "entry", "appointment_type").get(pk=pk)
            if index == 0:
                return claims.staff_confirm(row.opening, row.patient, offer=row)
            return claims.claim(row.opening, row.patient, offer=row, channel="link")

        results = race.together(2, act)
        claim = Claim.objects.get(opening=offer.opening_id)
        assert sorted(each.outcome for each in results) == ["already_yours", "won"]
        assert {each.claim for each in results} == {claim}
