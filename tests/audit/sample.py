"""A model of the tests' own, with one field of each encrypted kind. Its table is made by `conftest.sample_table`."""

from django.db import models

from audit.fields import (
    BlindIndexField,
    EncryptedBinaryField,
    EncryptedDateField,
    EncryptedJSONField,
    EncryptedTextField,
)


class Sample(models.Model):
    name = EncryptedTextField(null=True, max_length=100)
    name_index = BlindIndexField(default="")
    notes = EncryptedTextField(null=True)
    preferences = EncryptedJSONField(null=True)
    born = EncryptedDateField(null=True)
    raw = EncryptedBinaryField(null=True)
    state = models.CharField(max_length=20, default="new")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "sample"

    def __str__(self) -> str:
        return f"sample {self.pk}"
