"""The log of a new row holds its own columns and nothing of the rows that may later point to it."""

from __future__ import annotations

import pytest
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scheduling.models import Opening
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_a_new_opening_is_logged_by_its_columns_in_one_query() -> None:
    provider, location, source = make.provider(), make.location(), make.source()
    ContentType.objects.get_for_model(Opening)  # asked for once per process, whichever test comes first
    with CaptureQueriesContext(connection) as captured:
        opening = make.opening(provider, location, source=source)

    entry = LogEntry.objects.get_for_object(opening).get()
    columns = {field.name for field in Opening._meta.concrete_fields}
    assert set(entry.changes_dict) <= columns
    assert entry.changes_dict["status"] == ["None", "open"]
    inserts = [query["sql"].split()[:3] for query in captured.captured_queries]
    assert [words[0] for words in inserts] == ["INSERT", "INSERT"]
