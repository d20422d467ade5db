import datetime

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from audit.context import Actor, acting_as, because, coming_from, correlated, service
from audit.log import record, record_each
from audit.models import AccessRecord

Action = AccessRecord.Action


@pytest.mark.django_db
def test_a_record_says_who_what_where_from_and_why() -> None:
    user = get_user_model().objects.create(username="clerk")
    with acting_as(Actor.for_user(user)), coming_from("192.0.2.7"), correlated("d" * 32), because("asked on the phone"):
        made = record(Action.VIEW, subject=user, location_id=3, detail={"rows": 2, "ids": [1, 2]})

    row = AccessRecord.objects.values().get(pk=made.pk)
    assert abs(row.pop("at") - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    assert row == {
        "id": made.pk,
        "actor_kind": "user",
        "actor_name": "clerk",
        "user_id": user.pk,
        "action": "view",
        "subject_kind": "auth.user",
        "subject_id": str(user.pk),
        "location_id": 3,
        "source_address": "192.0.2.7",
        "result": "done",
        "reason": "asked on the phone",
        "correlation_id": "d" * 32,
        "detail": {"rows": 2, "ids": [1, 2]},
    }


@pytest.mark.django_db
def test_a_list_leaves_one_record_for_each_subject() -> None:
    users = [get_user_model().objects.create(username=name) for name in ("a", "b")]
    with service("worker: export"):
        assert record_each(Action.EXPORT, users) == 2

    rows = AccessRecord.objects.order_by("pk").values_list("actor_name", "action", "subject_id", "user_id")
    assert list(rows) == [("worker: export", "export", str(user.pk), None) for user in users]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "detail", [{"body": "x" * 201}, {"patient": {"name": "Ann"}}, {"when": datetime.date(2026, 1, 2)}]
)
def test_details_that_could_be_patient_data_are_refused(detail: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be a number, a short word"):
        record(Action.VIEW, detail=detail)

    assert AccessRecord.objects.count() == 0


@pytest.mark.django_db
def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="peek"):
        record("peek")

    assert AccessRecord.objects.count() == 0


@pytest.mark.django_db
def test_signing_in_is_recorded_without_the_name_that_failed() -> None:
    user = get_user_model().objects.create_user("clerk", password="right-password-1", is_staff=True)
    client = Client()
    client.post("/admin/login/", {"username": "Marker Patient", "password": "wrong"})
    client.post("/admin/login/", {"username": "clerk", "password": "right-password-1"})
    client.post("/admin/logout/")

    rows = AccessRecord.objects.order_by("pk").values_list(
        "actor_name", "action", "result", "user_id", "source_address"
    )
    assert list(rows) == [
        ("anonymous", "login", "failed", None, "127.0.0.1"),
        ("clerk", "login", "done", user.pk, "127.0.0.1"),
        ("clerk", "logout", "done", user.pk, "127.0.0.1"),
    ]


@pytest.mark.django_db
def test_the_admin_shows_records_and_changes_nothing(admin_client: Client) -> None:
    record(Action.DENIED, subject_kind="scheduling.opening", subject_id=5, result="refused")
    row = AccessRecord.objects.get(action="denied")
    base = "/admin/audit/accessrecord/"

    listing = admin_client.get(base)
    assert listing.status_code == 200
    assert "scheduling.opening 5" in listing.content.decode()
    assert admin_client.get(f"{base}{row.pk}/change/").status_code == 200
    assert admin_client.get("/admin/audit/seal/").status_code == 200
    for path in (f"{base}{row.pk}/change/", f"{base}{row.pk}/delete/", f"{base}add/"):
        assert admin_client.post(path, {"reason": "other", "post": "yes"}).status_code == 403
    row.refresh_from_db()
    assert row.reason == ""
