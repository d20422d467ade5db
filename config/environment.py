"""Every setting that comes from the environment, read once, typed and checked together.

`read()` collects all problems before it raises, so that an operator mends them in one go. Each problem names the
variable, says what is wrong and what to write instead; no value is ever repeated, because many are secrets.
"""

import ipaddress
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")

EMBEDDED = "embedded"
PRODUCTION = "production"
SECRET_NAMES = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "BLIND_INDEX_KEY")
PLACEHOLDER_MARKS = ("change-me", "changeme", "django-insecure", "example", "secret-key")
MINIMUM_SECRET_KEY_LENGTH = 50
MINIMUM_BLIND_INDEX_KEY_LENGTH = 32

MEND_SECRET = {
    "SECRET_KEY": "write at least 50 random characters, e.g. from: "
    "python -c 'import secrets; print(secrets.token_urlsafe(50))'",
    "FIELD_ENCRYPTION_KEYS": "write one Fernet key, or several separated by commas with the newest first, e.g. from: "
    "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'",
    "BLIND_INDEX_KEY": "write at least 32 random characters, e.g. from: "
    "python -c 'import secrets; print(secrets.token_urlsafe(48))'",
}


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
    sms_channel: str
    sms_base_url: str
    sms_account: str
    sms_token: str
    sms_from: str
    test_recipients: list[str]
    ehr_allow_private_addresses: bool
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


@dataclass
class Reader:
    """Reads variables through django-environ and keeps a sentence for each one that cannot be used."""

    variables: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env = environ.Env()
        self.env.ENVIRON = dict(self.variables)

    def problem(self, name: str, what: str, mend: str) -> None:
        self.problems.append(f"{name} {what}: {mend}.")

    def value(self, name: str, parse: Callable[[], Value], fallback: Value, mend: str) -> Value:
        try:
            return parse()
        except (ValueError, TypeError, KeyError, ImproperlyConfigured):
            self.problem(name, "cannot be read", mend)
            return fallback

    def text(self, name: str, default: str = "") -> str:
        return str(self.variables.get(name, default)).strip()

    def boolean(self, name: str, default: bool) -> bool:
        spelled = self.text(name).lower()
        known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
        if spelled and spelled not in known:
            self.problem(name, "is not a yes or a no", "write true or false")
        return known.get(spelled, default)

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        chosen = self.text(name) or default
        if chosen in allowed:
            return chosen
        self.problem(name, "has a value this version does not know", f"write one of {', '.join(allowed)}")
        return default

    def whole_number(self, name: str, default: int, least: int, most: int) -> int:
        mend = f"write a whole number from {least} to {most}"
        if not self.text(name):
            return default
        number = self.value(name, lambda: self.env.int(name), default, mend)
        if not least <= number <= most:
            self.problem(name, "is out of range", mend)
        return number

    def words(self, name: str) -> list[str]:
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def waits(self, name: str, default: list[int]) -> list[int]:
        """A retry schedule: seconds to wait after the first, second, … failure; its length is the number of retries."""
        mend = "write waiting times in whole seconds separated by commas, e.g. 5,10,20,60,300"
        if not self.text(name):
            return default
        waits = self.value(name, lambda: [int(word) for word in self.words(name)], default, mend)
        if not waits or any(wait < 1 for wait in waits):
            self.problem(name, "needs at least one wait of one second or more", mend)
        return waits

    def web_address(self, name: str, default: str = "") -> str:
        address = self.text(name) or default
        parts = urlsplit(address)
        if address and (parts.scheme not in {"http", "https"} or not parts.hostname):
            self.problem(name, "is not a web address", "write it with its scheme, e.g. https://waitlist.example.org")
        return address.rstrip("/")


