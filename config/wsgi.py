"""WSGI entry point for gunicorn and the like.

Whoever serves by this module serves patients, so the checks for production apply unless APP_ENV says otherwise.
"""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from config.logs import mask_the_web_servers_logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("APP_ENV", "production")

application = get_wsgi_application()
mask_the_web_servers_logs()

# The first request would load all views. What is loaded stays for the life of the process, so the garbage collector
# need not walk over it again and again: that is a good part of what a short request costs.
_ = get_resolver().url_patterns
gc.collect()
gc.freeze()
