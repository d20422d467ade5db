"""Staff hear of an EHR that should tell us of its changes and does not, and of no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations import health, switches
from integrations.ehr import event_stream, intake, listening, load, poll
from integrations.ehr.fhir.events import StreamStatus
from integrations.models import Connection, EventSubscription, InboundEvent
from scheduling.models import WorkItem
from tests.desk.test_connecting import form
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

BOOKED = 12


@pytest.fixture
def told(sandbox: ehr.Sandbox) -> Connection:
    """A connection that the EHR tells of its changes, loaded an hour ago, and visits to change."""
    sandbox.small_clinic()
    sandbox.load(*(ehr.booking(f"b-{number}", number) for number in range(BOOKED)))
    dialect = sandbox._server.application.dialect.name  # type: ignore[union-attr]
    row = sandbox.connect(kind="fhir" if dialect == "plain" else dialect, practice_number="195900")
    load.load(row.pk)
    row.subscriptions.create(external_id="s-1", by="criteria", status="active", checked_at=timezone.now())
    pass_time(60)
    row.refresh_from_db()
    return row


def pass_time(minutes: int) -> None:
    """Let so many minutes pass: what was noted until now is as much older."""
    ago = timedelta(minutes=minutes)
    Connection.objects.update(listens_since=F("listens_since") - ago, calendar_as_of=F("calendar_as_of") - ago)
    InboundEvent.objects.update(received_at=F("received_at") - ago, changed_after=F("changed_after") - ago)


def tell(connection: Connection, resource: dict[str, Any]) -> None:
    intake.receive(connection, via="webhook", body=json.dumps(resource).encode(), payload=resource)


@pytest.fixture
def find(sandbox: ehr.Sandbox, told: Connection, work_inbox: Callable[[], int]) -> Callable[[int], None]:
    """Return a function that has the EHR change so many visits, telling nobody, and the poll find them."""
    changed = iter(range(BOOKED))

    def found_by_poll(count: int) -> None:
        for number in [next(changed) for _ in range(count)]:
            sandbox.change(ehr.booking(f"b-{number}", number, status="arrived"))
        assert poll.poll(told.pk) is not None
        assert work_inbox() == count

    return found_by_poll


def is_deaf(connection: Connection, minutes: int = 11) -> bool:
    return f"health.deaf:{connection.pk}" in health.watch(timezone.now() + timedelta(minutes=minutes))


def test_staff_hear_once_of_an_ehr_that_tells_us_nothing_while_polls_find_changes(
    told: Connection, find: Callable[[int], None]
) -> None:
    find(2)
    assert not is_deaf(told)
    find(1)
    assert not is_deaf(told, minutes=9), "a notification may be on its way"
    assert is_deaf(told)
    assert is_deaf(told)
    item = WorkItem.objects.get(kind="health.deaf")
    assert "the poll found 3 changes since the last notification" in item.advice
    tell(told, {"resourceType": "Subscription", "id": "s-1", "status": "active"})
    InboundEvent.objects.filter(via="webhook").update(status="ignored")
    assert is_deaf(told), "a sign of life is no news of a change"
    tell(told, {"resourceType": "Patient", "id": "patient-1"})
    assert is_deaf(told), "news of patients is none of appointments"
    tell(told, {"resourceType": "Appointment", "id": "b-0"})
    assert not is_deaf(told)
    item.refresh_from_db()
    assert item.status == "done"


def test_a_changed_address_and_a_pause_are_no_deafness(
    told: Connection, find: Callable[[int], None], sandbox: ehr.Sandbox, admin_client: Client
) -> None:
    """Nobody can be told while a connection is set up anew; what was changed by then is found by its first polls."""
    change = reverse("admin:integrations_connection_change", args=[told.pk])
    moved = form(sandbox, base_url=sandbox.url.replace("127.0.0.1", "localhost"), slug=told.slug)
    assert admin_client.post(change, {**moved, "_save": "Save"}).status_code == 302
    told.refresh_from_db()
    assert "localhost" in told.base_url
    assert switches.pause(told)
    pass_time(10)
    assert switches.resume(told)
    find(3)
    assert not is_deaf(told)
    pass_time(5)
    find(3)
    assert not is_deaf(told), "the read before began while we could not hear"
    for count in (0, 3):
        pass_time(10)
        find(count)
    assert is_deaf(told), "from then on nothing excuses it"


@pytest.fixture
def deaf(told: Connection, find: Callable[[int], None]) -> Connection:
    find(3)
    pass_time(10)
    assert is_deaf(told)
    return told


@pytest.mark.parametrize("option", ["--address", "--kind"])
def test_settings_changed_on_the_server_count_too(deaf: Connection, option: str) -> None:
    value = deaf.base_url.replace("127.0.0.1", "localhost") if option == "--address" else "oracle"
    call_command("connect_ehr", deaf.slug, option, value)
    assert not is_deaf(deaf)


def test_the_same_settings_again_excuse_nothing(deaf: Connection) -> None:
    call_command("connect_ehr", deaf.slug, "--kind", "fhir", "--client-id", ehr.CLIENT_ID)
    assert is_deaf(deaf)


@pytest.mark.parametrize(
    ("fields", "anew"),
    [
        ({"new_webhook_secret": "another"}, True),
        ({"only_newest_webhook_secret": "on"}, True),
        ({"webhook_proof": "bearer", "webhook_senders": "192.0.2.1"}, True),
        ({"poll_minutes": "7"}, False),
    ],
)
def test_what_changes_how_we_are_told_begins_anew_and_nothing_else(
    deaf: Connection, sandbox: ehr.Sandbox, admin_client: Client, fields: dict[str, str], anew: bool
) -> None:
    change = reverse("admin:integrations_connection_change", args=[deaf.pk])
    data = {**form(sandbox, slug=deaf.slug, practice_number="195900"), **fields, "_save": "Save"}
    assert admin_client.post(change, data).status_code == 302
    assert is_deaf(deaf) is not anew


def test_a_subscription_that_becomes_active_tells_from_then_on(deaf: Connection) -> None:
    deaf.subscriptions.update(status="requested")
    assert not is_deaf(deaf)
    said = StreamStatus("s-1", "active", None, 0)
    event_stream.note(deaf, said)
    assert not is_deaf(deaf)


def test_a_subscription_that_was_active_all_along_begins_nothing_anew(deaf: Connection) -> None:
    event_stream.note(deaf, StreamStatus("s-1", "active", None, 0))
    assert is_deaf(deaf)


def look(connection: Connection) -> None:
    EventSubscription.objects.update(checked_at=timezone.now() - timedelta(minutes=20))
    event_stream.keep(connection.subscriptions.get().pk)


@pytest.mark.parametrize("state", ["forgotten", "error", "somebody else's"])
def test_a_subscription_that_is_brought_back_tells_from_then_on(
    deaf: Connection, sandbox: ehr.Sandbox, state: str
) -> None:
    held = event_stream.start(deaf, "http://127.0.0.1:9").external_id
    Connection.objects.update(listens_since=None)
    assert is_deaf(deaf)
    stored = subscription(sandbox, held)
    if state == "forgotten":
        EventSubscription.objects.update(external_id="forgotten")
    elif state == "error":
        sandbox.change({**stored, "status": "error"})
    else:
        theirs = {**stored, "channel": {**stored["channel"], "endpoint": "https://other.example.org/hook"}}
        sandbox.change(theirs)
    look(deaf)
    assert not is_deaf(deaf)
    if state == "somebody else's":
        assert deaf.subscriptions.get().external_id != held
        assert subscription(sandbox, held) == theirs, "it is left as it is"


def test_a_subscription_that_is_well_begins_nothing_anew(deaf: Connection, sandbox: ehr.Sandbox) -> None:
    event_stream.start(deaf, "http://127.0.0.1:9")
    Connection.objects.update(listens_since=None)
    look(deaf)
    assert is_deaf(deaf)


def test_a_subscription_that_does_not_say_whom_it_notifies_is_kept(deaf: Connection, sandbox: ehr.Sandbox) -> None:
    held = event_stream.start(deaf, "http://127.0.0.1:9").external_id
    stored = subscription(sandbox, held)
    sandbox.change({**stored, "channel": {"type": "rest-hook"}})
    look(deaf)
    assert deaf.subscriptions.get().external_id == held
    assert len(sandbox.calls("/fhir/Subscription", "POST")) == 1


def subscription(sandbox: ehr.Sandbox, external_id: str) -> dict[str, Any]:
    assert sandbox._server is not None
    with sandbox._server.application.store.writing() as transaction:
        record = transaction.get("Subscription", external_id)
    assert record is not None
    return {key: value for key, value in record.resource.items() if key != "meta"}


def test_a_changed_address_has_the_subscription_looked_at_at_once(told: Connection) -> None:
    assert event_stream.due() == []
    event_stream.follow(told, ["base_url"])
    assert event_stream.due() == [told.subscriptions.get().pk]


def test_a_notification_of_what_the_poll_found_first_was_told_all_the_same(
    deaf: Connection, sandbox: ehr.Sandbox
) -> None:
    """Our web server was away, and the EHR tells again what it could not: no row is made for it, but it is heard."""
    before = InboundEvent.objects.count()
    tell(deaf, ehr.booking("b-1", 1, status="arrived", meta={"versionId": "2"}))
    assert InboundEvent.objects.count() == before
    assert not is_deaf(deaf)


def test_what_was_told_before_and_is_told_again_is_no_news(deaf: Connection) -> None:
    InboundEvent.objects.filter(subject_key="Appointment/b-1").update(
        via="webhook", received_at=timezone.now() - timedelta(days=2)
    )
    tell(deaf, ehr.booking("b-1", 1, status="arrived", meta={"versionId": "2"}))
    assert Connection.objects.get().listens_since is None


def test_changes_made_before_we_were_last_told_are_not_counted(told: Connection, find: Callable[[int], None]) -> None:
    """A burst is told of by ids, and the poll is quicker: the rows are the poll's, and nothing was missed."""
    tell(told, {"resourceType": "Appointment", "id": "b-11"})
    InboundEvent.objects.update(status="done")
    find(3)
    assert not is_deaf(told)