def read(variables: Mapping[str, str], base_directory: Path) -> Environment:
    """Return the checked settings.

    Raises ImproperlyConfigured with one line per problem. In the embedded mode missing secrets are made and kept in
    the var directory, so that even a trial's database is encrypted with keys of its own.
    """
    reader = Reader(variables)
    app_env = reader.choice("APP_ENV", (EMBEDDED, PRODUCTION), EMBEDDED)
    var_directory = Path(reader.text("VAR_DIR") or base_directory / "var")
    if app_env == EMBEDDED:
        reader = Reader({**embedded_secrets(variables, var_directory, reader), **variables}, reader.problems)
    settings = Environment(
        app_env=app_env,
        var_directory=var_directory,
        **_general(reader),
        **_secrets(reader),
        **_services(reader, app_env, var_directory),
        **_messaging(reader, app_env),
        **_schedules(reader),
    )
    if settings.is_production:
        _check_production(reader, settings)
    if reader.problems:
        listed = "\n".join(f"  - {problem}" for problem in reader.problems)
        raise ImproperlyConfigured(
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
    for name in SECRET_NAMES:
        given = reader.text(name)
        if not given:
            reader.problem(name, "is missing", MEND_SECRET[name])
        elif any(mark in given.lower() for mark in PLACEHOLDER_MARKS):
            reader.problem(name, "is still a placeholder", MEND_SECRET[name])
    secret_key = reader.text("SECRET_KEY")
    if 0 < len(secret_key) < MINIMUM_SECRET_KEY_LENGTH:
        reader.problem("SECRET_KEY", "is too short", MEND_SECRET["SECRET_KEY"])
    blind_index_key = reader.text("BLIND_INDEX_KEY")
    if 0 < len(blind_index_key) < MINIMUM_BLIND_INDEX_KEY_LENGTH:
        reader.problem("BLIND_INDEX_KEY", "is too short", MEND_SECRET["BLIND_INDEX_KEY"])
    keys = reader.words("FIELD_ENCRYPTION_KEYS")
    for position, key in enumerate(keys, start=1):
        name = f"FIELD_ENCRYPTION_KEYS (key {position} of {len(keys)})"
        reader.value(name, lambda key=key: Fernet(key), None, MEND_SECRET["FIELD_ENCRYPTION_KEYS"])  # type: ignore[misc]
    return {"secret_key": secret_key, "field_encryption_keys": keys, "blind_index_key": blind_index_key}


def _services(reader: Reader, app_env: str, var_directory: Path) -> dict[str, Any]:
    database_url = reader.text("DATABASE_URL") or f"sqlite:///{var_directory / 'demo.sqlite3'}"
    cache_url = reader.text("CACHE_URL") or "locmemcache://"
    broker = reader.text("CELERY_BROKER_URL") or ("" if app_env == PRODUCTION else "memory://")
    if broker and urlsplit(broker).scheme not in {"memory", "redis", "rediss", "amqp", "amqps"}:
        reader.problem("CELERY_BROKER_URL", "names no broker we know", "write redis://host:6379/0")
    return {
        "database": reader.value(
            "DATABASE_URL",
            lambda: _known_database(environ.Env.db_url_config(database_url)),
            {},
            "write postgres://user:password@host:5432/name, or sqlite:////path/to/file.sqlite3",
        ),
        "statement_timeout_milliseconds": reader.whole_number("DATABASE_STATEMENT_TIMEOUT_MS", 30_000, 0, 3_600_000),
        "cache": reader.value(
            "CACHE_URL", lambda: environ.Env.cache_url_config(cache_url), {}, "write redis://host:6379/1 or leave it out"
        ),
        "celery_broker_url": broker,
        "ehr_allow_private_addresses": reader.boolean("EHR_ALLOW_PRIVATE_ADDRESSES", app_env == EMBEDDED),
    }


def _known_database(settings: dict[str, Any]) -> dict[str, Any]:
    if settings.get("ENGINE") not in {"django.db.backends.postgresql", "django.db.backends.sqlite3"}:
        raise ValueError("neither PostgreSQL nor SQLite")
    return settings


def _messaging(reader: Reader, app_env: str) -> dict[str, Any]:
    embedded = app_env == EMBEDDED
    email_url = reader.text("EMAIL_URL") or "consolemail://"
    sms = {name: reader.text(name.upper()) for name in ("sms_account", "sms_token", "sms_from")}
    sms_channel = reader.choice("SMS_CHANNEL", ("console", "twilio"), "console")
    email_channel = reader.choice("EMAIL_CHANNEL", ("console", "email"), "console" if embedded else "email")
    if sms_channel == "twilio":
        for name in sms:
            if not sms[name]:
                reader.problem(name.upper(), "is missing", "SMS_CHANNEL=twilio needs it; copy it from Twilio's console")
    if email_channel == "email" and not reader.text("EMAIL_URL"):
        reader.problem("EMAIL_URL", "is missing", "write smtp+tls://user:password@host:587, or EMAIL_CHANNEL=console")
    return {
        **sms,
        "sms_channel": sms_channel,
        "sms_base_url": reader.web_address("SMS_BASE_URL", "https://api.twilio.com"),
        "email_channel": email_channel,
        "email": reader.value(
            "EMAIL_URL",
            lambda: environ.Env.email_url_config(email_url),
            {},
            "write smtp+tls://user:password@host:587",
        ),
        "default_from_email": reader.text("DEFAULT_FROM_EMAIL") or "waitlist@example.org",
        "test_recipients": reader.words("TEST_RECIPIENTS"),
    }


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


def embedded_secrets(variables: Mapping[str, str], var_directory: Path, reader: Reader) -> dict[str, str]:
    """The secrets of a trial: read from `var/secrets.env`, made on the first start, readable by the owner only.

    A database without its secrets cannot be read again, so a lost file is a problem and not a reason for new keys.
    """
    if all(variables.get(name) for name in SECRET_NAMES):
        return {}
    path = var_directory / "secrets.env"
    if not path.exists():
        if not variables.get("DATABASE_URL") and (var_directory / "demo.sqlite3").exists():
            reader.problem(
                str(path.name),
                "is gone although its database is there, which cannot be read without it",
                f"put the file back into {var_directory.name}/, or start afresh with: make clean",
            )
        else:
            _write_once(path)
    if not path.exists():
        return {name: _new_secrets()[name] for name in SECRET_NAMES}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _new_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "BLIND_INDEX_KEY": secrets.token_urlsafe(48),
    }


def _write_once(path: Path) -> None:
    """Several processes may start at once on a fresh checkout: a hard link lets exactly one of their files win."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in _new_secrets().items())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def tuned_database(settings: Environment) -> dict[str, Any]:
    """Django's database settings with the options that many threads and processes at once need."""
    database = dict(settings.database)
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            # A transaction that reads first and writes later would otherwise fail instead of waiting its turn.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
        return database
    limit = settings.statement_timeout_milliseconds
    database |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    database["OPTIONS"] = {
        **database.get("OPTIONS", {}),
        "connect_timeout": 5,
        "options": f"-c statement_timeout={limit} -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000",
    }
    return database


def broker_options(broker_url: str) -> dict[str, Any]:
    """Transport options for kombu, in seconds: short enough that a silent broker holds nobody up."""
    if broker_url.startswith("memory:"):
        return {"polling_interval": 0.05}
    if broker_url.startswith(("redis:", "rediss:")):
        return {"visibility_timeout": 3600, "socket_connect_timeout": 0.2, "socket_timeout": 1.0}
    return {"connect_timeout": 1, "read_timeout": 5, "write_timeout": 1}
