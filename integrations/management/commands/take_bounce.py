"""Takes in one notice of a mail server, by a pipe: an e-mail that did not arrive, or was complained about."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from audit.context import correlated, service
from integrations.messaging import reports
from integrations.messaging.email.notices import read_notice

MOST_BYTES = 1024 * 1024


class Command(BaseCommand):
    help = (
        "Take in a delivery status notice or a complaint from standard input. Have your mail server pipe what comes to "
        "EMAIL_BOUNCES_TO into it. Whatever it cannot use is left alone, so that the server sends nothing back."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        report = read_notice(sys.stdin.buffer.read(MOST_BYTES))
        if report is None:
            self.stdout.write("No notice about an e-mail of ours. Nothing was changed.")
            return
        with service("mail server"), correlated():
            is_news = reports.take_report(report)
        self.stdout.write("Taken in." if is_news else "Known already, or about no e-mail of ours. Nothing was changed.")
