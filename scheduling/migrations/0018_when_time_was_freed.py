"""When an opening's time was given up, which is earlier than its row where a code was mapped afterwards."""

from typing import Any

import django.utils.timezone
from django.db import migrations, models


def as_old_as_its_row(apps: Any, schema_editor: Any) -> None:
    apps.get_model("scheduling", "Opening").objects.update(freed_at=models.F("created_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0017_automation_in_words"),
    ]

    operations = [
        migrations.AddField(
            model_name="opening",
            name="freed_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, help_text="When the EHR told us that it was given up."
            ),
        ),
        migrations.RunPython(as_old_as_its_row, migrations.RunPython.noop),
    ]
