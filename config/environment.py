"""Every setting that comes from the environment, read once, typed and checked together.

`read()` collects all problems before it raises, so that an operator mends them in one go.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from config.embedded_secrets import SECRET_NAMES, embedded_secrets
from config.environment_channels import channels
from config.environment_reader import Reader

EMBEDDED = "embedded"
PRODUCTION = "production"
MEMORY_BROKER = "memory://localhost/"
PLACEHOLDER_MARKS = ("change-me", "changeme", "django-insecure", "example", "secret-key")
MINIMUM_SECRET_KEY_LENGTH = 50
MINIMUM_BLIND_INDEX_KEY_LENGTH = 32
MINIMUM_DIFFERENT_CHARACTERS = 8

#: A kind of EHR as it stands on a connection, and a module's dotted name.
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,19}")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

MEND_SECRET = {
    "SECRET_KEY": "write at least 50 random characters, e.g. from: "
    "python -c 'import secrets; print(secrets.token_urlsafe(50))'",
    "FIELD_ENCRYPTION_KEYS": "write one Fernet key, or several separated by commas with the newest first, e.g. from: "
    "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'",
    "BLIND_INDEX_KEY": "write at least 32 random characters, e.g. from: "
    "python -c 'import secrets; print(secrets.token_urlsafe(48))'",
}


class SettingsProblem(ImproperlyConfigured):
    """The installation cannot start; the text lists every setting to mend and is meant to be read by the operator."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The checked settings. Durations are in the unit their name says; lists keep the order of the environment."""

    app_env: str
    debug: bool
    installation: str
    var_directory: Path
    secret_key: str
    field_encryption_keys: list[str]
    blind_index_key: str
    database: dict[str, Any]
    statement_timeout_milliseconds: int
    cache: dict[str, Any]
    celery_broker_url: str
    allowed_hosts: list[str]
    csrf_trusted_origins: list[str]
    public_base_url: str
    trusted_proxy_count: int
    log_format: str
    log_level: str
    email: dict[str, Any]
    email_channel: str
    default_from_email: str
    email_provider: str
    email_provider_settings: dict[str, str]
    email_webhook_secret: str
    email_bounces_to: str
    sms_channel: str
    sms_base_url: str
    sms_account: str
    sms_token: str
    sms_from: str
    test_recipients: list[str]
    ehr_allow_private_addresses: bool
    ehr_adapters: dict[str, str]
    write_retry_seconds: list[int]
    message_retry_seconds: list[int]
    event_retry_seconds: list[int]
    poll_minutes: int
    webhook_max_bytes: int
    webhook_tolerance_seconds: int

    @property
    def is_production(self) -> bool:
        return self.app_env == PRODUCTION

    @property
    def is_served_by_https(self) -> bool:
        return self.public_base_url.startswith("https://")


def read(variables: Mapping[str, str], base_directory: Path) -> Environment:
    """Return the checked settings.

    Raises SettingsProblem with one line per problem. In the embedded mode missing secrets are made and kept in
    the var directory, so that even a trial's database is encrypted with keys of its own.
    """
    reader = Reader({name: value for name, value in variables.items() if value.strip()})
    app_env = reader.choice("APP_ENV", (EMBEDDED, PRODUCTION), EMBEDDED)
    var_directory = Path(reader.text("VAR_DIR") or base_directory / "var").absolute()
    if app_env == EMBEDDED:
        made = embedded_secrets(reader, var_directory)
        reader = Reader({**made, **reader.variables}, reader.problems)
    settings = Environment(
        app_env=app_env,
        var_directory=var_directory,
        **_general(reader),
        **_secrets(reader),
        **_services(reader, app_env, var_directory),
        **channels(reader, embedded=app_env == EMBEDDED),
        **_schedules(reader),
    )
    if settings.is_production:
        _check_production(reader, settings)
    if reader.problems:
        listed = "\n".join(f"  - {problem}" for problem in reader.problems)
        raise SettingsProblem(
            f"The settings need attention before this installation can start:\n{listed}\n"
            "They come from environment variables or the file .env; .env.example explains each of them."
        )
    return settings


def _general(reader: Reader) -> dict[str, Any]:
    return {
        "debug": reader.boolean("DEBUG", False),
        "installation": reader.choice("INSTALLATION", ("test", "live"), "test"),
        "allowed_hosts": reader.words("ALLOWED_HOSTS"),
        "csrf_trusted_origins": reader.words("CSRF_TRUSTED_ORIGINS"),
        "public_base_url": reader.web_address("PUBLIC_BASE_URL", "http://localhost:8000"),
        "trusted_proxy_count": reader.whole_number("TRUSTED_PROXY_COUNT", 0, 0, 5),
        "log_format": reader.choice(
            "LOG_FORMAT", ("console", "json"), "json" if reader.text("APP_ENV") == PRODUCTION else "console"
        ),
        "log_level": reader.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
    }


