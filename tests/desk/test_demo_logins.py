"""The demo's logins: each sees what its role sees, and the login page names them where there is a demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory

from config.demo import setup
from config.desk.groups import keep_groups
from config.sandbox import SandboxNotReady
from scheduling.models import Location, Opening, Source
from tests.desk.conftest import Practice
from tests.desk.pages import text_of


def test_each_login_has_its_role_and_the_password_that_is_printed(practice: Practice) -> None:
    keep_groups()
    User.objects.create_superuser("frontdesk", password="of an older demo")
    password = setup.staff_password()
    request = RequestFactory().get("/admin/login/")
    people = {name: authenticate(request, username=name, password=password) for name, *_ in setup.LOGINS}
    rights = {
        name: (user.is_superuser, [*user.groups.values_list("name", flat=True)])  # type: ignore[union-attr]
        for name, user in people.items()
    }
    assert rights == {
        "frontdesk": (False, ["Front desk"]),
        "integrations": (False, ["Integration admin"]),
        "admin": (True, []),
    }
    practice.opening()
    practice.opening(practice.lakeview)
    assert Opening.objects.for_user(people["frontdesk"]).count() == 2
    assert Location.objects.for_user(people["integrations"]).count() == 2


def test_the_login_page_names_them_in_the_demo_and_nowhere_else(practice: Practice, settings: Any) -> None:
    hint = "Log in as frontdesk , integrations or admin ; the password of all three"
    assert "This is the demo." not in text_of(Client().get("/admin/login/"))
    settings.SANDBOX_CONTROL_URL = "http://127.0.0.1:1/fhir"
    words = text_of(Client().get("/admin/login/"))
    assert hint in words
    assert all(name in words for name, *_ in setup.LOGINS)


def test_a_demo_that_may_not_call_this_machine_says_what_to_set(settings: Any) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(CommandError, match=r"EHR_ALLOW_PRIVATE_ADDRESSES=false .* Set it to true"):
        call_command("demo", "--run")


def test_fresh_throws_away_no_other_database(
    db: None, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    def no_sandbox(*args: Any, **kwargs: Any) -> NoReturn:
        raise SandboxNotReady("it went on")

    monkeypatch.setattr("config.management.commands.demo.start_sandbox", no_sandbox)
    settings.VAR_DIR = tmp_path
    settings.INSTALLATION, settings.APP_ENV = "test", "embedded"
    monkeypatch.setattr(connection, "vendor", "postgresql")
    with pytest.raises(CommandError, match="DATABASE_URL points to another database"):
        call_command("demo", "--run", "--fresh")


def test_a_live_installation_is_not_filled_with_made_up_patients(settings: Any, db: None) -> None:
    settings.INSTALLATION = "live"
    with pytest.raises(CommandError, match=r"INSTALLATION=live.* Nothing was changed"):
        call_command("demo", "--run")
    assert not Source.objects.exists()
