"""Every provider that may be named works with the settings asked for, and is one that django-anymail tests."""

from __future__ import annotations

import base64
import warnings
from typing import Any

import pytest
from anymail.exceptions import AnymailWarning
from anymail.urls import urlpatterns
from django.core.mail import get_connection
from django.test import RequestFactory

from integrations.messaging.email import webhook
from integrations.messaging.email.providers import NO_MORE, PROVIDERS

SECRET = "anybody:0123456789abcdefghij"


def set_to(settings: Any, provider: str) -> None:
    settings.EMAIL_PROVIDER = provider
    settings.EMAIL_BACKEND = f"anymail.backends.{provider}.EmailBackend"
    settings.ANYMAIL = {**dict.fromkeys(PROVIDERS[provider], "https://mail.example.org/x"), "WEBHOOK_SECRET": SECRET}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_sends_and_hears_with_the_settings_asked_for(settings: Any, provider: str) -> None:
    set_to(settings, provider)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnymailWarning)
        assert get_connection().esp_name
        assert webhook._view().esp_name
        # Whatever a stranger sends: refused, and no error page.
        login = base64.b64encode(b"anybody:else").decode()
        call = RequestFactory().post("/webhooks/email/email/status/", {}, headers={"Authorization": f"Basic {login}"})
        assert webhook.is_genuine(call) is False


def test_the_others_of_django_anymail_are_left_out_for_a_reason() -> None:
    """One that it begins to support is looked at, and so is one that it drops."""
    tracking = {route.name.removesuffix("_tracking_webhook") for route in urlpatterns if "_tracking_" in route.name}
    needs_a_package_of_its_own, former_name = {"amazon_ses"}, {"sendinblue"}
    assert tracking == {*PROVIDERS} | {*NO_MORE} | needs_a_package_of_its_own | former_name
