"""The product's settings without everything a bare view does not need: no middleware, no other addresses."""

from bench.settings import *  # noqa: F403
from bench.settings import MIDDLEWARE

MIDDLEWARE = MIDDLEWARE[:0]
ROOT_URLCONF = "bench.floors.urls"
