"""A code that gets, changes or loses its meaning moves what rests on it and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils import timezone

from integrations import mapping, mapping_effects, mapping_mirror
from integrations.models import CodeMapping, Connection
from scheduling import openings
from scheduling.models import ExternalId, Opening
from tests import factories
from tests.integrations.test_what_codes_mean import (  # noqa: F401 - a fixture
    NOT_REBOOKABLE,
    REBOOKABLE,
    connection,
    freed,
    state_of,
)
from tests.waitlist.conftest import Scene, scene  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


def logged(row: Model, field: str) -> list[list[str]]:
    kind = ContentType.objects.get_for_model(row)
    entries = LogEntry.objects.filter(content_type=kind, object_pk=str(row.pk), changes__has_key=field)
    return [entry.changes[field] for entry in entries.order_by("pk")]


def test_time_that_has_come_stays_as_it_was(scene: Scene, connection: Connection) -> None:  # noqa: F811
    over = freed(scene, held="reason", reason_code="X1")
    Opening.objects.filter(pk=over.pk).update(start=timezone.now() - timedelta(minutes=1))
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    assert state_of(over)[1] == "reason"


def test_time_that_was_closed_for_anything_else_stays_closed(scene: Scene, connection: Connection) -> None:  # noqa: F811
    opening = freed(scene, held="reason", reason_code="X1")
    assert openings.close(opening, Opening.Closed.STAFF)
    for target in (REBOOKABLE, NOT_REBOOKABLE, REBOOKABLE):
        mapping.map_code(connection, "reason", "", "X1", target)
        assert state_of(opening)[::2] == ("closed", "staff")


def test_closed_time_that_is_in_another_opening_by_now_is_not_opened_twice(
    scene: Scene,  # noqa: F811
    connection: Connection,  # noqa: F811
) -> None:
    opening = freed(scene, held="reason", reason_code="X1")
    mapping.map_code(connection, "reason", "", "X1", NOT_REBOOKABLE)
    scene.opening(hours=30)
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    assert state_of(opening)[0] == "closed"


def test_what_a_code_means_at_one_place_moves_nothing_elsewhere(
    scene: Scene,  # noqa: F811
    connection: Connection,  # noqa: F811
) -> None:
    opening = freed(scene, held="reason", reason_code="X1")
    elsewhere = factories.location()
    factories.external_id(connection.source, ExternalId.Kind.LOCATION, elsewhere, "lake")
    row = mapping.map_code(connection, "reason", "", "X1", REBOOKABLE, location=elsewhere)
    assert opening not in mapping_effects.resting_on(row)
    assert state_of(opening)[1] == "reason"


def test_time_held_for_another_question_stays_so(scene: Scene, connection: Connection) -> None:  # noqa: F811
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    opening = freed(scene, reason_code="X1")
    Opening.objects.filter(pk=opening.pk).update(held=Opening.Held.PROVIDER_DAY)
    mapping.unmap(connection, "reason", "", "X1")
    assert state_of(opening)[1] == "provider_day"
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    assert state_of(opening)[1] == "provider_day"


@pytest.mark.parametrize(
    ("is_so", "count"), [("offered", 1), ("held already", 0), ("over", 0), ("still offered after", 0)]
)
def test_offers_at_stake_are_those_that_would_be_taken_back(
    scene: Scene,  # noqa: F811
    connection: Connection,  # noqa: F811
    is_so: str,
    count: int,
) -> None:
    row = mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    scene.waiting(1)
    opening = freed(scene, hours=10, reason_code="X1")
    assert scene.look(opening) == 1
    if is_so == "held already":
        row = mapping.map_code(connection, "reason", "", "X1", CodeMapping.ASK_STAFF)
    elif is_so == "over":
        opening.offers.update(status="no")
    target = REBOOKABLE if is_so == "still offered after" else NOT_REBOOKABLE
    assert mapping_effects.offers_at_stake(row, target) == count


def test_offers_of_a_kind_that_could_not_be_booked_any_more_are_at_stake(
    scene: Scene,  # noqa: F811
    connection: Connection,  # noqa: F811
) -> None:
    row = mapping.map_code(connection, "type", "urn:t", "FU", scene.type.code)
    other = factories.appointment_type()
    mapping.map_code(connection, "type", "urn:t", "OTHER", other.code)
    scene.waiting(1)
    assert scene.look(freed(scene, hours=10, type_system="urn:t", type_code="OTHER")) == 1
    assert mapping_effects.offers_at_stake(row, "") == 1
    mapping.map_code(connection, "type", "urn:t", "FU2", scene.type.code)
    assert mapping_effects.offers_at_stake(row, "") == 0, "another code stands for the kind"


def test_a_kind_that_lost_its_last_code_holds_only_what_is_out_as_it(scene: Scene, connection: Connection) -> None:  # noqa: F811
    other = factories.appointment_type()
    mapping.map_code(connection, "type", "urn:t", "FU", scene.type.code)
    mapping.map_code(connection, "type", "urn:t", "OTHER", other.code)
    elsewhere = factories.source("elsewhere")

    def offered(hours: int, *, kind: Any = scene.type, offer: str = "sent", **fields: Any) -> Opening:
        opening = freed(scene, hours=hours, type_system="urn:t", type_code="OTHER")
        factories.offer(opening, factories.entry(factories.patient(), kind), status=offer)
        Opening.objects.filter(pk=opening.pk).update(**{"status": "offering", **fields})
        return opening

    out = offered(10)
    others = {
        "another kind": offered(11, kind=other),
        "another EHR": offered(12, source=elsewhere),
        "declined": offered(13, offer="no"),
        "claimed": offered(14, status="claimed"),
        "held for another question": offered(15, held="provider_day"),
        "offered to nobody": freed(scene, hours=16, type_system="urn:t", type_code="OTHER"),
    }
    was = {why: state_of(each) for why, each in others.items()}
    mapping.unmap(connection, "type", "urn:t", "FU")
    assert state_of(out)[1] == "type"
    assert {why: state_of(each) for why, each in others.items()} == was


def test_the_language_that_the_practice_owns_is_left_and_another_is_audited(connection: Connection) -> None:  # noqa: F811
    patient = factories.patient(names=connection.source, language="fr", language_code="L7")
    row = mapping.map_code(connection, "language", "", "L7", "es")
    source = connection.source
    source.practice_owns = ["language"]
    source.save(update_fields=["practice_owns"])
    assert mapping_mirror.apply(row.pk)
    patient.refresh_from_db()
    assert (patient.language, logged(patient, "language")) == ("fr", [["None", "fr"]])
    source.practice_owns = []
    source.save(update_fields=["practice_owns"])
    CodeMapping.objects.filter(pk=row.pk).update(apply_due_at=timezone.now())
    assert mapping_mirror.apply(row.pk)
    patient.refresh_from_db()
    assert (patient.language, logged(patient, "language")) == ("es", [["None", "fr"], ["fr", "es"]])


def test_a_language_of_this_ehr_says_nothing_of_another_s_patients(connection: Connection) -> None:  # noqa: F811
    theirs = factories.patient(names=connection.source, language="fr", language_code="L7")
    others = factories.patient(names=factories.source("elsewhere"), language="fr", language_code="L7")
    # A visit of this EHR that happens to have the other patient's number among our rows is nobody's language.
    factories.external_id(connection.source, ExternalId.Kind.APPOINTMENT, others, "visit-1")
    assert mapping_mirror.apply(mapping.map_code(connection, "language", "", "L7", "es").pk)
    theirs.refresh_from_db()
    others.refresh_from_db()
    assert (theirs.language, others.language) == ("es", "fr")


def test_a_code_that_was_changed_once_more_meanwhile_is_followed_once_more(
    connection: Connection,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patient = factories.patient(names=connection.source, language="fr", language_code="L7")
    row = mapping.map_code(connection, "language", "", "L7", "es")
    follow = mapping_mirror._set_language

    def changed_meanwhile(*args: Any) -> None:
        follow(*args)
        mapping.map_code(connection, "language", "", "L7", "de")

    monkeypatch.setattr(mapping_mirror, "_set_language", changed_meanwhile)
    assert mapping_mirror.apply(row.pk)
    monkeypatch.undo()
    assert mapping_mirror.due() == [row.pk]
    assert mapping_mirror.apply(row.pk)
    patient.refresh_from_db()
    assert (patient.language, mapping_mirror.due()) == ("de", [])
    assert not mapping_mirror.apply(row.pk)


def test_a_visit_s_kind_that_follows_is_audited(scene: Scene, connection: Connection) -> None:  # noqa: F811
    fields: dict[str, Any] = {"type_system": "urn:t", "type_code": "FU"}
    visit = factories.appointment(source=connection.source, location=scene.location, **fields)
    row = mapping.map_code(connection, "type", "urn:t", "FU", scene.type.code)
    assert mapping_mirror.apply(row.pk)
    visit.refresh_from_db()
    assert visit.appointment_type == scene.type
    assert logged(visit, "appointment_type")[1:] == [["None", str(scene.type.pk)]]
