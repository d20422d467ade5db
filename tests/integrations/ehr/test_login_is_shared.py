"""One token for all workers, renewed by one of them; it goes to the EHR's own origin and nowhere else."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection as database
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from integrations.ehr import checking, poll
from integrations.ehr.fhir import auth, search
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import LoginRefused, Malformed, Refused, Throttled, Unavailable, connect
from integrations.models import AccessToken, ApiCall, Connection
from scheduling.models import Appointment, WorkItem
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.race import right_after

pytestmark = pytest.mark.django_db


def logins(sandbox: ehr.Sandbox) -> int:
    return len(sandbox.calls("/oauth/token"))


def test_a_token_is_asked_for_once_and_kept_encrypted(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    for _ in range(3):
        connect(connection).fetch("location", "elm")
    assert logins(sandbox) == 1
    row = AccessToken.objects.get()
    assert row.expires_at is not None
    # 300 seconds of life, given up half a minute early
    assert timedelta(seconds=265) < row.expires_at - timezone.now() <= timedelta(seconds=270)
    with database.cursor() as cursor:
        cursor.execute("SELECT value FROM integrations_accesstoken")
        stored = cursor.fetchone()[0]
    assert row.value
    assert row.value not in stored


def test_a_token_near_its_end_is_renewed_before_the_ehr_refuses_it(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    connect(connection).fetch("location", "elm")
    AccessToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    connect(connection).fetch("location", "elm")
    assert logins(sandbox) == 2
    assert not [call for call in sandbox.calls("/fhir/Location") if call["status"] == 401]


def test_a_token_that_ends_in_mid_batch_is_renewed_once(
    sandbox: ehr.Sandbox, connection: Connection, monkeypatch: pytest.MonkeyPatch, work_inbox
) -> None:
    monkeypatch.setattr(search, "PAGE_SIZE", 2)
    sandbox.load(*(ehr.booking(f"b-{number}", number) for number in range(7)))
    before = logins(sandbox)
    sandbox.fault("401", path="Appointment", method="GET", skip=2)
    assert poll.poll(connection.pk) is not None
    work_inbox()
    assert Appointment.objects.count() == 7
    assert logins(sandbox) == before + 1
    assert ApiCall.objects.filter(status=401).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_token_that_ends_under_many_workers_is_renewed_by_one(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    connect(connection).fetch("location", "elm")
    sandbox.control.post("tokens/revoke")
    before = logins(sandbox)
    gate, found = threading.Barrier(8), []

    def worker() -> None:
        gate.wait()
        try:
            found.append(connect(Connection.objects.get(pk=connection.pk)).fetch("location", "elm").external_id)
        finally:
            database.close()

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["elm"] * 8
    assert logins(sandbox) == before + 1


def test_a_token_that_another_worker_renewed_meanwhile_is_not_renewed_again(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    connect(connection).fetch("location", "elm")
    sandbox.control.post("tokens/revoke")
    before = logins(sandbox)
    with right_after(
        "integrations.ehr.fhir.transport.exchange", lambda: connect(connection).fetch("location", "elm")
    ):  # the other one is refused as well, and has a new token before we ask for one
        connect(connection).fetch("location", "elm")
    assert logins(sandbox) == before + 1
    assert ApiCall.objects.filter(status=401).count() == 2


def test_a_login_that_stays_refused_is_an_error_after_one_renewal(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    sandbox.fault("401", path="Location", count=None)
    with pytest.raises(LoginRefused):
        connect(connection).fetch("location", "elm")
    assert len(sandbox.calls("/fhir/Location/elm")) == 2
    connection.refresh_from_db()
    assert connection.state == "active"
    assert connection.failing_since is not None


def test_a_client_the_ehr_no_longer_knows_stops_the_connection_and_asks_staff(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect(client_secret="outdated")
    with pytest.raises(LoginRefused):
        connect(connection).fetch("location", "elm")
    connection.refresh_from_db()
    assert (connection.state, connection.last_error) == ("stopped", "invalid_client")
    item = WorkItem.objects.get()
    assert (item.kind, item.urgency) == ("health.stopped", 0)
    calls = ApiCall.objects.count()
    with pytest.raises(LoginRefused):
        connect(connection).fetch("location", "elm")
    assert ApiCall.objects.count() == calls  # no further call is made
    assert WorkItem.objects.get().times_seen == 1


def test_a_login_server_that_is_down_is_an_outage_not_a_refusal(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    sandbox.fault("500", path="oauth/token")
    with pytest.raises(Unavailable):
        connect(connection).fetch("location", "elm")
    connection.refresh_from_db()
    assert connection.state == "active"
    with pytest.raises(Throttled):  # everybody leaves it in peace for a moment
        connect(connection).fetch("location", "elm")
    Connection.objects.update(quiet_until=None)
    assert connect(connection).fetch("location", "elm").external_id == "elm"


def test_the_worker_that_was_asking_for_a_token_may_die(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    expired = timezone.now() - timedelta(seconds=1)
    AccessToken.objects.create(connection=connection, lease_until=expired)
    assert connect(connection).fetch("location", "elm").external_id == "elm"
    assert logins(sandbox) == 1


@pytest.fixture
def other_host(httpserver: HTTPServer) -> HTTPServer:
    """A server that notes whatever reaches it."""
    httpserver.expect_request("/").respond_with_data("")
    return httpserver


def test_a_next_link_to_another_host_is_refused(
    sandbox: ehr.Sandbox, connection: Connection, other_host: HTTPServer
) -> None:
    sandbox.load(ehr.booking("b-1"))
    sandbox.fault("foreign-next", path="Appointment", url=other_host.url_for("/fhir"))
    with pytest.raises(Refused):
        list(connect(connection).changed_since(timezone.now() - timedelta(hours=1)))
    assert other_host.log == []


def test_a_redirect_with_the_token_is_refused(
    sandbox: ehr.Sandbox, connection: Connection, other_host: HTTPServer
) -> None:
    for method in ("GET", "POST"):
        sandbox.fault("redirect", method=method, url=other_host.url_for("/fhir/elsewhere"))
    with pytest.raises(Refused):
        connect(connection).fetch("location", "elm")
    with pytest.raises(Refused):
        Transport(connection).write("POST", "Appointment", ehr.booking("b-1"))
    assert other_host.log == []
    assert set(ApiCall.objects.filter(result="refused_by_us").values_list("status", flat=True)) == {302}


@pytest.mark.parametrize(
    "scheme_and_port", ["https://127.0.0.1:{port}", "http://127.0.0.2:{port}", "http://localhost:{port}"]
)
def test_another_scheme_or_name_is_another_origin(connection: Connection, scheme_and_port: str) -> None:
    port = int(connection.base_url.rpartition(":")[2].partition("/")[0])
    link = scheme_and_port.format(port=port) + "/fhir/Appointment?page=2"
    with pytest.raises(Refused):
        Transport(connection).absolute(link)


def test_a_relative_next_link_is_followed(connection: Connection) -> None:
    current = f"{connection.base_url}/Appointment"
    assert Transport(connection).absolute("?page=2", current) == f"{current}?page=2"


def test_no_token_no_cookie_and_no_password_of_the_machine_travels(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, db: None, tmp_path
) -> None:

    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {httpserver.host} login user password secret")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response('{"resourceType": "Location", "id": "elm"}', headers={"Set-Cookie": "a=b"})

    httpserver.expect_request("/token").respond_with_json({"access_token": "the-token", "expires_in": 60})
    httpserver.expect_request("/fhir/Location/elm").respond_with_handler(answer)
    connection = factories.connection(base_url=httpserver.url_for("/fhir"), token_url=httpserver.url_for("/token"))
    for _ in range(2):
        connect(connection).fetch("location", "elm")
    assert [request.headers["Authorization"] for request in seen] == ["Bearer the-token"] * 2
    assert not any("Cookie" in request.headers for request in seen)
    assert seen[0].headers["Accept"] == "application/fhir+json"
    assert seen[0].headers["Cache-Control"] == "no-cache"


def test_the_secret_is_not_sent_over_http_when_the_ehr_is_reached_by_https(db: None, httpserver: HTTPServer) -> None:
    connection = factories.connection(base_url="https://ehr.example.org/fhir", token_url="")
    published = b'{"token_endpoint": "http://ehr.example.org/token"}'

    class Publishing(Transport):
        def read_publicly(self, path: str):  # type: ignore[no-untyped-def]
            from integrations.ehr.fhir.answers import Answer

            return Answer(200, {}, published, timezone.now())

    with pytest.raises(Malformed):
        auth.Login(connection, Publishing(connection)).endpoint()


class Moving:
    """An EHR that publishes where its login is, and has it elsewhere from some moment on."""

    def __init__(self, httpserver: HTTPServer) -> None:
        self.published: str | None = httpserver.url_for("/old")
        self.new = httpserver.url_for("/new")
        self.old_answers = Response('{"access_token": "old", "expires_in": 60}')
        self.looked_up, self.publishes_with = 0, 200
        httpserver.expect_request("/fhir/.well-known/smart-configuration").respond_with_handler(self._configuration)
        httpserver.expect_request("/old").respond_with_handler(lambda request: self.old_answers)
        httpserver.expect_request("/new").respond_with_json({"access_token": "new", "expires_in": 60})
        httpserver.expect_request("/fhir/Location/elm").respond_with_json({"resourceType": "Location", "id": "elm"})
        self.connection = factories.connection(base_url=httpserver.url_for("/fhir"), token_url="")
        self.fetch()

    def _configuration(self, request: Request) -> Response:
        self.looked_up += 1
        if self.published is None:
            return Response("gone", 503)
        return Response(f'{{"token_endpoint": "{self.published}"}}', self.publishes_with)

    def fetch(self) -> str:
        """Log in anew and fetch something; return the token of it."""
        Connection.objects.update(quiet_until=None)
        auth.forget_token(self.connection.pk)
        connect(Connection.objects.get()).fetch("location", "elm")
        return AccessToken.objects.get().value


@pytest.mark.parametrize(
    ("status", "body"), [(404, "no such page"), (410, ""), (401, '{"error": "invalid_client"}'), (400, "moved")]
)
def test_a_login_that_moved_is_found_where_the_ehr_publishes_it_now(
    httpserver: HTTPServer, status: int, body: str
) -> None:
    ehr_that_moves = Moving(httpserver)
    ehr_that_moves.published, ehr_that_moves.old_answers = ehr_that_moves.new, Response(body, status)
    assert ehr_that_moves.fetch() == "new"
    assert Connection.objects.get().state == "active"
    assert ehr_that_moves.looked_up == 2
    assert ehr_that_moves.fetch() == "new"
    assert ehr_that_moves.looked_up == 2


def test_a_login_that_cannot_be_reached_is_looked_up_before_the_next_try(httpserver: HTTPServer) -> None:
    ehr_that_moves = Moving(httpserver)
    ehr_that_moves.published, ehr_that_moves.old_answers = ehr_that_moves.new, Response("", 502)
    with pytest.raises(Unavailable):
        ehr_that_moves.fetch()
    assert ehr_that_moves.fetch() == "new"


@pytest.mark.parametrize("published", [200, 404])
def test_an_outage_of_the_login_goes_on_although_its_address_can_be_read(
    httpserver: HTTPServer, published: int
) -> None:
    """Staff are told of one that lasts, and calls become rarer: both go by since when it lasts."""
    ehr_that_stays = Moving(httpserver)
    ehr_that_stays.old_answers, ehr_that_stays.publishes_with = Response("", 502), published
    since = []
    for _ in range(3):
        with pytest.raises(Unavailable):
            ehr_that_stays.fetch()
        since.append(Connection.objects.get().failing_since)
    assert ehr_that_stays.looked_up == 3
    assert since[0] is not None
    assert since == [since[0]] * 3
    ehr_that_stays.old_answers = Response('{"access_token": "again", "expires_in": 60}')
    assert ehr_that_stays.fetch() == "again"
    assert Connection.objects.get().failing_since is None


def test_where_nothing_is_published_any_more_the_known_login_serves(httpserver: HTTPServer) -> None:
    ehr_that_moves = Moving(httpserver)
    answers, ehr_that_moves.published = ehr_that_moves.old_answers, None
    ehr_that_moves.old_answers = Response("", 502)
    with pytest.raises(Unavailable):
        ehr_that_moves.fetch()
    ehr_that_moves.old_answers = answers
    with pytest.raises(Unavailable):  # what could not be read is trouble of the EHR's, too
        ehr_that_moves.fetch()
    assert ehr_that_moves.fetch() == "old"


def test_a_refused_login_that_did_not_move_still_stops_the_connection(httpserver: HTTPServer) -> None:
    ehr_that_stays = Moving(httpserver)
    ehr_that_stays.old_answers = Response('{"error": "invalid_client"}', 401)
    with pytest.raises(LoginRefused):
        ehr_that_stays.fetch()
    assert Connection.objects.get().state == "stopped"


def test_a_check_looks_up_where_the_login_is(httpserver: HTTPServer) -> None:
    ehr_that_moves = Moving(httpserver)
    ehr_that_moves.published = ehr_that_moves.new
    assert ehr_that_moves.fetch() == "old"
    httpserver.expect_request("/fhir/metadata").respond_with_json({"resourceType": "CapabilityStatement"})
    checking.check(Connection.objects.get())
    assert ehr_that_moves.fetch() == "new"