@pytest.mark.parametrize("sandbox", ["athena"], indirect=True)
@pytest.mark.parametrize("by_time", [True, False])
def test_a_visit_on_a_day_that_has_only_now_come_near_is_no_change(
    told: Connection,
    sandbox: ehr.Sandbox,
    work_inbox: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    by_time: bool,
) -> None:
    """Where days are compared, each night shows those of one more day, booked weeks ago."""
    if not by_time:
        Connection.objects.update(cursor=None)
    for number in (20, 21, 22):
        sandbox.change(ehr.booking(f"new-{number}", number))
    assert poll.poll(told.pk) is not None
    assert work_inbox() == 3
    assert is_deaf(told) is by_time
    for number in (0, 1, 2):
        sandbox.change(ehr.booking(f"b-{number}", number, status="arrived"))
    if not by_time:
        Connection.objects.update(cursor=None)
    poll.poll(told.pk)
    work_inbox()
    assert is_deaf(told), "one that we hold and that is another now was changed"


def test_an_ehr_that_is_only_polled_is_expected_to_tell_us_nothing(deaf: Connection) -> None:
    deaf.subscriptions.all().delete()
    assert not is_deaf(deaf)


@pytest.mark.parametrize(("secrets", "expected"), [(["secret"], True), ([], False)])
def test_a_vendors_platform_is_expected_to_tell_us_once_it_has_a_secret(
    deaf: Connection, secrets: list[str], expected: bool
) -> None:
    deaf.subscriptions.all().delete()
    Connection.objects.filter(pk=deaf.pk).update(events_by="platform")
    row = Connection.objects.get()
    row.webhook_secrets = secrets
    row.save()
    assert is_deaf(deaf) is expected


