import logging
import threading

import pytest

from audit.context import (
    SYSTEM,
    Actor,
    ActorKind,
    acting_as,
    because,
    coming_from,
    correlated,
    correlation_id,
    current_actor,
    reason,
    service,
    source_address,
)
from audit.logging import ContextFilter

CLERK = Actor(ActorKind.USER, "clerk", 7)


def test_outside_of_everything_the_system_acts() -> None:
    assert current_actor() == SYSTEM
    assert (correlation_id(), source_address(), reason()) == ("", None, "")


def act_inside_and_fail() -> None:
    with service("worker: outbox"), correlated() as inner, coming_from(None), because(""):
        assert current_actor() == Actor(ActorKind.SERVICE, "worker: outbox")
        assert correlation_id() == inner
        assert len(inner) == 32
        assert (source_address(), reason()) == (None, "")
        raise ConnectionError


def test_leaving_restores_the_outer_values_also_after_an_error() -> None:
    with acting_as(CLERK), correlated("a" * 32), coming_from("192.0.2.1"), because("phone call"):
        with pytest.raises(ConnectionError):
            act_inside_and_fail()
        assert current_actor() == CLERK
        assert (correlation_id(), source_address(), reason()) == ("a" * 32, "192.0.2.1", "phone call")
    assert current_actor() == SYSTEM


def test_each_thread_has_its_own() -> None:
    seen: dict[str, Actor] = {}
    both_inside = threading.Barrier(2, timeout=10)

    def work(name: str) -> None:
        seen[f"{name} at first"] = current_actor()
        with service(name):
            both_inside.wait()
            seen[name] = current_actor()

    with acting_as(CLERK):
        threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert current_actor() == CLERK

    assert seen == {
        "one at first": SYSTEM,
        "two at first": SYSTEM,
        "one": Actor(ActorKind.SERVICE, "one"),
        "two": Actor(ActorKind.SERVICE, "two"),
    }


def test_they_decorate_functions() -> None:
    @service("worker: poll")
    def name() -> str:
        return current_actor().name

    assert [name(), name()] == ["worker: poll", "worker: poll"]
    assert current_actor() == SYSTEM


def test_log_records_carry_it() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "text", None, None)

    with service("worker: inbox"), correlated("b" * 32):
        assert ContextFilter().filter(record) is True

    assert (record.actor, record.correlation_id) == ("worker: inbox", "b" * 32)  # type: ignore[attr-defined]
