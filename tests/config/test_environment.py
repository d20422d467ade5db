"""A wrong setting stops the start, and one message says everything there is to mend."""

import stat
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.environment import MEMORY_BROKER, Environment, SettingsProblem, read
from config.tuning import broker_options, tuned_database

FERNET_KEYS = [urlsafe_b64encode(bytes(range(start, start + 32))).decode() for start in (1, 101)]
PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": "Zk3vTq9LwXr7YbNc5MfHs2PdGj8QaVe4UtRi6OxKy1WzBnCmSl",
    "FIELD_ENCRYPTION_KEYS": ",".join(FERNET_KEYS),
    "BLIND_INDEX_KEY": "pQ7rS2tU9vW4xY6zA1bC3dE5fG8hJ0kL",
    "DATABASE_URL": "postgres://waitlist:pass@db.example.org:5432/waitlist",
    "CELERY_BROKER_URL": "redis://broker.example.org:6379/0",
    "ALLOWED_HOSTS": "waitlist.example.org, staff.example.org",
    "PUBLIC_BASE_URL": "https://waitlist.example.org/",
    "EMAIL_URL": "smtp+tls://mailer:pass@mail.example.org:587",
    "DEFAULT_FROM_EMAIL": "front-desk@example.org",
}


def problems(variables: dict[str, str], base_directory: Path) -> list[str]:
    with pytest.raises(SettingsProblem) as raised:
        read(variables, base_directory)
    return [line[4:] for line in str(raised.value).splitlines() if line.startswith("  - ")]


def names(variables: dict[str, str], base_directory: Path) -> list[str]:
    return [problem.split(" ", 1)[0] for problem in problems(variables, base_directory)]