def test_what_is_over_for_a_day_is_told_no_more(deaf: Connection) -> None:
    pass_time(24 * 60)
    assert listening.unheard_changes(Connection.objects.get(), timezone.now()) == 0


def test_what_a_load_brought_before_it_was_dealt_with_is_not_counted(
    told: Connection, sandbox: ehr.Sandbox, work_inbox: Callable[[], int]
) -> None:
    for number in (0, 1, 2):
        sandbox.change(ehr.booking(f"b-{number}", number, status="arrived"))
    poll.poll(told.pk)
    load.load(told.pk)
    assert work_inbox() == 3
    assert set(InboundEvent.objects.values_list("outcome", flat=True)) == {
        "a later look at the EHR has told us already"
    }
    assert not is_deaf(told)


def test_a_bundle_of_patients_is_no_news_of_appointments(deaf: Connection, work_inbox: Callable[[], int]) -> None:
    people = [{"resource": {"resourceType": "Patient", "id": f"patient-{number}"}} for number in (1, 2)]
    tell(deaf, {"resourceType": "Bundle", "type": "history", "entry": people})
    assert not is_deaf(deaf), "nobody knows yet what it is about"
    work_inbox()
    assert is_deaf(deaf)


def test_late_notifications_are_noted_now_and_then(deaf: Connection) -> None:
    key = InboundEvent.objects.filter(via="poll").values_list("dedupe_key", flat=True)[0]
    now = timezone.now()
    for seconds, noted in ((0, 0), (29, 0), (31, 31)):
        listening.heard_late(deaf.pk, key, now + timedelta(seconds=seconds))
        assert Connection.objects.get().listens_since == now + timedelta(seconds=noted)


@pytest.mark.parametrize(("minutes", "counts"), [(64, False), (66, True)])
def test_a_read_may_overlook_what_was_changed_just_before_it(
    told: Connection, find: Callable[[int], None], minutes: int, counts: bool
) -> None:
    """The read before began an hour ago; an EHR may show a change some minutes late, as the poll's overlap says."""
    Connection.objects.update(listens_since=timezone.now() - timedelta(minutes=minutes))
    find(3)
    assert is_deaf(told) is counts
