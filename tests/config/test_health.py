"""What a load balancer is told."""

import pytest
from django.db import OperationalError, connection
from django.test import Client


def test_liveness_asks_nothing_of_anybody(client: Client) -> None:
    # Without the database mark any query fails the test.
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_readiness_is_a_working_database(client: Client) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ok", "database": "ok", "sweep": "not seen yet"},
    )


@pytest.mark.django_db
def test_readiness_without_a_database_is_503_and_tells_no_detail(client: Client) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("connection to server at 10.0.0.5 failed")

    with connection.execute_wrapper(refuse):
        response = client.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "unavailable", "database": "unreachable"})


def test_a_check_changes_nothing(client: Client) -> None:
    assert client.post("/healthz").status_code == 405
