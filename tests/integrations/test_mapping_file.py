"""The mappings as a file: the same in and out, refused with the line of each mistake, applied and undone as a whole."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AccessRecord
from integrations import mapping, mapping_changes, mapping_file, mapping_state, mapping_words, yaml_nodes
from integrations.field_mapping import owner_of
from integrations.mapping_changes import Overtaken, Stale
from integrations.models import CodeMapping, Connection, FieldMapping, MappingChange
from scheduling.models import Appointment, ExternalId
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection() -> Connection:
    row = factories.connection("elm", loaded_at=timezone.now())
    mapping.map_code(row, "reason", "urn:reasons", "pt-sick", "rebookable", display="Patient is ill\n# x: y\x07\u202e")
    CodeMapping.objects.create(connection=row, domain="reason", code="no", display="No")
    CodeMapping.objects.create(connection=row, domain="status", code='"; --\u2028\t#: {é}\ufffe\u202e')
    return row


def file_of(connection: Connection, *swaps: tuple[str, str]) -> bytes:
    text = mapping_file.write(connection)
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.encode()


def apply(connection: Connection, body: bytes, by: str = "ira") -> MappingChange | None:
    file = mapping_file.read(body, connection)
    assert file.problems == []
    seen = mapping_state.fingerprint(mapping_state.current(connection))
    return mapping_changes.change(connection, file.wanted, by=by, how=MappingChange.How.IMPORT, seen=seen)


def problems(connection: Connection, body: str | bytes) -> list[tuple[int, str]]:
    found = mapping_file.read(body.encode() if isinstance(body, str) else body, connection).problems
    return [(each.line, each.says) for each in found]


HEAD = "version: 1\nconnection: elm\n"


def test_what_goes_out_comes_in_as_it_was(connection: Connection) -> None:
    place, _ = factories.location(name="Riverside: 1st #2"), factories.location()
    CodeMapping.objects.create(connection=connection, domain="reason", code="late", location=place, target="ask_staff")
    CodeMapping.objects.create(connection=connection, domain="location", code="L-9", target=str(place.pk))
    path = "Patient.extension.where(url = 'urn:\"x\"').valueString"
    FieldMapping.objects.create(connection=connection, field="preferred_name", path=path)
    body = file_of(connection)
    assert body == file_of(connection)
    assert apply(connection, body) is None
    text = body.decode()
    assert (
        '    - code: "pt-sick"  # Patient is ill # x: y\n      system: "urn:reasons"\n      means: rebookable\n' in text
    )
    assert '      location: "Riverside: 1st #2"' in text
    assert '    - code: "no"  # No\n      means:\n' in text
    assert "\u202e" not in text
    swap = (
        'location: "Riverside: 1st #2"\n      means: ask_staff',
        'location: "Riverside: 1st #2"\n      means: rebookable',
    )
    assert apply(connection, file_of(connection, swap)) is not None
    late = CodeMapping.objects.filter(code="late").values_list("location", "target")
    assert list(late) == [(place.pk, "rebookable")]
    assert not any(secret in text for secret in ("not-a-secret", "webhook-secret"))


def test_an_import_does_all_it_says_on_record_and_is_undone_as_a_whole(connection: Connection) -> None:
    patient = factories.patient(names=connection.source)
    ExternalId.objects.filter(object_id=patient.pk).update(version="7")
    oak = factories.connection("oak", loaded_at=timezone.now())
    before = mapping_state.current(connection)
    body = file_of(
        connection,
        ("means: rebookable", "means: not_rebookable"),
        ('code: "no"  # No\n      means:', 'code: "no"\n      means: ask_staff'),
        ("missing_reason: offer", "missing_reason: staff"),
        ("preferred_name:  # Preferred name\n    owner: ehr", "preferred_name:\n    owner: practice"),
        ('path: ""\n      transform: yes_no', "path: Patient.extension.valueCode\n      transform: yes_no"),
    )

    done = apply(connection, body)

    assert done is not None
    assert (done.by, done.how, len(done.entries)) == ("ira", "import", 5)
    row = CodeMapping.objects.get(code="pt-sick")
    assert (row.target, row.state) == ("not_rebookable", "mapped")
    assert owner_of(connection, "preferred_name") == "practice"
    connection.refresh_from_db()
    assert connection.missing_reason == "staff"
    assert FieldMapping.objects.get().path == "Patient.extension.valueCode"
    # Another path counts for those who are here already: the next load reads them though their version is the same.
    assert connection.patients_stale
    oak.refresh_from_db()
    assert not oak.patients_stale
    record = AccessRecord.objects.get(action="change", subject_kind="integrations.mappingchange")
    assert record.detail == {"connection": "elm", "changes": 5}

    undone = mapping_changes.undo(done, "maria")

    assert undone is not None
    assert mapping_state.current(connection) == before
    assert (undone.by, undone.how, undone.undoes) == ("maria", "undo", done)
    assert mapping_changes.undo(done, "maria") is None
    assert MappingChange.objects.count() == 2
    # What was undone can be had back the same way.
    assert mapping_changes.undo(undone, "maria") is not None
    assert owner_of(connection, "preferred_name") == "practice"


def test_an_id_of_a_clinician_that_is_taken_out_means_what_it_did_from_the_first(connection: Connection) -> None:
    chen, double = factories.provider(name="Dr. Chen"), factories.provider(name="Chen M")
    factories.external_id(connection.source, ExternalId.Kind.PROVIDER, double, "17")
    mapping.map_code(connection, "provider", "", "17", str(chen.pk))
    whole = mapping_file.write(connection)
    swap = ('means: "Dr. Chen"', "means:")
    done = apply(connection, whole.replace(*swap).encode())
    assert done is not None
    assert ExternalId.objects.get(kind="provider", value="17").object_id == double.pk
    # The same file again changes nothing, nor does one that names the clinician it meant anyway.
    for text in (whole.replace(*swap), whole.replace(swap[0], 'means: "Chen M"')):
        assert apply(connection, text.encode()) is None
    assert "      means:\n" in mapping_file.write(connection)
    assert mapping_changes.undo(done, "ira") is not None
    assert ExternalId.objects.get(kind="provider", value="17").object_id == chen.pk


def test_what_was_changed_again_since_is_not_undone_by_half(connection: Connection) -> None:
    done = apply(
        connection, file_of(connection, ("means: rebookable", "means: ask_staff"), ("reason: offer", "reason: staff"))
    )
    assert done is not None
    mapping.map_code(connection, "reason", "urn:reasons", "pt-sick", "not_rebookable")
    held = mapping_state.current(connection)
    with pytest.raises(Overtaken) as refused:
        mapping_changes.undo(done, "ira")
    assert refused.value.keys == [("code", "reason", "urn:reasons", "pt-sick", "")]
    assert mapping_state.current(connection) == held


def test_a_difference_that_is_out_of_date_is_not_applied(connection: Connection) -> None:
    file = mapping_file.read(file_of(connection, ("means: rebookable", "means: ask_staff")), connection)
    seen = mapping_state.fingerprint(mapping_state.current(connection))
    mapping.map_code(connection, "reason", "", "no", "rebookable")
    with pytest.raises(Stale):
        mapping_changes.change(connection, file.wanted, by="ira", seen=seen)
    assert CodeMapping.objects.get(code="pt-sick").target == "rebookable"


def test_a_code_that_merely_came_meanwhile_holds_no_difference_up(connection: Connection) -> None:
    file = mapping_file.read(file_of(connection, ("means: rebookable", "means: ask_staff")), connection)
    seen = mapping_state.fingerprint(mapping_state.current(connection))
    CodeMapping.objects.create(connection=connection, domain="reason", code="new")
    assert mapping_changes.change(connection, file.wanted, by="ira", seen=seen) is not None
    # Of codes nothing follows for what is read of patients.
    connection.refresh_from_db()
    assert (connection.patients_stale, connection.load_due_at) == (False, None)


def test_two_places_of_one_name_are_told_apart_by_number(connection: Connection) -> None:
    first, second = factories.location(name="Annex"), factories.location(name="Annex")
    mapping.map_code(connection, "location", "", "L-1", str(second.pk))
    assert f'means: "#{second.pk}"' in mapping_file.write(connection)
    assert apply(connection, file_of(connection)) is None
    assert apply(connection, file_of(connection, (f"#{second.pk}", f"#{first.pk}"))) is not None
    assert CodeMapping.objects.get(code="L-1").target == str(first.pk)


def test_one_value_that_cannot_be_set_changes_none(connection: Connection) -> None:
    kind = factories.appointment_type()
    CodeMapping.objects.create(connection=connection, domain="type", code="NEW")
    swap = ('code: "NEW"\n      means:', f'code: "NEW"\n      means: "{kind.code}"')
    file = mapping_file.read(file_of(connection, swap), connection)
    file.wanted[mapping_state.MISSING_REASON] = "staff"
    file.wanted["code", "reason", "", "no", ""] = "ask_staff"  # which comes before the one that cannot be set
    kind.delete()
    with pytest.raises(mapping_changes.Impossible, match="nothing that a code of this kind can mean"):
        mapping_changes.change(connection, file.wanted, by="ira")
    connection.refresh_from_db()
    assert (connection.missing_reason, MappingChange.objects.count()) == ("offer", 0)
    assert CodeMapping.objects.get(code="no").target == ""


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("version: 2\nconnection: elm\n", 1, "version 1"),
        ("version: 1\nconnection: oak\n", 2, "connection: elm"),
        ("version: 1\n", 1, "must name this connection"),
        ("connection: elm\n", 1, "write “version: 1” on top"),
        (f"{HEAD}code: {{}}\n", 3, "Did you mean “codes”?"),
        (f"{HEAD}codes:\n  reason:\n    - code: a\n      mean: rebookable\n", 6, "Did you mean “means”?"),
        (f"{HEAD}codes:\n  reason:\n    - code: a\n      means: rebook\n", 6, "nothing that a code"),
        (f"{HEAD}codes:\n  reason:\n    - code: a\n      means: ask_staff\n    - code: a\n", 7, "twice"),
        (f"{HEAD}codes:\n  reason:\n    - system: a\n", 5, "needs “code:”"),
        (f'{HEAD}codes:\n  reason:\n    - code: "a\\0"\n', 5, "needs “code:”"),
        (f"{HEAD}codes:\n  reason: rebookable\n", 4, "is a list"),
        (f"{HEAD}codes: rebookable\n", 3, "codes should hold type"),
        (f"{HEAD}codes:\n  reason:\n    - a\n", 5, "a code should hold code"),
        (f"{HEAD}fields: ehr\n", 3, "fields should hold family_name"),
        (f"{HEAD}codes:\n  reason:\n    - code: a\n      location: Riversid\n", 6, "Did you mean “Riverside”?"),
        (f'{HEAD}codes:\n  reason:\n    - code: a\n      location: "#987654"\n', 6, "There is no location “#987654”"),
        (f"{HEAD}fields:\n  preferred: {{}}\n", 4, "Did you mean “preferred_name”?"),
        (f"{HEAD}fields:\n  family_name:\n    owner: practice\n", 5, "always win"),
        (f"{HEAD}fields:\n  language:\n    owner: patient\n", 5, "is not one of ehr, practice"),
        (f"{HEAD}fields:\n  language:\n    fhirpath:\n      path: Patient.name(\n", 6, "cannot be read from"),
        (f"{HEAD}fields:\n  language:\n    hl7v2:\n      path: PID.15\n", 6, "PID-5.1"),
        (f"{HEAD}fields:\n  language:\n    fhirpath:\n      transform: upper\n", 5, "is not one of none, trim"),
        (f"{HEAD}settings:\n  missing_reason: maybe\n", 4, "is not one of offer"),
        (f"{HEAD}settings: {{}}\nsettings: {{}}\n", 4, "twice"),
        (f"{HEAD}codes: &a\n  type: []\n", 3, "Anchors"),
        (f"{HEAD}codes: !!python/object:os.system {{}}\n", 3, "Tags"),
        (f"{HEAD}codes: {'[' * 20}{']' * 20}\n", 3, "too deeply"),
        (f"{HEAD}---\n{HEAD}", 3, "second document"),
        (f"{HEAD}codes: {{\n", 4, "cannot be read"),
        ("- a\n", 1, "should hold version"),
        ("", 1, "should hold version"),
        (f"{HEAD}# {'x' * 600_000}\n", 1, "larger than 512 kB"),
        (b"version: 1\n\xff\n", 2, "not UTF-8"),
        (f"{HEAD}a: \x00\n", 1, "does not allow"),
    ],
)
def test_a_mistake_is_named_with_its_line(connection: Connection, body: Any, line: int, says: str) -> None:
    factories.location(name="Riverside")
    found = problems(connection, body)
    assert [each for each, text in found if says in text] == [line], found


def test_all_mistakes_are_named_at_once(connection: Connection) -> None:
    body = f"{HEAD}fields:\n  langauge: {{}}\nsettings:\n  missing_reason: maybe\n"
    assert [line for line, _ in problems(connection, body)] == [4, 6]


def test_a_bomb_of_aliases_is_refused_before_it_is_unfolded(connection: Connection) -> None:
    names = "abcdefghijklmnopqrstuv"
    bomb = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{o}, *{o}]\n" for o, n in pairwise(names))
    assert problems(connection, bomb) == [(1, "Anchors and aliases (& and *) are not taken. Write the value out.")]


def test_each_value_of_a_nested_file_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, real = [], yaml_nodes._node
    monkeypatch.setattr(yaml_nodes, "_node", lambda raw: looked.append(raw) or real(raw))
    root = yaml_nodes.read(b"a: {b: {c: {d: {e: {f: x}}}}}")
    assert root.value["a"].value["b"].value["c"].value["d"].value["e"].value["f"].value == "x"
    assert len(looked) == 7


def test_a_file_of_too_many_values_is_refused(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "MOST_NODES", 20)
    assert problems(connection, f"{HEAD}codes: [{'a, ' * 30}]\n") == [(3, "The file holds too many values.")]


def test_what_is_taken_out_of_the_file_loses_its_meaning_and_a_section_left_out_stays(connection: Connection) -> None:
    FieldMapping.objects.create(connection=connection, field="language", path="Patient.language")
    for nothing in ("status: []", "status:"):
        assert apply(connection, f"{HEAD}codes:\n  {nothing}\n".encode()) is None
    body = f"{HEAD}codes:\n  reason: []\n".encode()
    entries = mapping_changes.difference(mapping_state.current(connection), mapping_file.read(body, connection).wanted)
    assert [(line.kind, line.before, line.after) for line in mapping_words.lines(connection, entries)] == [
        ("removed", "the time may be offered", "not mapped")
    ]
    done = apply(connection, body)
    assert done is not None
    assert CodeMapping.objects.get(code="pt-sick").state == "unmapped"
    assert FieldMapping.objects.exists()
    assert apply(connection, f"{HEAD}fields: {{}}\n".encode()) is not None
    assert not FieldMapping.objects.exists()


def test_the_difference_says_in_words_what_will_follow(connection: Connection) -> None:
    CodeMapping.objects.filter(code="pt-sick").update(target="", state="unmapped")
    doctor, place = factories.provider(), factories.location()
    freed = factories.appointment(None, doctor, place, status="cancelled", source=connection.source)
    Appointment.objects.filter(pk=freed.pk).update(reason_system="urn:reasons", reason_code="pt-sick")
    factories.opening(doctor, place, source=connection.source, freed_by=freed, held="reason")
    factories.patient(names=connection.source)
    body = file_of(
        connection,
        ('system: "urn:reasons"\n      means:', 'system: "urn:reasons"\n      means: rebookable'),
        ("language:  # Language\n    owner: ehr", "language:\n    owner: practice"),
        ('path: ""\n      transform: yes_no', "path: Patient.extension.valueCode\n      transform: yes_no"),
    )
    state = mapping_state.current(connection)
    entries = mapping_changes.difference(state, mapping_file.read(body, connection).wanted)
    assert [astuple(line) for line in mapping_words.lines(connection, entries)] == [
        (
            "added",
            "Cancellation reason “pt-sick” of urn:reasons",
            "not mapped",
            "the time may be offered",
            "1 opening is released and offered after a fresh look.",
        ),
        (
            "changed",
            "Language: who owns it",
            "the EHR",
            "the practice",
            "What we have stays; the EHR no longer overwrites it.",
        ),
        (
            "changed",
            "Portal account active: where it stands (FHIRPath)",
            "nowhere",
            "Patient.extension.valueCode, as yes or no",
            "1 patient is read again from the EHR.",
        ),
    ]


@pytest.mark.parametrize(
    ("fields", "follows"),
    [
        ({"loaded_at": None}, "It holds from the first load on."),
        ({"loaded_at": None, "kind": "hl7v2"}, "It holds for messages from now on."),
    ],
    ids=["before the first load", "HL7 v2 messages alone"],
)
def test_where_no_patient_is_read_again_the_difference_says_so(
    connection: Connection, fields: dict[str, Any], follows: str
) -> None:
    Connection.objects.update(**fields)
    connection.refresh_from_db()
    key = ("path", "language", "hl7v2")
    change = mapping_changes.Entry(key, mapping_state.nothing(key), {"path": "ZPI-7", "transform": "language"})
    assert [line.effect for line in mapping_words.lines(connection, [change])] == [follows]
