"""Time given up under a status or a reason that got its meaning only afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import mapping, mapping_mirror
from integrations.meanings import Meanings
from integrations.models import CodeMapping, Connection
from scheduling.appointments import apply_appointment
from scheduling.models import Appointment, ExternalId, Opening, TimelineEntry, WorkItem
from scheduling.records import AppointmentRecord
from tests import factories
from tests.waitlist.conftest import Scene, scene  # noqa: F401 - a fixture
from waitlist import attention

pytestmark = pytest.mark.django_db

REBOOKABLE, NOT_REBOOKABLE = CodeMapping.REBOOKABLE, CodeMapping.NOT_REBOOKABLE
GONE: dict[str, Any] = {"status": "unknown", "status_code": "CX"}


@pytest.fixture
def connection(scene: Scene) -> Connection:  # noqa: F811
    factories.external_id(scene.source, ExternalId.Kind.PROVIDER, scene.provider, "prov-1")
    factories.external_id(scene.source, ExternalId.Kind.LOCATION, scene.location, "loc-1")
    return factories.connection(source=scene.source)


class Visit:
    """One appointment of the EHR, told of version by version."""

    def __init__(self, scene: Scene, number: int = 1, *, hours: float = 10) -> None:  # noqa: F811
        self.scene, self.number, self.version = scene, number, 0
        self.start = timezone.now() + timedelta(hours=hours)

    def told(self, *, opens: bool = True, **fields: Any) -> Appointment:
        """The EHR says so now; ``opens`` False: read by the first load."""
        self.version += 1
        values: dict[str, Any] = {
            "status": "booked",
            "status_code": "booked",
            "start": self.start,
            "end": self.start + timedelta(minutes=30),
            "provider_id": "prov-1",
            "location_id": "loc-1",
            "version": str(self.version),
        }
        record = AppointmentRecord(f"a-{self.number}", **{**values, **fields})
        return apply_appointment(self.scene.source, record, timezone.now(), opens=opens).appointment


def brought_in_line() -> None:
    for pk in mapping_mirror.due():
        assert mapping_mirror.apply(pk)


def wave(scene: Scene, opening: Opening, free: bool = True) -> int:  # noqa: F811
    """The look that sends a wave, once it has waited for more of the same day; return how many offers."""
    scene.clock.shift(timedelta(minutes=2))
    return scene.look(opening, free)


def mapped(connection: Connection, domain: str, code: str, target: str) -> CodeMapping:
    row = mapping.map_code(connection, domain, "", code, target, by="ada")
    brought_in_line()
    return row


def states() -> list[tuple[str, str, str]]:
    return list(Opening.objects.order_by("pk").values_list("status", "held", "closed_reason"))


def test_a_status_mapped_to_cancelled_opens_the_time_which_is_looked_at_before_it_is_offered(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    scene.waiting(1)
    visit = Visit(scene)
    visit.told()
    row = visit.told(**GONE)
    assert states() == []

    mapped(connection, "status", "CX", "cancelled")
    opening = Opening.objects.get()
    assert (opening.freed_by, opening.start, opening.end) == (row, row.start, row.end)
    assert (opening.status, opening.held, opening.offers.count()) == ("open", "", 0)
    assert TimelineEntry.objects.filter(opening=opening, kind="opening.mapped").count() == 1
    attention.drain()
    opening.refresh_from_db()
    assert opening.check_due_at is not None
    assert wave(scene, opening) == 1

    mapping.map_code(connection, "status", "", "CX", "cancelled")
    mapping_mirror.apply(CodeMapping.objects.get(code="CX").pk)
    visit.told(status="cancelled", status_code="CX")
    assert Opening.objects.count() == 1


def test_a_visit_that_becomes_another_kind_meanwhile_keeps_it(
    scene: Scene,  # noqa: F811
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for code in ("old", "new"):
        factories.appointment_type(code=code)
    visit = Visit(scene)
    visit.told(type_code="A")
    mapping.map_code(connection, "type", "", "A", "old", by="ada")
    meant = Meanings.type_target

    def told_meanwhile(meanings: Meanings, *code: Any) -> str | None:
        monkeypatch.undo()
        visit.told(type_code="B", type_target="new")
        return meant(meanings, *code)

    monkeypatch.setattr(Meanings, "type_target", told_meanwhile)
    brought_in_line()
    kind = Appointment.objects.get().appointment_type
    assert kind is not None
    assert kind.code == "new"


def test_what_the_ehr_shows_as_taken_is_not_offered(scene: Scene, connection: Connection) -> None:  # noqa: F811
    scene.waiting(1)
    visit = Visit(scene)
    visit.told()
    visit.told(**GONE)
    mapped(connection, "status", "CX", "cancelled")
    assert wave(scene, Opening.objects.get(), free=False) == 0
    assert states() == [("closed", "", "taken")]


def test_nothing_is_opened_for_what_the_first_load_found_so_or_what_is_past(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    Visit(scene, 1).told(opens=False, **GONE)
    past = Visit(scene, 2, hours=-2)
    past.told()
    past.told(**GONE)
    loaded = Visit(scene, 3, hours=20)
    loaded.told(opens=False)
    loaded.told(opens=False, **GONE)
    mapped(connection, "status", "CX", "cancelled")
    assert set(Appointment.objects.values_list("status", flat=True)) == {"cancelled"}
    assert states() == []


def test_a_status_that_had_the_wrong_meaning_opens_once_it_has_the_right_one(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    mapped(connection, "status", "CX", "arrived")
    visit = Visit(scene)
    visit.told()
    visit.told(status="arrived", status_code="CX")
    assert states() == []
    mapped(connection, "status", "CX", "cancelled")
    assert states() == [("open", "", "")]


@pytest.mark.parametrize("instead", ["booked", "noshow", "bumped"])
def test_another_meaning_closes_what_was_opened_and_the_first_one_opens_it_again(
    scene: Scene,  # noqa: F811
    connection: Connection,
    instead: str,
) -> None:
    scene.waiting(1)
    visit = Visit(scene)
    visit.told()
    visit.told(**GONE)
    mapped(connection, "status", "CX", "cancelled")
    opening = Opening.objects.get()
    assert wave(scene, opening) == 1
    scene.deliver()
    mapped(connection, "status", "CX", instead)
    attention.drain()
    assert states() == [("closed", "", "reason")]
    assert opening.offers.get().status == "withdrawn"
    mapped(connection, "status", "CX", "cancelled")
    assert states() == [("open", "", "")]


def test_a_claim_under_way_goes_on_whatever_the_code_means_by_now(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    scene.waiting(1)
    visit = Visit(scene)
    visit.told()
    visit.told(**GONE)
    mapped(connection, "status", "CX", "cancelled")
    opening = Opening.objects.get()
    wave(scene, opening)
    scene.deliver()
    assert scene.yes(opening.offers.get()).claim is not None
    mapped(connection, "status", "CX", "noshow")
    assert states() == [("claimed", "", "")]


def test_a_reason_that_may_be_offered_after_all_opens_what_it_had_kept_closed(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    mapped(connection, "reason", "X1", NOT_REBOOKABLE)
    visit, loaded = Visit(scene), Visit(scene, 2, hours=20)
    gone: dict[str, Any] = {"status": "cancelled", "status_code": "cancelled", "reason_code": "X1"}
    visit.told()
    visit.told(reason_verdict="not_rebookable", **gone)
    loaded.told(opens=False, reason_verdict="not_rebookable", **gone)
    assert states() == []
    row = mapped(connection, "reason", "X1", REBOOKABLE)
    assert states() == [("open", "", "")]
    last = mapping.undoable(row)
    assert last is not None
    assert mapping.undo(last, "ada")
    brought_in_line()
    assert states() == [("closed", "", "reason")]


@pytest.mark.parametrize("moved", [{"start": 50, "provider_id": "prov-1"}, {"start": 10, "provider_id": "prov-2"}])
def test_time_that_a_visit_was_moved_away_from_follows_the_kind_of_the_visit(
    scene: Scene,  # noqa: F811
    connection: Connection,
    moved: dict[str, Any],
) -> None:
    factories.external_id(scene.source, ExternalId.Kind.PROVIDER, factories.provider(), "prov-2")
    scene.waiting(1)
    visit = Visit(scene)
    doubt: dict[str, Any] = {"type_code": "LUNCH", "reason_verdict": "unmapped_type"}
    visit.told(**doubt)
    start = visit.start + timedelta(hours=moved["start"] - 10)
    visit.told(**doubt, start=start, end=start + timedelta(minutes=30), provider_id=moved["provider_id"])
    for code in ("OTHER", "LUNCH"):
        assert states() == [("open", "type", "")]
        row = mapped(connection, "type", code, scene.type.code)
    assert states() == [("open", "", "")]
    # The visit stands elsewhere, so that the former time is free whatever its status means.
    mapped(connection, "status", "booked", "confirmed")
    opening = Opening.objects.get()
    assert wave(scene, opening) == 1
    assert mapping.unmap(connection, "type", row.system, row.code) is not None
    attention.drain()
    assert states() == [("offering", "type", "")]
    assert opening.offers.get().status == "withdrawn"


def test_what_else_is_in_doubt_holds_the_time_for_a_person(scene: Scene, connection: Connection) -> None:  # noqa: F811
    visit = Visit(scene)
    visit.told()
    visit.told(reason_code="X1", reason_verdict="unmapped", **GONE)
    mapped(connection, "status", "CX", "cancelled")
    assert states() == [("open", "reason", "")]
    assert WorkItem.objects.filter(kind="opening.reason", status="open").count() == 1


def test_a_whole_day_that_is_freed_at_once_is_held_as_ever(scene: Scene, connection: Connection) -> None:  # noqa: F811
    for number in range(3):
        visit = Visit(scene, number, hours=3 + number)
        visit.told()
        visit.told(**GONE)
    mapped(connection, "status", "CX", "cancelled")
    assert states() == [("open", "provider_day", "")] * 3


@pytest.mark.parametrize(("apart", "held"), [(timedelta(days=1), ""), (timedelta(minutes=4), "provider_day")])
def test_a_day_is_judged_by_when_its_visits_were_cancelled_not_by_when_the_code_was_mapped(
    scene: Scene,  # noqa: F811
    connection: Connection,
    apart: timedelta,
    held: str,
) -> None:
    for number in range(3):
        visit = Visit(scene, number, hours=3 + number)
        row = visit.told()
        visit.told(**GONE)
        Appointment.objects.filter(pk=row.pk).update(status_seen_at=timezone.now() - timedelta(days=9) + apart * number)
    mapped(connection, "status", "CX", "cancelled")
    assert states() == [("open", held, "")] * 3


def test_a_day_cancelled_at_once_for_a_reason_nobody_knew_is_asked_about_once_it_is_mapped(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    for number in range(3):
        visit = Visit(scene, number, hours=3 + number)
        visit.told()
        visit.told(status="cancelled", status_code="cancelled", reason_code="X1", reason_verdict="unmapped")
    assert states() == [("open", "reason", "")] * 3
    Opening.objects.update(freed_at=timezone.now() - timedelta(days=2))
    mapped(connection, "reason", "X1", REBOOKABLE)
    assert states() == [("open", "provider_day", "")] * 3


@pytest.mark.parametrize("changed", ["visit", "other code"])
def test_what_changes_while_a_code_is_followed_counts_and_not_what_was_read_before(
    scene: Scene,  # noqa: F811
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
) -> None:
    mapped(connection, "reason", "X1", REBOOKABLE)
    mapped(connection, "reason", "X2", NOT_REBOOKABLE)
    visit = Visit(scene)
    visit.told()
    visit.told(reason_code="X1", reason_verdict="rebookable", **GONE)
    name = "open_given_up" if changed == "visit" else "given_up"
    whole = getattr(mapping_mirror, name)

    def after_the_rival(*args: Any) -> Any:
        monkeypatch.undo()
        if changed == "visit":
            Appointment.objects.update(reason_code="X2")
        else:
            mapping.map_code(connection, "reason", "", "X1", NOT_REBOOKABLE)
        return whole(*args)

    monkeypatch.setattr(mapping_mirror, name, after_the_rival)
    mapped(connection, "status", "CX", "cancelled")
    assert states() == []


def test_a_worker_that_dies_half_way_leaves_the_rest_to_the_next_one(
    scene: Scene,  # noqa: F811
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(2):
        visit = Visit(scene, number, hours=10 + 30 * number)
        visit.told()
        visit.told(**GONE)
    row = mapping.map_code(connection, "status", "", "CX", "cancelled")
    whole = mapping_mirror.open_given_up
    calls: list[int] = []

    def dies_at_the_second(pk: int, *rest: Any) -> Opening | None:
        calls.append(pk)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(pk, *rest)

    monkeypatch.setattr(mapping_mirror, "open_given_up", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        mapping_mirror.apply(row.pk)
    assert len(states()) == 1
    later: datetime = timezone.now() + timedelta(minutes=1)
    assert mapping_mirror.due(later) == [row.pk]
    monkeypatch.undo()
    assert mapping_mirror.apply(row.pk)
    assert states() == [("open", "", "")] * 2
