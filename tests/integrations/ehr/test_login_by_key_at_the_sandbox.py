"""A signed login end to end: the EHR fetches our public keys over HTTP, lets us in, and goes on after a rotation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from integrations.ehr import signing_keys
from integrations.ehr.fhir import auth
from integrations.ehr.gateway import LoginRefused, connect
from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from integrations.models import SigningKey
from tests import factories
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_the_ehr_lets_us_in_by_the_keys_it_fetches_also_after_they_changed(
    live_server: LiveServer, algorithm: str
) -> None:
    settings = SandboxSettings(
        client_id=ehr.CLIENT_ID,
        control_token=ehr.CONTROL_TOKEN,
        client_keys_url=f"{live_server.url}/ehr/elm/jwks.json",
    )
    with SandboxServer(settings) as server:
        sandbox = ehr.Sandbox(server.base_url, server)
        sandbox.small_clinic()
        connection = sandbox.connect(slug="elm", login_method="signed", client_secret="")
        old = signing_keys.ensure(connection, algorithm, timezone.now() - timedelta(days=2))
        assert connect(connection).fetch("location", "elm").external_id == "elm"

        new = signing_keys.rotate(connection, now=timezone.now() - timedelta(days=1, minutes=1))
        assert signing_keys.current(connection) == new != old
        auth.forget_token(connection.pk)
        assert connect(connection).fetch("location", "elm").external_id == "elm"
        assert [call["status"] for call in sandbox.calls("/oauth/token")] == [200, 200]

        # Somebody else's key in our name is nobody's.
        stranger = signing_keys.ensure(factories.connection("stranger"), algorithm)
        SigningKey.objects.filter(connection=connection).update(private_key=stranger.private_key)
        auth.forget_token(connection.pk)
        with pytest.raises(LoginRefused):
            connect(connection).fetch("location", "elm")
