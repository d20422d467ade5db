"""Paths into what an EHR tells of a patient: FHIRPath checked and followed, HL7 v2 read with all its separators."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from integrations.ehr.fhir import paths
from integrations.ehr.hl7v2.paths import BadPath, value_at, values_at
from integrations.ehr.transforms import Unfit, tidied
from integrations.fields import FIELDS

SAMPLE = Path(settings.BASE_DIR).parent / "shared" / "payloads" / "hl7v2" / "ADT-A08-01.hl7"
MESSAGE = (
    "MSH|^~\\&|A|B\r"
    "PID|1||1^2~3^4||O\\T\\B^Ann&Lee^||\"\"|x\\F\\y|^\"\"\r\n"
    "NK1|1|Roe^Jo\nNK1|2|Doe^Di\r"
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("PID-5.1", "O&B"),
        ("PID-5.2", "Ann"),
        ("PID-5.2.2", "Lee"),
        ("PID-5.3", None),
        ("PID-7", ""),
        ("PID-7.1", ""),
        ("PID-9.2", ""),
        ("PID-8", "x|y"),
        ("PID-6", None),
        ("PID-40", None),
        ("PID-3.1", "1"),
        ("PID-3(2).2", "4"),
        ("PID-3(3).1", None),
        ("NK1(2)-2.1", "Doe"),
        ("ZPD-1", None),
        ("MSH-1", "|"),
        ("MSH-2", "^~\\&"),
        ("MSH-3", "A"),
    ],
)
def test_a_value_in_a_message(path: str, value: str | None) -> None:
    assert value_at(MESSAGE, path) == value


def test_the_senders_own_separators_are_kept_to() -> None:
    message = "MSH#*~\\&#A\rPID#1##1*2~3*4##A|B*C\r"
    assert [value_at(message, path) for path in ("PID-5.1", "PID-5.2", "PID-3(2).2")] == ["A|B", "C", "4"]


def test_each_repetition_is_a_value() -> None:
    assert values_at(MESSAGE, "PID-3.1") == ["1", "3"]


@pytest.mark.parametrize("path", ["", "PID", "pid-5", "PID-5.", "PID-0", "PID-5.1.1.1", "PID-5; drop", "PID(0)-1"])
def test_what_is_no_path_is_refused_with_an_example(path: str) -> None:
    with pytest.raises(BadPath, match=r"PID-5\.1"):
        value_at(MESSAGE, path)


@pytest.mark.skipif(not SAMPLE.exists(), reason="shared payloads are absent")
def test_a_real_message_with_line_feeds() -> None:
    message = SAMPLE.read_bytes()
    assert values_at(message, "PID-5.1") == ["EVERYMAN", "Josh"]
    assert (value_at(message, "PID-5.1.5"), value_at(message, "PID-15.1")) == ("Aniston", "ara")


#: A patient of whom the EHR says everything that is read by default.
COMPLETE = {
    "resourceType": "Patient",
    "name": [{"use": "official", "given": ["Roberta"], "family": "Sample"}, {"use": "usual", "given": ["Bo"]}],
    "birthDate": "1980-01-02",
    "communication": [{"preferred": True, "language": {"coding": [{"code": "es"}]}}],
    "telecom": [{"system": "phone", "value": "+12125550101"}, {"system": "email", "value": "bo@example.org"}],
    "address": [{"line": ["12 Elm St"], "city": "Troy"}],
    "contact": [{"relationship": [{"coding": [{"code": "C"}]}], "name": {"text": "Ana Ruiz"}}],
}


@pytest.mark.parametrize("path", [field.fhirpath for field in FIELDS.values() if field.fhirpath])
def test_the_paths_that_are_declared_find_what_stands_there_and_nothing_in_an_empty_record(path: str) -> None:
    paths.check(path)
    assert paths.compiled(path)(COMPLETE) != []
    assert paths.compiled(path)({"resourceType": "Patient"}) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "empty"),
        ("Patient.name given", "from character 14"),
        ("Patient.name.where(", "from character 20"),
        ("Patient.nosuch()", "not known here"),
        ("Patient.name.trace('x')", "not evaluated"),
        ("Patient.managingOrganization.resolve()", "not evaluated"),
        ("a" * 401, "longer than 400"),
    ],
)
def test_what_is_no_fhirpath_is_refused_with_the_place(path: str, says: str) -> None:
    with pytest.raises(paths.BadPath, match=says):
        paths.check(path)


@pytest.mark.parametrize(
    ("transform", "value", "expected"),
    [
        ("none", " a ", " a "),
        ("trim", " a ", "a"),
        ("lower", " A@B ", "a@b"),
        ("title", "MARY ANN", "Mary Ann"),
        ("title", "McDonald", "McDonald"),
        ("phone", "(212) 555-0101", "+12125550101"),
        ("date", "19800102", date(1980, 1, 2)),
        ("date", "1980-01-02", date(1980, 1, 2)),
        ("date", "198001021130-0500", date(1980, 1, 2)),
        ("language", "es_MX", "es-MX"),
        ("yes_no", "Inactive", False),
        ("yes_no", "1", True),
    ],
)
def test_a_transform(transform: str, value: str, expected: Any) -> None:
    assert tidied(value, transform) == expected


@pytest.mark.parametrize(
    ("transform", "value"), [("phone", "call my wife"), ("date", "1980"), ("language", "Spanish!"), ("yes_no", "maybe")]
)
def test_what_a_transform_cannot_take_is_said_without_quoting_it(transform: str, value: str) -> None:
    with pytest.raises(Unfit) as refused:
        tidied(value, transform)
    assert value not in str(refused.value)
