"""Each button on a work item of ours does what it says, once."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from audit.context import Actor, acting_as
from integrations import by_hand
from integrations.ehr import availability
from integrations.ehr.gateway import Rejected
from integrations.messaging import failures
from scheduling import openings, writebacks
from scheduling.models import Appointment, Opening, Source, WorkItem, Writeback
from scheduling.worklist import BY_ITSELF, actions_for, run_action
from tests import factories
from tests.integrations.conftest import Booking, Clinic, say_yes
from tests.integrations.messaging.test_delivery_once import message_to
from tests.integrations.test_by_hand import enter_in_ehr
from tests.integrations.test_outbox_books_once import assert_booked_once
from waitlist.models import Claim, Message

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk() -> User:
    return User.objects.create_user("clerk", is_staff=True)


def press(kind: str, slug: str, clerk: User) -> str:
    """Press a button on the one open item of this kind; it is done afterwards."""
    item = WorkItem.objects.get(kind=kind, status=WorkItem.Status.OPEN)
    with acting_as(Actor.for_user(clerk)):
        said = run_action(item, slug, clerk)
    item.refresh_from_db()
    assert (item.status, item.done_by) == (WorkItem.Status.DONE, "clerk")
    return said


def test_dead_letter_given_up_tells_the_patient(booking: Booking, clerk: User) -> None:
    from integrations import outcomes

    outcomes.dead(Writeback.objects.get(), "worker_lost", "It failed each time we tried.")
    assert "the patient is told" in press("writeback.dead", "give_up", clerk)
    assert booking.state == Claim.State.REFUSED
    assert booking.status == Writeback.Status.REFUSED
    assert Message.objects.filter(kind=Message.Kind.REFUSED, patient=booking.patient).exists()


@pytest.mark.parametrize("kind", ["writeback.by_hand", "writeback.dead"])
def test_each_button_says_of_a_cancellation_what_becomes_of_one(booking: Booking, kind: str) -> None:
    row = Writeback.objects.get()
    item = WorkItem.objects.create(kind=kind, title="By hand", subject_id=row.pk, dedupe_key="by hand")

    def says() -> dict[str, str]:
        return {each.slug: each.consequence for each in actions_for(item)}

    assert says()["give_up"] == "The patient is told it is not booked; the time is offered again."
    assert "is cancelled" not in says().get("entered", "")
    Writeback.objects.update(kind=Writeback.Kind.CANCEL)
    assert says()["give_up"] == "The appointment stands as the EHR has it; a patient who asked to cancel it is told so."
    assert "once it is cancelled there" in says().get("entered", "once it is cancelled there")


def test_dead_letter_sent_again(booking: Booking, clerk: User) -> None:
    from integrations import outcomes

    outcomes.dead(Writeback.objects.get(), "worker_lost", "It failed each time we tried.")
    assert [each.slug for each in actions_for(WorkItem.objects.get(kind="writeback.dead"))] == ["retry", "give_up"]
    press("writeback.dead", "retry", clerk)
    booking.process()
    assert_booked_once(booking)


def test_a_booking_that_is_on_its_way_again_is_not_given_up(booking: Booking, clerk: User) -> None:
    """Its call may have its effect at this moment: nobody may be told that it is not booked."""
    from integrations import outcomes

    outcomes.dead(Writeback.objects.get(), "worker_lost", "It failed each time we tried.")
    item = WorkItem.objects.get(kind="writeback.dead")
    writebacks.retry(Writeback.objects.get(), "erin")
    pressed: list[str] = []
    booking.clinic.ehr.before("create", lambda: pressed.append(run_action(item, "give_up", clerk)))
    booking.process()
    assert pressed == ["It is under way or finished already; nothing was changed."]
    assert_booked_once(booking)


@pytest.mark.parametrize("shown", [True, False])
def test_entered_by_hand_is_looked_at(clinic: Clinic, clerk: User, shown: bool) -> None:
    Source.objects.filter(pk=clinic.connection.source_id).update(writable=False)
    booking = say_yes(clinic)
    booking.process()
    if shown:
        enter_in_ehr(booking)
    item = WorkItem.objects.get(kind="writeback.by_hand")
    said = run_action(item, "entered", clerk)
    if shown:
        assert said == "The EHR shows it. The patient is told."
        assert_booked_once(booking)
    else:
        assert "does not show it yet, so this stays open" in said
        assert booking.state == Claim.State.PENDING
        item.refresh_from_db()
        assert (item.status, item.done_by, item.resolution) == (WorkItem.Status.OPEN, "", "")
        # What was said too early is said again once it holds, or found out without another word.
        enter_in_ehr(booking)
        assert by_hand.look(Writeback.objects.get(), timezone.now() + by_hand.LOOK_EVERY)
        item.refresh_from_db()
        assert (item.status, item.done_by) == (WorkItem.Status.DONE, BY_ITSELF)
        assert_booked_once(booking)


def test_entered_where_no_ehr_can_be_asked(clinic: Clinic, clerk: User) -> None:
    Source.objects.filter(pk=clinic.connection.source_id).update(writable=False)
    booking = say_yes(clinic)
    clinic.connection.delete()
    booking.process()
    assert press("writeback.by_hand", "entered", clerk) == "Noted. The patient is told."
    assert booking.status == Writeback.Status.DONE
    assert booking.state == Claim.State.CONFIRMED
    assert booking.appointment.status == Appointment.Status.BOOKED
    assert "writeback.by_word" in booking.story


def test_a_message_that_may_have_arrived(clerk: User, settings: Any) -> None:
    message = message_to(factories.patient().contact_points.first(), status=Message.Status.UNKNOWN)  # type: ignore[arg-type]
    failures.cannot_tell(message)
    assert "twice" in press("message.dead", "send", clerk)
    message.refresh_from_db()
    assert message.status == Message.Status.WAITING


@pytest.mark.parametrize(("slug", "status"), [("look", Opening.Status.OPEN), ("close", Opening.Status.CLOSED)])
def test_what_the_ehr_would_not_say(clinic: Clinic, clerk: User, slug: str, status: str) -> None:
    opening = clinic.opening()
    openings.request_check(opening.pk, timezone.now())
    clinic.ehr.fail("availability", Rejected(status=400))
    availability.look(opening.pk)
    press("opening.cannot_check", slug, clerk)
    opening.refresh_from_db()
    assert opening.status == status
    assert availability.due() == ([opening.pk] if slug == "look" else [])
