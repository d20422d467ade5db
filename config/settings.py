"""Django settings. What depends on the installation is read and checked in `config.environment`."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ
from csp.constants import NONE, SELF

from config import environment, tuning

# Lets `admin.ModelAdmin[Opening]` and the like, which type checkers read, also be run.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

environ.Env.read_env(os.environ.get("ENV_FILE", BASE_DIR / ".env"))
ENVIRONMENT = environment.read(os.environ, BASE_DIR)

APP_ENV = ENVIRONMENT.app_env
DEBUG = ENVIRONMENT.debug
INSTALLATION = ENVIRONMENT.installation
VAR_DIR = ENVIRONMENT.var_directory
SECRET_KEY = ENVIRONMENT.secret_key
FIELD_ENCRYPTION_KEYS = ENVIRONMENT.field_encryption_keys
BLIND_INDEX_KEY = ENVIRONMENT.blind_index_key
PUBLIC_BASE_URL = ENVIRONMENT.public_base_url
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts or ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = ENVIRONMENT.csrf_trusted_origins

INSTALLED_APPS = [
    "config",
    "integrations",
    "waitlist",
    "scheduling",
    "audit",
    "auditlog",
    "axes",
    "csp",
    "rest_framework",
    "config.desk.apps.DeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "audit.middleware.AuditContextMiddleware",
    "config.token_pages.TokenPagesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.machine_calls.MachineCallsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.gave_way.GaveWayMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database ---------------------------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {"default": tuning.tuned_database(ENVIRONMENT)}
CACHES = {"default": ENVIRONMENT.cache}

# --- People and sessions ----------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
# Name and address together: guessing from elsewhere slows the guesser and does not lock out the person it is aimed at.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "audit.middleware.client_address"

# --- Audit ------------------------------------------------------------------------------------------------------------
# What django-auditlog would store of a masked field is half of it, and of a sender what the sender says.
AUDITLOG_MASK_CALLABLE = "audit.log.mask"
AUDITLOG_DISABLE_REMOTE_ADDR = True
AUDITLOG_DISABLE_ON_RAW_SAVE = True
AUDITLOG_CID_GETTER = "audit.context.correlation_id"

# --- Security headers -------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.is_served_by_https
SECURE_SSL_REDIRECT = ENVIRONMENT.is_production
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if ENVIRONMENT.is_production else 0
# Subdomains and browsers' preload lists are for the owner of the whole domain to decide.
SECURE_HSTS_INCLUDE_SUBDOMAINS = False
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Forwarded headers are believed only when the operator says that a proxy of theirs writes them.
TRUSTED_PROXY_COUNT = ENVIRONMENT.trusted_proxy_count
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
# Files are patients' lists: they stay in memory and are stored encrypted; what is larger is dropped, never put on disk.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 6 * 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
}

# --- Language and time ------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", "English"), ("es", "Español")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# The embedded mode serves the files where they lie, so that a trial needs no collectstatic.
STATIC_ROOT = VAR_DIR / "static" if ENVIRONMENT.is_production else None
WHITENOISE_USE_FINDERS = not ENVIRONMENT.is_production
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if ENVIRONMENT.is_production
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}

# --- Messages to people -----------------------------------------------------------------------------------------------
TEST_RECIPIENTS = ENVIRONMENT.test_recipients
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENVIRONMENT.default_from_email
EMAIL_CHANNEL = ENVIRONMENT.email_channel
EMAIL_PROVIDER = ENVIRONMENT.email_provider
EMAIL_BOUNCES_TO = ENVIRONMENT.email_bounces_to
EMAIL_BACKEND = (
    f"anymail.backends.{EMAIL_PROVIDER}.EmailBackend" if EMAIL_PROVIDER else ENVIRONMENT.email["EMAIL_BACKEND"]
)
# Not every provider takes each header we set; none of them is worth an e-mail that is not sent.
ANYMAIL = {
    **ENVIRONMENT.email_provider_settings,
    "WEBHOOK_SECRET": ENVIRONMENT.email_webhook_secret,
    "IGNORE_UNSUPPORTED_FEATURES": True,
    "REQUESTS_TIMEOUT": 10,
}
EMAIL_HOST = ENVIRONMENT.email.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = ENVIRONMENT.email.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = ENVIRONMENT.email.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = ENVIRONMENT.email.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = bool(ENVIRONMENT.email.get("EMAIL_USE_TLS"))
EMAIL_USE_SSL = bool(ENVIRONMENT.email.get("EMAIL_USE_SSL"))
EMAIL_TIMEOUT = 10
SMS_CHANNEL = ENVIRONMENT.sms_channel
SMS_BASE_URL = ENVIRONMENT.sms_base_url
SMS_ACCOUNT = ENVIRONMENT.sms_account
SMS_TOKEN = ENVIRONMENT.sms_token
SMS_FROM = ENVIRONMENT.sms_from
MESSAGE_RETRY_SECONDS = ENVIRONMENT.message_retry_seconds

# --- The EHR ----------------------------------------------------------------------------------------------------------
EHR_ALLOW_PRIVATE_ADDRESSES = ENVIRONMENT.ehr_allow_private_addresses
EHR_ADAPTERS = ENVIRONMENT.ehr_adapters
# Set by the demo, whose sandbox EHR lets staff play its part; empty everywhere else.
SANDBOX_CONTROL_URL = ""
SANDBOX_CONTROL_TOKEN = ""
WRITE_RETRY_SECONDS = ENVIRONMENT.write_retry_seconds
EVENT_RETRY_SECONDS = ENVIRONMENT.event_retry_seconds
POLL_MINUTES = ENVIRONMENT.poll_minutes
WEBHOOK_MAX_BYTES = ENVIRONMENT.webhook_max_bytes
WEBHOOK_TOLERANCE_SECONDS = ENVIRONMENT.webhook_tolerance_seconds

# --- Background work --------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = ENVIRONMENT.celery_broker_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# However long the broker is away, workers come back with it.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_TRANSPORT_OPTIONS = tuning.broker_options(CELERY_BROKER_URL)
# A wake-up that cannot be published at once is dropped: the sweep finds the row within a second or two.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5.0
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_SEND_TASK_EVENTS = False
# The schedule is static and its shortest step a second, so beat needs no file that remembers the last run.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep": {"task": "integrations.tasks.sweep", "schedule": 1.0, "options": {"expires": 2.0}},
    "poll": {"task": "integrations.tasks.poll_connections", "schedule": 15.0, "options": {"expires": 15.0}},
    "seal": {"task": "audit.tasks.seal", "schedule": 30.0, "options": {"expires": 30.0}},
    "expire": {"task": "waitlist.tasks.expire_entries", "schedule": 900.0, "options": {"expires": 900.0}},
    "rates": {"task": "waitlist.tasks.count_acceptance", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "calendar": {"task": "waitlist.tasks.follow_calendar", "schedule": 30.0, "options": {"expires": 30.0}},
    "watch": {"task": "integrations.tasks.watch", "schedule": 60.0, "options": {"expires": 60.0}},
}
# What `scheduling.wake` starts for each topic; the layers on the right never name a task of the layers on their left.
WAKE_TASKS = {
    "inbox": "integrations.tasks.drain_inbox",
    "checks": "integrations.tasks.drain_checks",
    "attention": "waitlist.tasks.drain_attention",
    "messages": "integrations.tasks.drain_messages",
    "writebacks": "integrations.tasks.drain_writebacks",
    "polls": "integrations.tasks.poll_connections",
    "loads": "integrations.tasks.drain_loads",
    "mappings": "integrations.tasks.apply_mappings",
    "imports": "waitlist.tasks.drain_imports",
    "reconciles": "integrations.tasks.drain_reconciles",
}

# --- Logs -------------------------------------------------------------------------------------------------------------
# One handler for everything, so that nothing passes by its masks; Django's own, which mails whole requests to
# administrators, is left out. Celery is quiet because beat alone starts a task each second.
QUIET: dict[str, Any] = {"handlers": [], "propagate": True, "level": "WARNING"}
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "context": {"()": "audit.logging.ContextFilter"},
        "withhold": {"()": "config.logs.WithholdErrorText"},
    },
    "formatters": {
        "console": {"()": "config.logs.ConsoleFormatter"},
        "json": {"()": "config.logs.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": ENVIRONMENT.log_format,
            "filters": ["context", "withhold"],
        }
    },
    "root": {"handlers": ["stderr"], "level": ENVIRONMENT.log_level},
    "loggers": {
        "django": {"handlers": [], "propagate": True, "level": ENVIRONMENT.log_level},
        **dict.fromkeys(("django.server", "celery", "kombu", "amqp", "urllib3", "waitress", "axes"), QUIET),
    },
}
