"""The login at an EHR: OAuth2 client credentials by a secret or a signature of ours.

One token serves all workers; one of them at a time renews it.
"""

from __future__ import annotations

import base64
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from audit.log import record_change
from integrations import alerts
from integrations.ehr import pulse, watching
from integrations.ehr.fhir.assertion import ASSERTION_TYPE, client_assertion
from integrations.ehr.gateway import GatewayError, LoginRefused, Malformed, Throttled, Unavailable
from integrations.ehr.signing_keys import NoKey
from integrations.models import AccessToken, Connection
from integrations.safe_json import NotJson, read_json
from scheduling.models import WorkItem
from scheduling.worklist import ask_staff

if TYPE_CHECKING:
    from integrations.ehr.fhir.answers import Answer
    from integrations.ehr.fhir.transport import Transport

#: A token is renewed this long before the EHR would refuse it, or at half its life if that is shorter.
EARLY = timedelta(seconds=30)
#: Longer than the call for a token may take.
LEASE = timedelta(seconds=20)
WAIT_SECONDS = 10.0
#: How long a token lives when the EHR does not say.
ASSUMED_LIFE = 300


class Login:
    """The token of one connection, as one call sees it."""

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport

    def token(self, row: AccessToken) -> tuple[str, int]:
        """Return a token that is good for a while and its serial, renewing it when it is not."""
        if _is_good(row):
            return row.value, row.serial
        return self._renewed(row)

    def renewed_after(self, refused_serial: int) -> tuple[str, int]:
        """The EHR refused the token with this serial: return another one, renewed by whoever came first."""
        row = self._read()
        if row.serial != refused_serial and _is_good(row):
            return row.value, row.serial
        return self._renewed(row, refused=True)

    def _read(self) -> AccessToken:
        return AccessToken.objects.get(connection_id=self._connection.pk)

    def _renewed(self, row: AccessToken, *, refused: bool = False) -> tuple[str, int]:
        """Renew the token, or wait for the worker who is at it."""
        serial, give_up = row.serial, time.monotonic() + WAIT_SECONDS
        while time.monotonic() < give_up:
            if self._take_lease(serial):
                return self._ask_and_store(serial)
            row = self._read()
            if row.serial != serial and _is_good(row):
                return row.value, row.serial
            serial = row.serial
            time.sleep(0.03)
        raise Unavailable("No token: another worker is still asking for one.")

    def _take_lease(self, serial: int) -> bool:
        now = timezone.now()
        free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
        rows = AccessToken.objects.filter(free, connection_id=self._connection.pk, serial=serial)
        return bool(rows.update(lease_until=now + LEASE))

    def _ask_and_store(self, serial: int) -> tuple[str, int]:
        mine = AccessToken.objects.filter(connection_id=self._connection.pk, serial=serial)
        try:
            value, scope, stop_using_at = self._ask()
        except BaseException:
            mine.update(lease_until=None)
            raise
        mine.update(value=value, scope=scope, expires_at=stop_using_at, serial=serial + 1, lease_until=None)
        return value, serial + 1

    def _ask(self) -> tuple[str, str, datetime]:
        """Return a new token, the scopes that came with it and until when it is used."""
        endpoint, asked_at = self.endpoint(), timezone.now()
        answer = self._ask_at(endpoint)
        if answer.status != 200 and (moved_to := self._moved_from(endpoint)):
            asked_at, answer = timezone.now(), self._ask_at(moved_to)
        said = _json(answer)
        if answer.status != 200:
            self._refused(answer, str(said.get("error", ""))[:60])
        token = said.get("access_token")
        if not isinstance(token, str) or not token or len(token) > 16_000:
            raise Malformed("The EHR's login answered without a token.", status=answer.status)
        life = timedelta(seconds=_seconds(said.get("expires_in")))
        granted = said.get("scope")
        return token, granted if isinstance(granted, str) else "", asked_at + life - min(EARLY, life / 2)

    def _ask_at(self, endpoint: str) -> Answer:
        """Return what is answered there; one that cannot be reached may have moved: it is looked up before the next."""
        form = {"grant_type": "client_credentials", **self._proof(endpoint)}
        if self._connection.scope:
            form["scope"] = self._connection.scope
        try:
            return self._transport.ask_for_token(endpoint, urlencode(form).encode(), self._authorization())
        except GatewayError as error:
            # One that asks for patience is there.
            if not isinstance(error, Throttled | LoginRefused) and endpoint == self._known():
                self._keep(endpoint, is_doubted=True)
            raise

    def _authorization(self) -> str:
        """Return the header that says who we are, empty where the form says it."""
        if self._connection.login_method == Connection.LoginMethod.SECRET_BASIC:
            return _basic(self._connection.client_id, self._connection.client_secret)
        return ""

    def _proof(self, endpoint: str) -> dict[str, str]:
        """Return what the form says about who we are; raises LoginRefused where we have nothing to say."""
        if self._connection.login_method == Connection.LoginMethod.SECRET_POST:
            return {"client_id": self._connection.client_id, "client_secret": self._connection.client_secret}
        if self._connection.login_method == Connection.LoginMethod.SIGNED:
            try:
                signed = client_assertion(self._connection, endpoint)
            except NoKey:
                raise LoginRefused("The connection has no signing key. Make one on its page.") from None
            return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}
        return {}

    def _refused(self, answer: Answer, error: str) -> None:
        detail = f"The EHR's login answered {answer.status} {error}".strip()
        if error in ("invalid_client", "unauthorized_client"):
            stop(self._connection, error)
        raise LoginRefused(detail, status=answer.status, outcome_code=error)

    def endpoint(self) -> str:
        """Return the address tokens are asked at: the connection's own, else the one its EHR publishes."""
        if self._connection.token_url:
            return self._connection.token_url
        known = self._known()
        if not known:
            return self._published()
        if not self._connection.capabilities["token_endpoint"].get("doubted"):
            return known
        # Once for each doubt: an EHR that no longer publishes it is asked where it was known to be.
        self._keep(known)
        try:
            return self._published()
        except (Unavailable, Throttled):
            # It is away as a whole. That is what is to be said, and not that we leave it in peace since a moment ago.
            raise
        except GatewayError:
            return known

    def look_up(self) -> None:
        """Read anew where the EHR has its login, if it was found out by that; what cannot be read changes nothing."""
        if not self._connection.token_url and self._known():
            with suppress(GatewayError):
                self._published()

    def _moved_from(self, endpoint: str) -> str:
        """Return where the EHR publishes its login now, if that is no longer where we knew it to be; else ""."""
        if endpoint != self._known():
            return ""
        self.look_up()
        return self._known() if self._known() != endpoint else ""

    def _known(self) -> str:
        """Return the address that this EHR published when it was last read; empty before."""
        known = self._connection.capabilities.get("token_endpoint")
        is_its_own = isinstance(known, dict) and known.get("of") == self._connection.base_url
        return str(known["url"]) if is_its_own else ""

    def _published(self) -> str:
        """Read the address that the EHR publishes and keep it."""
        found = self._transport.read_publicly(".well-known/smart-configuration")
        endpoint = _json(found).get("token_endpoint")
        # The secret goes there: never with less protection than the EHR's own address has.
        schemes = ("https://",) if self._connection.base_url.startswith("https:") else ("https://", "http://")
        if not isinstance(endpoint, str) or not endpoint.startswith(schemes):
            raise Malformed("The EHR's smart-configuration names no safe token endpoint.", status=found.status)
        self._keep(endpoint)
        return endpoint

    def _keep(self, endpoint: str, *, is_doubted: bool = False) -> None:
        # Others keep other things in the same column meanwhile.
        self._connection.refresh_from_db(fields=("capabilities",))
        published = {"of": self._connection.base_url, "url": endpoint, **({"doubted": True} if is_doubted else {})}
        self._connection.capabilities = {**self._connection.capabilities, "token_endpoint": published}
        Connection.objects.filter(pk=self._connection.pk).update(capabilities=self._connection.capabilities)


