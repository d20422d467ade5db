"""The mappings as a file in Chromium: exported, edited, imported after a look at the difference, and undone."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from integrations import mapping
from integrations.models import CodeMapping, FieldHealth, InboundEvent, MappingChange
from scheduling.models import Source
from tests.browser import measures
from tests.browser.conftest import SCHEMES, WIDTHS, keep_picture
from tests.browser.test_desk import LIMITS, SignedIn, staff_page
from tests.desk.conftest import Practice, people, practice

__all__ = ["people", "practice", "staff_page"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def choose(page: Page, path: Path) -> None:
    page.set_input_files("#file", path)
    page.get_by_role("button", name="Show what it changes").click()


def fits(page: Page, name: str) -> None:
    """Fail where the page does not fit or cannot be read, at any width, light or dark."""
    found = {}
    for scheme in SCHEMES:
        for width, height in WIDTHS.items():
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": height})
            keep_picture(page, f"{name}-{width}-{scheme}")
            found[width, scheme] = measures.problems(page, **LIMITS)
    page.set_viewport_size({"width": 1280, "height": WIDTHS[1280]})
    assert {where: what for where, what in found.items() if what} == {}


def test_export_edit_import_undo(staff_page: SignedIn, practice: Practice, tmp_path: Path) -> None:
    mapping.map_code(practice.connection, "reason", "urn:reasons", "pt-sick", "rebookable", display="Patient is ill")
    CodeMapping.objects.create(connection=practice.connection, domain="reason", code="x-9", display="Left")
    page = staff_page(f"/admin/connections/{practice.connection.pk}/mappings/")
    fits(page, "mapping-file")

    with page.expect_download() as download:
        page.get_by_role("link", name="Export the mappings").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "mappings-sandbox.yaml"

    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("means: rebookable", "means: rebokable"), encoding="utf-8")
    choose(page, file)
    line = text[: text.index("means: rebookable")].count("\n") + 1
    expect(page.get_by_role("alert")).to_contain_text(f"line {line}: “rebokable” is nothing that a code")
    fits(page, "mapping-file-mistake")

    file.write_text(
        text.replace("means: rebookable", "means: not_rebookable")
        .replace('"x-9"  # Left\n      means:', '"x-9"\n      means: ask_staff')
        .replace("preferred_name:  # Preferred name\n    owner: ehr", "preferred_name:\n    owner: practice"),
        encoding="utf-8",
    )
    choose(page, file)
    expect(page.get_by_role("heading", name="1 added, 2 changed")).to_be_visible()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="pt-sick")).to_contain_text("the time is not offered")
    fits(page, "mapping-difference")
    assert CodeMapping.objects.get(code="pt-sick").target == "rebookable"

    # Somebody else maps a code while the difference is looked at: it is shown anew before anything is applied.
    mapping.map_code(practice.connection, "status", "", "gone", "cancelled")
    page.get_by_role("button", name="Apply 3 changes").click()
    expect(page.locator(".messagelist")).to_contain_text("somebody changed the mappings since you looked")
    expect(page.locator("tbody tr")).to_have_count(4)
    assert CodeMapping.objects.get(code="pt-sick").target == "rebookable"

    page.get_by_role("button", name="Apply 4 changes").click()
    expect(page.locator(".messagelist")).to_contain_text("Imported: 4 values changed.")
    assert CodeMapping.objects.get(code="pt-sick").target == "not_rebookable"
    assert Source.objects.get(pk=practice.source.pk).practice_owns == ["preferred_name"]
    fits(page, "mapping-file-changed")

    page.get_by_role("button", name="Undo").first.click()
    expect(page.locator(".messagelist")).to_contain_text("Undone: 4 values as before.")
    assert CodeMapping.objects.get(code="pt-sick").target == "rebookable"
    assert CodeMapping.objects.get(code="x-9").state == "unmapped"
    assert CodeMapping.objects.get(code="gone").target == "cancelled"
    assert Source.objects.get(pk=practice.source.pk).practice_owns == []
    assert list(MappingChange.objects.order_by("pk").values_list("how", "by")) == [
        ("import", "maria"),
        ("undo", "maria"),
    ]


def test_the_fields_of_patients_fit(staff_page: SignedIn, practice: Practice) -> None:
    name = f"pat-{practice.patient.pk}"
    FieldHealth.objects.create(
        connection=practice.connection, field="language", last_good_at=practice.connection.loaded_at,
        last_good_value="es", last_good_external_id=name, failures=12, failing_since=practice.connection.loaded_at,
        last_problem="it is no language code",
    )  # fmt: skip
    page = staff_page(f"/admin/connections/{practice.connection.pk}/fields/")
    fits(page, "fields")
    page.get_by_role("link", name="Language").click()
    expect(page.locator("dl.facts")).to_contain_text("esYour look at it is recorded.")
    page.get_by_label("FHIRPath").fill("Patient.language(")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".errornote")).to_contain_text("It cannot be read from character")
    fits(page, "field")


def test_an_event_of_a_long_name_is_tried_within_the_page(staff_page: SignedIn, practice: Practice) -> None:
    event = InboundEvent.objects.create(
        connection=practice.connection, via="webhook", dedupe_key="e", subject_key=f"Appointment/{'0f' * 32}",
        due_at=timezone.now(), received_at=timezone.now(), status="done", body=b"{}",
    )  # fmt: skip
    page = staff_page(
        f"/admin/connections/{practice.connection.pk}/codes/try/{event.pk}/?domain=status&code=CX&target="
    )
    expect(page.locator(".lead")).to_contain_text("0f0f0f")
    fits(page, "try")


def test_codes_are_mapped_and_had_back_with_the_keyboard_alone(staff_page: SignedIn, practice: Practice) -> None:
    for code, display in (("NS", ""), ("CXL", "")):
        CodeMapping.objects.create(connection=practice.connection, domain="status", code=code, display=display)
    page = staff_page(f"/admin/connections/{practice.connection.pk}/codes/?domain=status")
    fits(page, "mapper-unmapped")

    def tab_to(name: str, most: int) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText.trim()").startswith(name):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
        raise AssertionError(f"{name} was not reached")

    tab_to("Skip to main content", 1)
    page.keyboard.press("Enter")
    tab_to("Accept: cancelled", 10)
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("“CXL” means: cancelled.")
    expect(page.locator(".messagelist")).to_be_in_viewport()
    # The next guess is the next stop, without a way through the whole page.
    tab_to("Accept: no-show", 1)
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("“NS” means: no-show.")
    assert dict(CodeMapping.objects.values_list("code", "target")) == {"CXL": "cancelled", "NS": "noshow"}
    tab_to("Undo", 4)
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("the last change was taken back")
    assert sorted(CodeMapping.objects.values_list("target", flat=True)) == ["", "noshow"]
