import json
import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client, RequestFactory

from audit.context import SYSTEM, correlation_id, current_actor, known_actor, source_address
from audit.log import record
from audit.middleware import AuditContextMiddleware, parse_address
from audit.models import AccessRecord
from audit.system_checks import check_middleware


def answer(user: Any = None, **headers: str) -> tuple[dict[str, Any], HttpResponse]:
    """Sends one request through the middleware; gives what the view saw, and the response."""

    def view(request: HttpRequest) -> HttpResponse:
        request.user = user or AnonymousUser()
        actor = current_actor()
        return JsonResponse(
            {"actor": actor.name, "kind": actor.kind, "id": correlation_id(), "address": source_address()}
        )

    response = AuditContextMiddleware(view)(RequestFactory().get("/", **headers))  # type: ignore[arg-type]
    return json.loads(response.content), response


def test_a_request_has_actor_address_and_an_id_of_our_own() -> None:
    seen, response = answer(REMOTE_ADDR="192.0.2.10")

    assert (seen["actor"], seen["kind"], seen["address"]) == ("anonymous", "anonymous", "192.0.2.10")
    assert re.fullmatch("[0-9a-f]{32}", seen["id"])
    assert response.headers["X-Correlation-ID"] == seen["id"]
    assert (current_actor(), correlation_id(), source_address()) == (SYSTEM, "", None)


def test_everything_is_reset_after_an_error_too() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        AuditContextMiddleware(view)(RequestFactory().get("/"))

    assert (current_actor(), correlation_id(), source_address()) == (SYSTEM, "", None)


SPOOFED = [
    "203.0.113.9",
    "unknown",
    "127.0.0.1, 10.0.0.1",
    "'; DROP TABLE audit_seal; --",
    "<script>",
    ",,,",
    "1.2.3.4:99999",
    "[::1",
    "%00",
    "9" * 5000,
    "fe80::1%eth0",
    "é",
]


@pytest.mark.parametrize("forwarded", SPOOFED)
def test_without_a_proxy_of_ours_forwarded_addresses_are_ignored(forwarded: str) -> None:
    seen, _ = answer(REMOTE_ADDR="192.0.2.10", HTTP_X_FORWARDED_FOR=forwarded, HTTP_X_REAL_IP="203.0.113.9")

    assert seen["address"] == "192.0.2.10"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::5]:443", "2001:db8::5"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "fe80::1%eth0", "fe80::1"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.2"),
        (1, "unknown", "10.0.0.2"),
        (1, "203.0.113.9, unknown", "10.0.0.2"),
        (1, "", "10.0.0.2"),
    ],
)
def test_behind_proxies_of_ours_only_their_entries_count(
    settings: Any, proxies: int, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies

    assert answer(REMOTE_ADDR="10.0.0.2", HTTP_X_FORWARDED_FOR=forwarded)[0]["address"] == address


def test_a_unix_socket_has_no_address() -> None:
    assert answer(REMOTE_ADDR="")[0]["address"] is None


@pytest.mark.django_db
@pytest.mark.parametrize("forwarded", SPOOFED)
@pytest.mark.parametrize("proxies", [0, 1])
def test_no_header_makes_recording_fail(settings: Any, forwarded: str, proxies: int) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies
    get_user_model().objects.create_user("clerk", password="right-password-1", is_staff=True)

    response = Client().post(
        "/admin/login/",
        {"username": "clerk", "password": "wrong"},
        headers={"X-Forwarded-For": forwarded, "X-Request-ID": forwarded, "X-Http-Method-Override": "DELETE"},
    )

    assert response.status_code == 200
    assert AccessRecord.objects.get().result == "failed"


def test_a_strangers_request_id_is_not_taken_over(settings: Any) -> None:
    offered = "0123456789abcdef" * 2
    settings.TRUSTED_PROXY_COUNT = 0
    assert answer(HTTP_X_REQUEST_ID=offered, HTTP_X_CORRELATION_ID=offered)[0]["id"] != offered

    settings.TRUSTED_PROXY_COUNT = 1
    assert answer(HTTP_X_REQUEST_ID=offered)[0]["id"] == offered
    assert answer(HTTP_X_REQUEST_ID="01234567-89ab-cdef-0123-456789abcdef")[0]["id"] == offered
    for garbage in ("x" * 32, offered + "0", "", offered + "\n"):
        assert answer(HTTP_X_REQUEST_ID=garbage)[0]["id"] not in (garbage, offered)


@pytest.mark.parametrize("text", ["", "  ", "300.1.1.1", "1.2.3", "[]", "::g", "localhost"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.django_db
def test_the_signed_in_user_is_the_actor() -> None:
    user = get_user_model().objects.create(username="clerk")

    assert answer(user=user)[0]["actor"] == "clerk"


@pytest.mark.django_db
def test_a_user_set_by_token_authentication_is_the_actor() -> None:
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.request import Request
    from rest_framework.response import Response
    from rest_framework.views import APIView

    user = get_user_model().objects.create(username="integrator")

    class ByToken(BaseAuthentication):
        def authenticate(self, request: Request) -> tuple[Any, None]:
            return user, None

    class View(APIView):
        authentication_classes = [ByToken]
        permission_classes = []

        def get(self, request: Request) -> Response:
            record(AccessRecord.Action.VIEW)
            return Response()

    AuditContextMiddleware(View.as_view())(RequestFactory().get("/"))

    assert AccessRecord.objects.get().user == user


@pytest.mark.django_db
def test_a_log_line_looks_nobody_up(django_assert_num_queries: Any) -> None:
    from django.contrib.auth.middleware import AuthenticationMiddleware
    from django.contrib.sessions.middleware import SessionMiddleware

    names = []

    def view(request: HttpRequest) -> HttpResponse:
        names.append(known_actor().name)
        return HttpResponse()

    request = RequestFactory().get("/")
    request.COOKIES["sessionid"] = "a" * 32
    inner = SessionMiddleware(AuthenticationMiddleware(view))
    with django_assert_num_queries(0):
        AuditContextMiddleware(inner)(request)

    assert names == ["anonymous"]


def test_the_librarys_own_middleware_stops_the_start(settings: Any) -> None:
    assert check_middleware(None) == []
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "auditlog.middleware.AuditlogMiddleware"]

    assert [error.id for error in check_middleware(None)] == ["audit.E001"]