def stop(connection: Connection, error: str) -> None:
    """Our client is not known at the EHR any more: make no further calls and tell staff, once."""
    rows = Connection.objects.filter(pk=connection.pk, state=Connection.State.ACTIVE)
    with transaction.atomic():
        if rows.update(state=Connection.State.STOPPED):
            record_change(connection, {"state": (Connection.State.ACTIVE, Connection.State.STOPPED)})
            connection.state = Connection.State.STOPPED
    pulse.note_refused_login(connection.pk, error)
    trouble = watching.stopped(connection)
    ask_staff(
        trouble.kind,
        trouble.title,
        advice=trouble.advice,
        dedupe_key=trouble.key,
        urgency=WorkItem.Urgency.RED,
        subject=connection,
    )
    alerts.raise_alerts()


def ensure_row(connection_id: int) -> None:
    """Make the row that holds the connection's token, if there is none yet."""
    AccessToken.objects.bulk_create([AccessToken(connection_id=connection_id)], ignore_conflicts=True)


def forget_token(connection_id: int) -> None:
    """Drop the cached token, so that the next call logs in anew."""
    AccessToken.objects.filter(connection_id=connection_id).update(
        value="", expires_at=None, lease_until=None, serial=F("serial") + 1
    )


def _is_good(row: AccessToken) -> bool:
    return bool(row.value) and row.expires_at is not None and row.expires_at > timezone.now()


def _basic(client_id: str, secret: str) -> str:
    # RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def _seconds(value: Any) -> int:
    try:
        seconds = int(value)
    except (TypeError, ValueError):
        return ASSUMED_LIFE
    return min(max(seconds, 0), 24 * 3600)


def _json(answer: Answer) -> dict[str, Any]:
    try:
        value = read_json(answer.body)
    except NotJson:
        value = None
    if not isinstance(value, dict):
        if answer.status == 200:
            raise Malformed("The EHR's login cannot be read.", status=answer.status)
        return {}
    return value
