from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0018_when_time_was_freed"),
    ]

    operations = [
        migrations.AlterField(
            model_name="writeback",
            name="deadline_at",
            field=models.DateTimeField(
                help_text="Never written after this: the start of the appointment, for a booking shortly before it."
            ),
        ),
    ]
