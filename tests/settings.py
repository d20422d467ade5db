"""Settings for tests: the product's own, on an environment that holds nothing of the machine's.

pytest and every process a test starts share one directory for SQLite files; a run removes the one it made.
"""

import atexit
import os
import shutil
import tempfile
from urllib.parse import urlsplit

if "TEST_DIR" not in os.environ:
    os.environ["TEST_DIR"] = tempfile.mkdtemp(prefix="sooner-tests-")
    atexit.register(shutil.rmtree, os.environ["TEST_DIR"], ignore_errors=True)

TEST_ENVIRONMENT = {
    "ENV_FILE": os.devnull,
    "APP_ENV": "embedded",
    "VAR_DIR": os.environ["TEST_DIR"],
    "SECRET_KEY": "tests-only-" + "k" * 50,
    "FIELD_ENCRYPTION_KEYS": "dGVzdHMtb25seS1rZXktb2YtMzItYnl0ZXMtbG9uZyE=",
    "BLIND_INDEX_KEY": "tests-only-" + "b" * 40,
    "PUBLIC_BASE_URL": "http://testserver",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
}
for name, value in TEST_ENVIRONMENT.items():
    os.environ.setdefault(name, value)

broker = urlsplit(os.environ.get("CELERY_BROKER_URL", ""))
if broker.scheme in {"redis", "rediss"}:
    # Each of pytest's processes has a Redis database of its own, so that no worker takes another's messages.
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.environ["CELERY_BROKER_URL"] = broker._replace(path=f"/{number}").geturl()

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, VAR_DIR  # noqa: E402

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, because worker threads and processes need one; nothing is flushed to disk, because nobody restarts it.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"

# Threads that tests start must not keep connections that would block dropping the database.
DATABASES["default"]["CONN_MAX_AGE"] = 0

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A static file is looked for when it is asked for; else each test's first page would begin by listing all of them.
WHITENOISE_AUTOREFRESH = True
