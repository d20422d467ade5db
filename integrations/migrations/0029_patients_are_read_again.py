"""What changed of patients, clinicians and places is read by itself: what we subscribe to at an EHR is appointments."""

from typing import Any

from django.db import migrations, models

PACES = [
    ("real_time", "real-time: as notifications arrive"),
    ("hybrid", "hybrid: at once where it may free time or is near, the rest in batches"),
    ("batch", "batch: every so many minutes, together"),
]


def read_people(apps: Any, schema_editor: Any) -> None:
    """Real-time was where these settings began, and told of no patient; a vendor's own platform may name them."""
    connections = apps.get_model("integrations", "Connection").objects.exclude(events_by="platform")
    for setting in ("patient_pace", "directory_pace"):
        connections.filter(**{setting: "real_time"}).update(**{setting: "hybrid"})


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0028_carrier_known_to_be_down"),
    ]

    operations = [
        migrations.AlterField(
            model_name="connection",
            name="directory_pace",
            field=models.CharField(
                choices=PACES,
                default="hybrid",
                help_text="As for patients.",
                max_length=10,
                verbose_name="clinicians and places",
            ),
        ),
        migrations.AlterField(
            model_name="connection",
            name="patient_pace",
            field=models.CharField(
                choices=PACES,
                default="hybrid",
                help_text="Names, contacts, merges. Hybrid: notifications at once, and what changed is read every so many minutes as well. Batch: notifications wait for that. Real-time alone: only where the EHR itself notifies us of patients; what we subscribe to is appointments.",
                max_length=10,
                verbose_name="patients",
            ),
        ),
        migrations.RunPython(read_people, migrations.RunPython.noop),
    ]
