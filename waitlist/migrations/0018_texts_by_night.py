from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("waitlist", "0017_numbers_in_words")]

    operations = [
        migrations.AddField(
            model_name="waitlistentry",
            name="texts_by_night",
            field=models.BooleanField(
                default=False,
                help_text="The patient asked for it: a time that would be gone by the morning is offered by text at once.",
                verbose_name="texts in quiet hours too",
            ),
        ),
    ]
