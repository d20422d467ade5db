"""A broker that is away or silent costs a publisher a moment, never a request's patience."""

import socket
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from config.celery import app
from config.tuning import broker_options


@pytest.fixture(autouse=True)
def no_broker_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery believes this variable more than the address an application is given."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def publishing_seconds(port: int) -> float:
    address = f"redis://127.0.0.1:{port}/0"
    publisher = Celery("publisher", broker=address, set_as_current=False)
    publisher.conf.broker_transport_options = broker_options(address)
    started = time.monotonic()
    with pytest.raises(OperationalError):
        publisher.send_task("any.task", retry=False)
    return time.monotonic() - started


def test_a_silent_broker_is_given_up_within_seconds(silent_port: int) -> None:
    # Without the limits this waits for as long as the broker is silent.
    assert publishing_seconds(silent_port) < 20


def test_a_broker_that_refuses_is_given_up_at_once(closed_port: int) -> None:
    # Kombu's own series of attempts takes six seconds.
    assert publishing_seconds(closed_port) < 5


def test_messages_are_json_and_results_are_not_kept() -> None:
    conf = app.conf
    assert (conf.task_serializer, conf.accept_content, conf.task_ignore_result) == ("json", ["json"], True)
