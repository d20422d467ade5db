"""The floors' tables, made without migrations in databases that live for one run."""

from django.apps import AppConfig


class FloorsConfig(AppConfig):
    name = "bench.floors"
    label = "floors"
