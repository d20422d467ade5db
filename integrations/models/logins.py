"""What lets us in at an EHR: its access token, and the keys that our logins are signed with."""

from __future__ import annotations

from django.db import models

from audit.fields import EncryptedTextField
from integrations.models.connections import Connection


class AccessToken(models.Model):
    """The connection's OAuth2 token, shared by all workers; ``lease_until`` lets one of them renew it."""

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="access_token")
    value = EncryptedTextField(blank=True)
    scope = models.TextField(blank=True, help_text="The scopes the EHR granted with it; empty: it did not say.")
    expires_at = models.DateTimeField(null=True)
    serial = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"token of connection {self.connection_id}"


class SigningKey(models.Model):
    """A key our logins at one EHR are signed with. Its public half is published under the connection's address.

    A new key is published at once and signs from ``signs_from`` on, so that an EHR which keeps our key set for a while
    knows it by then; the one before stays published until ``published_until``.
    """

    class Algorithm(models.TextChoices):
        RS384 = "RS384", "RS384"
        ES384 = "ES384", "ES384"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="signing_keys")
    kid = models.CharField(max_length=60, unique=True)
    algorithm = models.CharField(max_length=5, choices=Algorithm)
    private_key = EncryptedTextField()
    public_jwk = models.JSONField()
    created_at = models.DateTimeField()
    signs_from = models.DateTimeField()
    published_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"key {self.kid}"
