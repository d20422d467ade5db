"""What a code means can be given, changed and taken back, and what rests on it follows each time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.utils import timezone

from integrations import code_notes, mapping, mapping_effects, mapping_mirror, sweep
from integrations.codebook import CodeBook
from integrations.meanings import Key, Meanings, standard_target
from integrations.models import CodeMapping, Connection
from scheduling import directory, guards, mirror
from scheduling.appointments import apply_appointment
from scheduling.models import Appointment, CancellationNote, ExternalId, Location, Opening, Patient, Provider, WorkItem
from scheduling.records import AppointmentRecord, PatientRecord, ProviderRecord
from tests import factories
from tests.waitlist.conftest import Scene, scene, told  # noqa: F401 - a fixture
from waitlist import attention

pytestmark = pytest.mark.django_db

REBOOKABLE, NOT_REBOOKABLE = CodeMapping.REBOOKABLE, CodeMapping.NOT_REBOOKABLE


@pytest.fixture
def connection(scene: Scene) -> Connection:  # noqa: F811
    return factories.connection(source=scene.source)


def freed(scene: Scene, *, held: str = "", hours: float = 30, **codes: Any) -> Opening:  # noqa: F811
    """Time of a cancelled visit with these codes, held and asked about where that is said."""
    gone = factories.appointment(
        factories.patient(),
        scene.provider,
        scene.location,
        source=scene.source,
        status="cancelled",
        status_code=codes.pop("status_code", "cancelled"),
        **codes,
    )
    opening = scene.opening(hours=hours, source=scene.source, freed_by=gone)
    if held:
        guards.hold_and_ask(opening, Opening.Held(held))
    return opening


def state_of(opening: Opening) -> tuple[str, str, str]:
    opening.refresh_from_db()
    return opening.status, opening.held, opening.closed_reason


def asked() -> set[str]:
    return set(WorkItem.objects.filter(status="open").values_list("kind", flat=True))


def test_a_mapping_removed_while_offers_on_it_are_out(scene: Scene, connection: Connection) -> None:  # noqa: F811
    """The offers are withdrawn, their patients told the truth, and a person decides about the time."""
    mapping.map_code(connection, "type", "urn:t", "FU", scene.type.code)
    scene.waiting(1)
    opening = freed(scene, hours=10, type_system="urn:t", type_code="FU")
    assert scene.look(opening) == 1
    scene.deliver()
    (offer,) = opening.offers.select_related("patient")

    row = mapping.unmap(connection, "type", "urn:t", "FU", by="clerk")
    attention.drain()

    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "held")
    assert told(offer.patient)[2:] == ["withdrawn by sms", "withdrawn by email"]
    assert state_of(opening)[1] == "type"
    assert asked() == {"opening.type", "mapping.type"}
    assert scene.yes(offer).claim is None
    assert scene.look(opening) == 0

    assert row is not None
    last = mapping.undoable(row)
    assert last is not None
    assert mapping.undo(last, "clerk")
    attention.drain()
    assert (state_of(opening)[1], asked()) == ("", set())
    assert scene.look(opening) == 1


def test_offers_of_a_kind_of_visit_that_lost_its_last_code_cannot_be_booked(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    mapping.map_code(connection, "type", "urn:t", "FU", scene.type.code)
    mapping.map_code(connection, "type", "urn:t", "OTHER", factories.appointment_type().code)
    scene.waiting(1)
    opening = freed(scene, hours=10, type_system="urn:t", type_code="OTHER")
    assert scene.look(opening) == 1
    oak = factories.connection("oak")
    mapping.map_code(oak, "type", "urn:t", "FU", scene.type.code)
    mapping.unmap(connection, "type", "urn:t", "FU")
    attention.drain()
    assert (state_of(opening)[1], opening.offers.get().status) == ("type", "withdrawn")
    # A code of another kind, or at another EHR, lets nobody book it here.
    mapping.map_code(connection, "type", "urn:t", "MORE", factories.appointment_type().code)
    mapping.map_code(oak, "type", "urn:t", "OTHER", scene.type.code)
    assert state_of(opening)[1] == "type"
    mapping.map_code(connection, "type", "urn:t", "FOLLOW", scene.type.code)
    assert state_of(opening)[1] == ""
    Opening.objects.update(held=Opening.Held.TYPE, status=Opening.Status.CLOSED, closed_reason=Opening.Closed.STAFF)
    mapping.map_code(connection, "type", "urn:t", "AGAIN", scene.type.code)
    assert state_of(opening) == ("closed", "type", "staff")
    # Time that no visit gave up is nothing that codes decide about.
    Opening.objects.update(status=Opening.Status.OPEN, closed_reason="", freed_by=None)
    mapping.map_code(connection, "type", "urn:t", "ONCE MORE", scene.type.code)
    assert state_of(opening) == ("open", "type", "")


def test_a_mapped_code_releases_the_time_that_waited_for_it(scene: Scene, connection: Connection) -> None:  # noqa: F811
    both = {"type_system": "urn:t", "type_code": "LUNCH", "reason_system": "urn:r", "reason_code": "X1"}
    opening = freed(scene, held="reason", **both)
    other = freed(scene, held="reason", hours=50, reason_system="urn:r", reason_code="X2")
    mapping.map_code(connection, "reason", "urn:r", "X1", REBOOKABLE, by="clerk")
    assert (state_of(opening)[1], state_of(other)[1]) == ("type", "reason")
    assert WorkItem.objects.get(kind="opening.reason", opening=opening).status == "done"
    assert WorkItem.objects.get(kind="opening.type", opening=opening).status == "open"
    mapping.map_code(connection, "type", "urn:t", "LUNCH", scene.type.code)
    assert state_of(opening) == ("open", "", "")
    assert opening.attention_due_at is not None
    assert WorkItem.objects.get(kind="opening.type", opening=opening).status == "done"


def test_released_time_of_a_doubtful_day_stays_held(scene: Scene, connection: Connection) -> None:  # noqa: F811
    waits = freed(scene, held="reason", reason_code="X1")
    doubtful = freed(scene, hours=31)
    Opening.objects.filter(pk=doubtful.pk).update(held=Opening.Held.PROVIDER_DAY)
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    assert state_of(waits)[1] == "provider_day"
    # So does what had been offered, was closed and is opened again.
    Opening.objects.filter(pk=waits.pk).update(held="")
    mapping.map_code(connection, "reason", "", "X1", NOT_REBOOKABLE)
    assert state_of(waits) == ("closed", "", "reason")
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    assert state_of(waits) == ("open", "provider_day", "")


def test_a_reason_that_is_not_offered_closes_the_time_and_its_undo_opens_it(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    opening = freed(scene, held="reason", reason_code="X1")
    row = mapping.map_code(connection, "reason", "", "X1", NOT_REBOOKABLE)
    assert (state_of(opening)[::2], asked()) == (("closed", "reason"), set())
    last = mapping.undoable(row)
    assert last is not None
    assert mapping.undo(last, "clerk")
    assert (state_of(opening), asked()) == (("open", "reason", ""), {"opening.reason", "mapping.reason"})
    mapping.map_code(connection, "reason", "", "X1", NOT_REBOOKABLE)
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    assert (state_of(opening), asked()) == (("open", "", ""), set())


def test_what_a_person_decided_stands_while_the_codes_say_the_same(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    opening = freed(scene, reason_code="X1")  # a person said: offer it
    mapping.map_code(connection, "reason", "", "X1", CodeMapping.ASK_STAFF)
    assert state_of(opening)[1] == ""


def test_each_change_is_kept_audited_and_taken_back_once(connection: Connection) -> None:
    row = mapping.map_code(connection, "reason", "urn:r", "X1", REBOOKABLE, by="ada")
    mapping.map_code(connection, "reason", "urn:r", "X1", NOT_REBOOKABLE, by="ben")
    mapping.map_code(connection, "reason", "urn:r", "X1", NOT_REBOOKABLE, by="ben")
    first, second = row.changes.all()
    assert [(each.before, each.after, each.by) for each in (first, second)] == [
        ("", REBOOKABLE, "ada"),
        (REBOOKABLE, NOT_REBOOKABLE, "ben"),
    ]
    assert not mapping.undo(first, "cleo")
    assert mapping.undo(second, "cleo")
    assert not mapping.undo(second, "cleo")
    row.refresh_from_db()
    assert row.target == REBOOKABLE
    assert mapping.undo(first, "cleo")
    row.refresh_from_db()
    assert (row.target, row.state, mapping.undoable(row)) == ("", "unmapped", None)
    logged = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(CodeMapping), object_pk=str(row.pk), changes__has_key="target"
    )
    assert [entry.changes["target"] for entry in logged.order_by("pk")][1:] == [
        ["", REBOOKABLE],
        [REBOOKABLE, NOT_REBOOKABLE],
        [NOT_REBOOKABLE, REBOOKABLE],
        [REBOOKABLE, ""],
    ]
    assert "mapping.reason" in asked()


def test_a_code_means_something_else_at_one_location(scene: Scene, connection: Connection) -> None:  # noqa: F811
    there = factories.location(name="Lakeview")
    factories.external_id(connection.source, ExternalId.Kind.LOCATION, there, "lake")
    mapping.map_code(connection, "status", "", "cancelled", "bumped", location=there)
    mapping.map_code(connection, "status", "", "CONF", "confirmed")
    book = CodeBook(connection)
    assert [book.status("cancelled", place) for place in ("lake", "elm", "")] == ["bumped", "cancelled", "cancelled"]
    assert (book.status("CONF", "lake"), book.status("bumped")) == ("booked", "unknown")
    with pytest.raises(IntegrityError), transaction.atomic():
        CodeMapping.objects.create(connection=connection, domain="status", code="CONF")
    with pytest.raises(IntegrityError), transaction.atomic():
        CodeMapping.objects.create(connection=connection, domain="status", code="cancelled", location=there)


def record(scene: Scene, **fields: Any) -> AppointmentRecord:  # noqa: F811
    start = timezone.now() + timedelta(days=3)
    values = {"status": "booked", "status_code": "booked", "start": start, "end": start + timedelta(minutes=30)}
    names = {"provider_id": "prov-1", "location_id": "loc-1"}
    return AppointmentRecord("a-1", **{**values, **names, **fields})


def known(scene: Scene) -> None:  # noqa: F811
    for kind, row, name in (("provider", scene.provider, "prov-1"), ("location", scene.location, "loc-1")):
        factories.external_id(scene.source, kind, row, name)


def test_a_bumped_patient_is_proposed_and_the_time_is_not_offered(scene: Scene) -> None:  # noqa: F811
    known(scene)
    person = factories.patient(names=scene.source)
    patient_id = mirror.external_value(scene.source, "patient", person.pk)
    apply_appointment(scene.source, record(scene, version="1", patient_id=patient_id), timezone.now())
    gone = record(scene, version="2", patient_id=patient_id, status="bumped", status_code="B")
    apply_appointment(scene.source, gone, timezone.now())
    assert not Opening.objects.exists()
    item = WorkItem.objects.get()
    assert (item.kind, item.patient_id) == ("appointment.bumped", person.pk)


def test_time_moved_away_from_under_an_unmapped_type_waits_for_a_person(scene: Scene) -> None:  # noqa: F811
    known(scene)
    doubt: Any = {"type_code": "LUNCH", "reason_verdict": "unmapped_type"}
    apply_appointment(scene.source, record(scene, version="1", **doubt), timezone.now())
    later = timezone.now() + timedelta(days=9)
    moved = record(scene, version="2", start=later, end=later + timedelta(minutes=30), **doubt)
    apply_appointment(scene.source, moved, timezone.now())
    assert Opening.objects.get().held == "type"


def test_free_text_goes_to_staff_and_stays_unreadable_in_the_database(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    known(scene)
    apply_appointment(scene.source, record(scene, version="1"), timezone.now())
    said: Any = {
        "status": "cancelled",
        "status_code": "cancelled",
        "reason_verdict": "ask_staff",
        "reason_text": "Robin is in hospital",
    }
    apply_appointment(scene.source, record(scene, version="2", **said), timezone.now())
    opening = Opening.objects.get()
    assert (opening.held, CancellationNote.objects.get().text) == ("reason", "Robin is in hospital")
    assert mapping_effects.fate_of(Appointment.objects.get(), Meanings.of(connection)) == "reason"
    assert "Robin" not in str(list(WorkItem.objects.values())) + repr(record(scene, **said))


def test_what_is_mirrored_follows_within_one_sweep(scene: Scene, connection: Connection) -> None:  # noqa: F811
    def mirrored(**fields: Any) -> Appointment:
        return factories.appointment(
            provider=scene.provider, location=scene.location, source=scene.source, **{"status_code": "booked", **fields}
        )

    typed = mirrored(type_system="urn:t", type_code="FU")
    coded = mirrored(status="unknown", status_code="AUFNAHME")
    foreign = factories.appointment(source=factories.source("other"), type_system="urn:t", type_code="FU")
    person = factories.patient(names=scene.source, language_code="S")
    mapping.map_code(connection, "type", "urn:t", "FU", scene.type.code)
    mapping.map_code(connection, "status", "", "AUFNAHME", "arrived")
    mapping.map_code(connection, "language", "", "S", "es")
    assert sweep.TOPICS["mappings"](timezone.now())
    for pk in mapping_mirror.due():
        assert mapping_mirror.apply(pk)
    for row in (typed, coded, foreign, person):
        row.refresh_from_db()
    assert (typed.appointment_type, foreign.appointment_type) == (scene.type, None)
    assert (coded.status, person.language) == ("arrived", "es")
    assert not sweep.TOPICS["mappings"](timezone.now() + timedelta(hours=1))
    of_patients = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Patient))
    assert of_patients.filter(object_pk=str(person.pk), changes__has_key="language").exists()


def test_an_id_of_the_ehr_can_be_redirected_to_the_clinician_it_means(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    source, now = connection.source, timezone.now()
    factories.external_id(source, "provider", scene.provider, "3")
    double = directory.apply_provider(source, ProviderRecord("17", "1", name="Chen M"), now)
    # What else is called so, here or at another EHR, is none of it.
    taken, elsewhere = (scene.provider.pk, double.pk), factories.source("oak")
    person = next(each for each in iter(factories.patient, None) if each.pk not in taken)
    factories.external_id(source, "patient", person, "17")
    factories.external_id(elsewhere, "provider", double, "17")
    row = mapping.map_code(connection, "provider", "", "17", str(scene.provider.pk))
    assert mirror.object_id(source, "provider", "17") == scene.provider.pk
    assert mirror.object_id(source, "patient", "17") == person.pk
    assert mirror.object_id(elsewhere, "provider", "17") == double.pk
    name = scene.provider.name
    directory.apply_provider(source, ProviderRecord("17", "2", name="Chen M"), now)
    assert Provider.objects.get(pk=scene.provider.pk).name == name
    mapping.unmap(connection, "provider", "", "17")
    assert mirror.object_id(source, "provider", "17") == double.pk
    last = mapping.undoable(row)
    assert last is not None
    assert mapping.undo(last, "clerk")
    assert mirror.object_id(source, "provider", "17") == scene.provider.pk
    with pytest.raises(ValueError, match="not something"):
        mapping.map_code(connection, "location", "", "x", str(Location.objects.latest("pk").pk + 1))


@pytest.mark.parametrize(
    ("code", "tag"),
    [("es", "es"), ("es-MX", "es-MX"), ("spa", "es"), ("Spanish", "es"), ("Español", "es"), ("S", ""), ("", "")],
)
def test_a_language_is_understood_however_it_is_written(connection: Connection, code: str, tag: str) -> None:
    book = CodeBook(connection)
    person = book.with_language(PatientRecord("p", language=code))
    assert (person.language, person.language_code) == (tag, code)
    book.flush()
    assert asked() == ({"mapping.language"} if code == "S" else set())


def test_a_code_that_means_something_anyway_is_not_asked_about_when_ours_goes(
    scene: Scene,  # noqa: F811
    connection: Connection,
) -> None:
    mapping.map_code(connection, "status", "", "cancelled", "noshow")
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    mapping.map_code(connection, "reason", "", "X1", NOT_REBOOKABLE, location=scene.location)
    assert mapping.unmap(connection, "status", "", "cancelled") is not None
    assert mapping.unmap(connection, "reason", "", "X1", location=scene.location) is not None
    assert asked() == set()
    assert mapping.unmap(connection, "reason", "", "X1") is not None
    assert asked() == {"mapping.reason"}


def test_of_what_means_nothing_nothing_can_be_taken_away(connection: Connection) -> None:
    code_notes.note(connection, Key("reason", "", "X1"), "")
    for code in ("X1", "never seen"):
        assert mapping.unmap(connection, "reason", "", code) is None
    mapping.map_code(connection, "reason", "", "X1", REBOOKABLE)
    row = mapping.unmap(connection, "reason", "", "X1")
    assert row is not None
    assert mapping.unmap(connection, "reason", "", "X1") is None
    assert row.changes.count() == 2


def test_a_meaning_is_taken_from_the_one_code_and_from_none_that_is_like_it(connection: Connection) -> None:
    likes = {
        ("reason", "urn:r", "X2"): REBOOKABLE,
        ("reason", "", "X1"): REBOOKABLE,
        ("status", "urn:r", "X1"): "noshow",
    }
    for key, target in {**likes, ("reason", "urn:r", "X1"): REBOOKABLE}.items():
        mapping.map_code(connection, *key, target)
    row = mapping.unmap(connection, "reason", "urn:r", "X1")
    assert row is not None
    assert (row.domain, row.system, row.code, row.target) == ("reason", "urn:r", "X1", "")
    left = CodeMapping.objects.exclude(pk=row.pk).values_list("domain", "system", "code", "target")
    assert {(domain, system, code): target for domain, system, code, target in left} == likes
    assert mapping.meant(connection, Key("reason", "urn:r", "X1")) == ""


def test_meanings_say_what_a_change_would_mean(connection: Connection) -> None:
    mapping.map_code(connection, "reason", "urn:r", "X1", REBOOKABLE)
    now = Meanings.of(connection)
    then = now.changed(Key("reason", "urn:r", "X1"), None, NOT_REBOOKABLE)
    gone = then.changed(Key("reason", "urn:r", "X1"), None, "")
    assert [each.reason("urn:r", "X1") for each in (now, then, gone)] == ["rebookable", "not_rebookable", "unmapped"]
    assert standard_target("status", "", "booked") == "booked"


def test_a_code_that_comes_again_was_last_seen_then(connection: Connection) -> None:
    for _ in range(2):
        code_notes.note(connection, Key("reason", "", "X1"), "")
        row = CodeMapping.objects.get()
        assert row.last_seen_at is not None
        assert row.last_seen_at > timezone.now() - timedelta(minutes=1)
        CodeMapping.objects.update(last_seen_at=timezone.now() - timedelta(days=1))