def test_a_complete_production_environment_is_read_with_its_types(tmp_path: Path) -> None:
    settings = read({**PRODUCTION, "WRITE_RETRY_SECONDS": "1, 2,4", "TEST_RECIPIENTS": "+15555550100"}, tmp_path)
    assert settings.is_production
    assert settings.installation == "test"
    assert settings.field_encryption_keys == FERNET_KEYS
    assert settings.allowed_hosts == ["waitlist.example.org", "staff.example.org"]
    assert settings.public_base_url == "https://waitlist.example.org"
    assert settings.write_retry_seconds == [1, 2, 4]
    assert settings.test_recipients == ["+15555550100"]
    assert settings.database["HOST"] == "db.example.org"
    assert (settings.log_format, settings.email_channel, settings.debug) == ("json", "email", False)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_production_environment_names_everything_at_once(tmp_path: Path) -> None:
    assert names({"APP_ENV": "production"}, tmp_path) == [
        "SECRET_KEY",
        "FIELD_ENCRYPTION_KEYS",
        "BLIND_INDEX_KEY",
        "EMAIL_URL",
        "DATABASE_URL",
        "CELERY_BROKER_URL",
        "ALLOWED_HOSTS",
        "PUBLIC_BASE_URL",
        "DEFAULT_FROM_EMAIL",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SECRET_KEY", "django-insecure-" + PRODUCTION["SECRET_KEY"], "is still a placeholder"),
        ("SECRET_KEY", "x" * 60, "is too easy to guess"),
        ("SECRET_KEY", "0123456789abcdef", "is too easy to guess"),
        ("BLIND_INDEX_KEY", "change-me-" + PRODUCTION["BLIND_INDEX_KEY"], "is still a placeholder"),
        ("FIELD_ENCRYPTION_KEYS", f"{FERNET_KEYS[0]},0123456789", "(key 2 of 2) is not a Fernet key"),
        ("DATABASE_URL", "sqlite:////var/lib/waitlist.sqlite3", "is not PostgreSQL"),
        ("DATABASE_URL", "mysql://db.example.org/waitlist", "cannot be read"),
        ("CELERY_BROKER_URL", "memory://", "reaches no worker"),
        ("CELERY_BROKER_URL", "filesystem://", "names no broker we know"),
        ("ALLOWED_HOSTS", "*", "does not name this site"),
        ("PUBLIC_BASE_URL", "http://waitlist.example.org", "is not an address patients can open safely"),
        ("PUBLIC_BASE_URL", "https://127.0.0.1", "is not an address patients can open safely"),
        ("PUBLIC_BASE_URL", "https://[", "is not a web address"),
        ("DEBUG", "true", "is on"),
        ("DEBUG", "perhaps", "is not a yes or a no"),
        ("INSTALLATION", "staging", "has a value this version does not know"),
        ("INSTALLATION", "live", "is console on a live installation"),
        ("POLL_MINUTES", "often", "cannot be read"),
        ("POLL_MINUTES", "0", "is out of range"),
        ("WRITE_RETRY_SECONDS", "5,,x", "cannot be read"),
        ("WRITE_RETRY_SECONDS", "5,-1", "needs at least one wait"),
        ("SMS_CHANNEL", "twilio", "is missing"),
        ("EHR_ADAPTERS", "practice_ehr.adapter", "names no adapters we can use"),
        ("EHR_ADAPTERS", "Elm Desk=practice_ehr.adapter", "names no adapters we can use"),
        ("EHR_ADAPTERS", "elm=practice_ehr/adapter.py", "names no adapters we can use"),
        ("EHR_ADAPTERS", "elm=one.adapter,elm=two.adapter", "names no adapters we can use"),
    ],
)
def test_a_setting_that_cannot_work_is_named_without_repeating_it(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    found = problems({**PRODUCTION, name: value}, tmp_path)
    assert any(says in problem for problem in found)
    assert not any(value in problem for problem in found if len(value) > 10)


def test_kinds_of_ehr_are_added_with_their_modules(tmp_path: Path) -> None:
    assert read(PRODUCTION, tmp_path).ehr_adapters == {}
    given = read({**PRODUCTION, "EHR_ADAPTERS": "elm-desk=practice_ehr.elm, oak=practice_ehr.oak"}, tmp_path)
    assert given.ehr_adapters == {"elm-desk": "practice_ehr.elm", "oak": "practice_ehr.oak"}


def test_an_empty_variable_counts_as_absent(tmp_path: Path) -> None:
    assert read({**PRODUCTION, "POLL_MINUTES": " ", "CACHE_URL": ""}, tmp_path).poll_minutes == 5
    assert names({**PRODUCTION, "SECRET_KEY": " "}, tmp_path) == ["SECRET_KEY"]


def test_the_embedded_mode_makes_its_secrets_once_for_the_owner_only(tmp_path: Path) -> None:
    first = read({}, tmp_path)
    path = tmp_path / "var" / "secrets.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = read({}, tmp_path)
    assert (second.secret_key, second.field_encryption_keys, second.blind_index_key) == (
        first.secret_key,
        first.field_encryption_keys,
        first.blind_index_key,
    )
    assert [entry.name for entry in (tmp_path / "var").iterdir()] == ["secrets.env"]
    assert first.celery_broker_url == MEMORY_BROKER
    assert first.database["NAME"] == str(tmp_path / "var" / "demo.sqlite3")


def test_processes_that_start_together_agree_on_the_secrets(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found: list[Environment] = list(pool.map(lambda _: read({}, tmp_path), range(16)))
    assert len({settings.secret_key for settings in found}) == 1


def test_secrets_lost_beside_their_database_are_not_replaced(tmp_path: Path) -> None:
    read({}, tmp_path)
    (tmp_path / "var" / "demo.sqlite3").touch()
    (tmp_path / "var" / "secrets.env").unlink()
    assert problems({}, tmp_path) == [
        "var/secrets.env is gone, and the database beside it cannot be read without it: "
        "put the file back, or throw the trial's data away with: make clean."
    ]
    assert not (tmp_path / "var" / "secrets.env").exists()


def test_a_given_secret_goes_before_a_made_one(tmp_path: Path) -> None:
    made = read({}, tmp_path)
    given = read({"SECRET_KEY": PRODUCTION["SECRET_KEY"]}, tmp_path)
    assert given.secret_key == PRODUCTION["SECRET_KEY"]
    assert given.blind_index_key == made.blind_index_key


def test_sqlite_is_opened_for_many_writers(tmp_path: Path) -> None:
    options = tuned_database(read({}, tmp_path))["OPTIONS"]
    assert options == {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }


def test_postgresql_gets_limits_and_keeps_the_options_of_its_address(tmp_path: Path) -> None:
    settings = read({**PRODUCTION, "DATABASE_URL": PRODUCTION["DATABASE_URL"] + "?sslmode=require"}, tmp_path)
    database = tuned_database(settings)
    assert (database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"]) == (60, True)
    assert database["OPTIONS"]["sslmode"] == "require"
    assert "-c statement_timeout=30000" in database["OPTIONS"]["options"]
    assert "-c jit=off" in database["OPTIONS"]["options"]


def test_a_unix_socket_is_a_directory_as_the_host(tmp_path: Path) -> None:
    settings = read({**PRODUCTION, "DATABASE_URL": "postgres://waitlist@%2Fvar%2Frun%2Fpostgresql/waitlist"}, tmp_path)
    assert settings.database["HOST"] == "/var/run/postgresql"


def test_a_silent_broker_holds_a_caller_up_for_a_second_at_most() -> None:
    options = broker_options("redis://broker.example.org:6379/0")
    assert (options["socket_connect_timeout"], options["socket_timeout"], options["max_retries"]) == (0.2, 1.0, 0)


POSTMARK = {
    "EMAIL_PROVIDER": "postmark",
    "EMAIL_PROVIDER_SETTINGS": "POSTMARK_SERVER_TOKEN=t",
    "EMAIL_WEBHOOK_SECRET": "postmark:0123456789abcdefghij",
}


def test_a_provider_of_e_mail_stands_for_a_mail_server(tmp_path: Path) -> None:
    settings = read({**PRODUCTION, **POSTMARK, "EMAIL_URL": ""}, tmp_path)
    assert (settings.email_provider, settings.email_provider_settings) == ("postmark", {"POSTMARK_SERVER_TOKEN": "t"})


def test_a_provider_that_lacks_a_setting_is_told_which(tmp_path: Path) -> None:
    lacking = {**PRODUCTION, **POSTMARK, "EMAIL_PROVIDER": "mandrill", "EMAIL_PROVIDER_SETTINGS": "MANDRILL_API_KEY=k"}
    [problem] = problems(lacking, tmp_path)
    assert problem.startswith("EMAIL_PROVIDER_SETTINGS lacks MANDRILL_WEBHOOK_KEY: write MANDRILL_WEBHOOK_KEY=..., ")


def test_sendgrid_is_led_to_its_mail_server(tmp_path: Path) -> None:
    [problem] = problems({**PRODUCTION, **POSTMARK, "EMAIL_PROVIDER": "sendgrid"}, tmp_path)
    assert problem.startswith("EMAIL_PROVIDER names a provider that is not supported: django-anymail does not test it")
    assert "EMAIL_URL=smtp+tls://apikey:" in problem
