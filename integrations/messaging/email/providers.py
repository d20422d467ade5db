"""Providers of e-mail that may stand for a mail server, and which settings of django-anymail each cannot do without.

Those that django-anymail tests, that tell us what became of each message, and that need no package of their own.
"""

from __future__ import annotations

PROVIDERS: dict[str, tuple[str, ...]] = {
    "brevo": ("BREVO_API_KEY",),
    "mailersend": ("MAILERSEND_API_TOKEN", "MAILERSEND_SIGNING_SECRET"),
    "mailgun": ("MAILGUN_API_KEY", "MAILGUN_WEBHOOK_SIGNING_KEY"),
    "mailjet": ("MAILJET_API_KEY", "MAILJET_SECRET_KEY"),
    "mailtrap": ("MAILTRAP_API_TOKEN",),
    "mandrill": ("MANDRILL_API_KEY", "MANDRILL_WEBHOOK_KEY"),
    "postal": ("POSTAL_API_URL", "POSTAL_API_KEY", "POSTAL_WEBHOOK_KEY"),
    "postmark": ("POSTMARK_SERVER_TOKEN",),
    "resend": ("RESEND_API_KEY",),
    "sparkpost": ("SPARKPOST_API_KEY",),
    "unisender_go": ("UNISENDER_GO_API_URL", "UNISENDER_GO_API_KEY"),
}
#: What to do about one that is asked for in vain.
NO_MORE = {
    "sendgrid": "django-anymail does not test it any more; use SendGrid's mail server: leave EMAIL_PROVIDER empty and "
    "write EMAIL_URL=smtp+tls://apikey:<API key>@smtp.sendgrid.net:587",
}
