"""ASGI entry point.

Whoever serves by this module serves patients, so the checks for production apply unless APP_ENV says otherwise.
"""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("APP_ENV", "production")

application = get_asgi_application()
