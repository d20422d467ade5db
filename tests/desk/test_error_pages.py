"""When something of ours fails: staff see a page in staff's words, patients theirs."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from django.core.exceptions import SuspiciousOperation
from django.test import Client

from config.desk import status
from tests.desk.conftest import Practice
from tests.desk.pages import plain


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(status, "worker_line", fail)


def test_staff_read_what_is_safe_what_to_do_and_what_to_tell_it(
    dana: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, RuntimeError("Robin Sample, 555-0100"))
    dana.raise_request_exception = False
    answer = dana.get("/admin/status/")
    words = plain(answer.content.decode())
    assert answer.status_code == 500
    assert "look at what is true now before you press again" in words
    assert f"correlation id {answer['X-Correlation-ID']}" in words
    assert "Robin" not in words
    assert "in our message" not in words
    assert "<script" not in answer.content.decode()


def test_what_staff_sent_and_we_cannot_read_is_said_to_staff(
    dana: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, SuspiciousOperation("Robin"))
    answer = dana.get("/admin/status/")
    words = plain(answer.content.decode())
    assert answer.status_code == 400
    assert "Nothing was changed." in words
    assert "a message from us" not in words
    assert "Robin" not in words


def test_no_database_is_asked(practice: Practice, dana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection
    from django.test import RequestFactory

    from config.error_pages import bad_request, server_error

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("the database was asked")

    request = RequestFactory().get("/admin/status/")
    with connection.execute_wrapper(refuse):
        assert server_error(request).status_code == 500
        assert bad_request(request, SuspiciousOperation()).status_code == 400


def test_patients_keep_their_own_pages(client: Client) -> None:
    from django.test import RequestFactory

    from config.error_pages import bad_request, server_error

    request = RequestFactory().get("/o/token/")
    assert "in our message" in server_error(request).content.decode()
    assert '<section lang="es">' in bad_request(request, SuspiciousOperation()).content.decode()
