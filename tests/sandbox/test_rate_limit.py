"""So many requests a minute for all clients together, and when to come again."""

import time
from email.utils import parsedate_to_datetime

from integrations.ehr.sandbox.server import SandboxServer
from tests.sandbox.client import FhirClient, client_of, issue_code

PATH = "Patient/patient-001"


def limit(ehr: FhirClient, count: int | None, **more: object) -> None:
    assert ehr.control("POST", "settings", {"rate_limit": count, **more}).status_code == 200


def test_all_clients_share_one_limit(server: SandboxServer, ehr: FhirClient) -> None:
    other = client_of(server)
    limit(ehr, 3)
    answers = [client.get(PATH) for client in (ehr, other, ehr, other, ehr)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert issue_code(answers[3]) == "throttled"
    assert 30 <= int(answers[3].headers["Retry-After"]) <= 60


def test_after_the_time_it_says_requests_pass_again(ehr: FhirClient) -> None:
    limit(ehr, 2)
    assert [ehr.get(PATH).status_code for _ in range(3)] == [200, 200, 429]
    limit(ehr, 2, rate_window_seconds=1)
    time.sleep(1)
    assert ehr.get(PATH).status_code == 200


def test_it_can_say_so_as_a_date(ehr: FhirClient) -> None:
    limit(ehr, 0, retry_after_is_date=True)
    again = parsedate_to_datetime(ehr.get(PATH).headers["Retry-After"]).timestamp()
    assert 30 <= again - time.time() <= 61


def test_logins_are_apart_and_none_means_no_limit(ehr: FhirClient) -> None:
    limit(ehr, 0)
    ehr.log_in()
    assert ehr.get("metadata").status_code == 429
    limit(ehr, None)
    assert ehr.get(PATH).status_code == 200
