"""The settings of what carries messages to patients and staff: texts, and e-mail by a mail server or a provider."""

from typing import Any

import environ

from config.environment_reader import Reader
from integrations.messaging.carriers import CARRIERS
from integrations.messaging.email.providers import NO_MORE, PROVIDERS

LEAST_WEBHOOK_SECRET = 24


def channels(reader: Reader, *, embedded: bool) -> dict[str, Any]:
    """Return the settings of texts and e-mails; ``embedded``: a trial, where e-mails may go to the console unasked."""
    email_url = reader.text("EMAIL_URL") or "consolemail://"
    sms = {name: reader.text(name.upper()) for name in ("sms_account", "sms_token", "sms_from")}
    sms_channel = reader.choice("SMS_CHANNEL", CARRIERS["sms"], "console")
    email_channel = reader.choice("EMAIL_CHANNEL", CARRIERS["email"], "console" if embedded else "email")
    if sms_channel == "twilio":
        for name, given in sms.items():
            if not given:
                reader.problem(name.upper(), "is missing", "SMS_CHANNEL=twilio needs it; copy it from Twilio's console")
    provider = _email_provider(reader)
    if email_channel == "email" and not reader.text("EMAIL_URL") and not provider["email_provider"]:
        mend = "write smtp+tls://user:password@host:587, or an EMAIL_PROVIDER, or EMAIL_CHANNEL=console"
        reader.problem("EMAIL_URL", "is missing", mend)
    return {
        **sms,
        "sms_channel": sms_channel,
        "sms_base_url": reader.web_address("SMS_BASE_URL", "https://api.twilio.com"),
        "email_channel": email_channel,
        "email": reader.value(
            "EMAIL_URL",
            lambda: environ.Env.email_url_config(email_url),
            {},
            "write smtp+tls://user:password@host:587",
        ),
        **provider,
        "default_from_email": reader.text("DEFAULT_FROM_EMAIL") or "waitlist@example.org",
        "test_recipients": reader.words("TEST_RECIPIENTS"),
    }


def _email_provider(reader: Reader) -> dict[str, Any]:
    """Return the provider that stands for a mail server, if any, and what its calls to us are known by."""
    asked_for = reader.text("EMAIL_PROVIDER")
    if asked_for in NO_MORE:
        reader.problem("EMAIL_PROVIDER", "names a provider that is not supported", NO_MORE[asked_for])
    name = "" if asked_for in NO_MORE else reader.choice("EMAIL_PROVIDER", ("", *PROVIDERS), "")
    pairs = [word.partition("=") for word in reader.words("EMAIL_PROVIDER_SETTINGS")]
    given = {key.strip(): value.strip() for key, _, value in pairs}
    secret = reader.text("EMAIL_WEBHOOK_SECRET")
    lacking = [setting for setting in PROVIDERS.get(name, ()) if not given.get(setting)]
    if lacking:
        mend = f"write {','.join(f'{setting}=...' for setting in lacking)}, from your account at {name}"
        reader.problem("EMAIL_PROVIDER_SETTINGS", f"lacks {' and '.join(lacking)}", mend)
    if name and (len(secret) < LEAST_WEBHOOK_SECRET or ":" not in secret):
        mend = f"write user:password, {LEAST_WEBHOOK_SECRET} random characters or more, and give it to the provider"
        reader.problem("EMAIL_WEBHOOK_SECRET", "is missing or too short", mend)
    return {
        "email_provider": name,
        "email_provider_settings": given,
        "email_webhook_secret": secret,
        "email_bounces_to": reader.text("EMAIL_BOUNCES_TO"),
    }