def _secrets(reader: Reader) -> dict[str, Any]:
    least = {"SECRET_KEY": MINIMUM_SECRET_KEY_LENGTH, "BLIND_INDEX_KEY": MINIMUM_BLIND_INDEX_KEY_LENGTH}
    for name in SECRET_NAMES:
        given = reader.text(name)
        if not given:
            reader.problem(name, "is missing", MEND_SECRET[name])
        elif any(mark in given.lower() for mark in PLACEHOLDER_MARKS):
            reader.problem(name, "is still a placeholder", MEND_SECRET[name])
        elif len(given) < least.get(name, 0) or len(set(given)) < MINIMUM_DIFFERENT_CHARACTERS:
            reader.problem(name, "is too easy to guess", MEND_SECRET[name])
    keys = reader.words("FIELD_ENCRYPTION_KEYS")
    for position, key in enumerate(keys, start=1):
        if not _is_fernet_key(key):
            name = f"FIELD_ENCRYPTION_KEYS (key {position} of {len(keys)})"
            reader.problem(name, "is not a Fernet key", MEND_SECRET["FIELD_ENCRYPTION_KEYS"])
    return {
        "secret_key": reader.text("SECRET_KEY"),
        "field_encryption_keys": keys,
        "blind_index_key": reader.text("BLIND_INDEX_KEY"),
    }


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _services(reader: Reader, app_env: str, var_directory: Path) -> dict[str, Any]:
    database_url = reader.text("DATABASE_URL") or f"sqlite:///{var_directory / 'demo.sqlite3'}"
    cache_url = reader.text("CACHE_URL") or "locmemcache://"
    broker = reader.text("CELERY_BROKER_URL") or ("" if app_env == PRODUCTION else MEMORY_BROKER)
    if broker == "memory://":
        broker = MEMORY_BROKER  # kombu warns about an address without a host
    if broker and broker.partition(":")[0] not in {"memory", "redis", "rediss", "amqp", "amqps"}:
        reader.problem("CELERY_BROKER_URL", "names no broker we know", "write redis://host:6379/0")
    nothing: dict[str, Any] = {}
    return {
        "database": reader.value(
            "DATABASE_URL",
            lambda: _known_database(environ.Env.db_url_config(database_url)),
            nothing,
            "write postgres://user:password@host:5432/name, or sqlite:////path/to/file.sqlite3",
        ),
        "statement_timeout_milliseconds": reader.whole_number("DATABASE_STATEMENT_TIMEOUT_MS", 30_000, 0, 3_600_000),
        "cache": reader.value(
            "CACHE_URL",
            lambda: environ.Env.cache_url_config(cache_url),
            nothing,
            "write redis://host:6379/1 or leave it out",
        ),
        "celery_broker_url": broker,
        "ehr_allow_private_addresses": reader.boolean("EHR_ALLOW_PRIVATE_ADDRESSES", app_env == EMBEDDED),
        "ehr_adapters": _adapters(reader),
    }


def _adapters(reader: Reader) -> dict[str, str]:
    """Return the module of each kind of EHR that this installation adds to ours."""
    pairs = [word.partition("=") for word in reader.words("EHR_ADAPTERS")]
    adapters = {kind.strip(): module.strip() for kind, _, module in pairs}
    is_usable = all(_KIND.fullmatch(kind) and _MODULE.fullmatch(module) for kind, module in adapters.items())
    if not is_usable or len(adapters) < len(pairs):
        mend = "write each kind once, with its module, e.g. elm-desk=integrations.ehr.example.adapter"
        reader.problem("EHR_ADAPTERS", "names no adapters we can use", mend)
        return {}
    return adapters


def _known_database(settings: dict[str, Any]) -> dict[str, Any]:
    if settings.get("ENGINE") not in {"django.db.backends.postgresql", "django.db.backends.sqlite3"}:
        raise ValueError("neither PostgreSQL nor SQLite")
    # django-environ leaves the directory of a Unix socket percent-encoded.
    return {**settings, "HOST": unquote(settings.get("HOST") or "")}


def _schedules(reader: Reader) -> dict[str, Any]:
    return {
        "write_retry_seconds": reader.waits("WRITE_RETRY_SECONDS", [5, 10, 20, 60, 300]),
        "message_retry_seconds": reader.waits("MESSAGE_RETRY_SECONDS", [5, 30, 120, 600]),
        "event_retry_seconds": reader.waits("EVENT_RETRY_SECONDS", [5, 15, 60, 300, 900]),
        "poll_minutes": reader.whole_number("POLL_MINUTES", 5, 1, 1440),
        "webhook_max_bytes": reader.whole_number("WEBHOOK_MAX_BYTES", 1024 * 1024, 1024, 10 * 1024 * 1024),
        "webhook_tolerance_seconds": reader.whole_number("WEBHOOK_TOLERANCE_SECONDS", 300, 30, 3600),
    }


def _check_production(reader: Reader, settings: Environment) -> None:
    """What a trial may leave out and a practice with patients may not."""
    if settings.debug:
        reader.problem("DEBUG", "is on", "error pages would show patient data; write DEBUG=false")
    if settings.database.get("ENGINE") != "django.db.backends.postgresql":
        reader.problem("DATABASE_URL", "is not PostgreSQL", "write postgres://user:password@host:5432/name")
    if not settings.celery_broker_url or settings.celery_broker_url.startswith("memory:"):
        reader.problem("CELERY_BROKER_URL", "reaches no worker", "write redis://host:6379/0")
    if not settings.allowed_hosts or "*" in settings.allowed_hosts:
        reader.problem("ALLOWED_HOSTS", "does not name this site", "write its host names, e.g. waitlist.example.org")
    if not settings.is_served_by_https or _is_local(settings.public_base_url):
        reader.problem(
            "PUBLIC_BASE_URL",
            "is not an address patients can open safely",
            "write the public https address, e.g. https://waitlist.example.org",
        )
    if not reader.text("DEFAULT_FROM_EMAIL"):
        reader.problem("DEFAULT_FROM_EMAIL", "is missing", "write the address patients may answer to")
    if settings.installation == "live" and "console" in {settings.sms_channel, settings.email_channel}:
        reader.problem(
            "SMS_CHANNEL or EMAIL_CHANNEL",
            "is console on a live installation, so nobody would be told",
            "write SMS_CHANNEL=twilio and EMAIL_CHANNEL=email, or INSTALLATION=test",
        )


def _is_local(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
