from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from audit.log import register_model
from tests.audit.sample import Sample


@pytest.fixture(scope="session")
def sample_table(django_db_setup: Any, django_db_blocker: Any) -> Iterator[None]:
    register_model(Sample)
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(Sample)
        connection.close()
    yield
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.delete_model(Sample)
        connection.close()


@pytest.fixture
def samples(sample_table: None, db: None) -> type[Sample]:
    # The content type of a model outside of the installed apps is made, and rolled back, by each test.
    ContentType.objects.clear_cache()
    return Sample


@pytest.fixture
def committed_samples(sample_table: None, transactional_db: None) -> Iterator[type[Sample]]:
    """For tests with several connections. Flushing knows nothing of this table, so it is emptied here."""
    ContentType.objects.clear_cache()
    yield Sample
    Sample.objects.all()._raw_delete("default")
