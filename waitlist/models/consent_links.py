"""The QR code on a printed consent form, as a row."""

from __future__ import annotations

from django.db import models


class ConsentLink(models.Model):
    """A link printed on one patient's consent form. The token is kept only as a hash; it can be answered once."""

    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    made_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"consent link {self.pk}"
