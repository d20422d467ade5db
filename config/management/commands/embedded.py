"""`manage.py embedded`: web, worker and beat in this process, until Ctrl-C."""

import contextlib
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config.embedded import EmbeddedSite, run_embedded
from config.sandbox import SandboxNotReady, start_sandbox


class Command(BaseCommand):
    help = "Run web server, worker and scheduler in one process, with nothing else to install."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="first port to try (default 8000)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--with-sandbox", action="store_true", help="also run the sandbox EHR")

    def handle(self, *args: Any, port: int, host: str, with_sandbox: bool, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        with contextlib.ExitStack() as running:
            try:
                if with_sandbox:
                    sandbox = start_sandbox()
                    running.callback(sandbox.stop)
                    self.stdout.write(f"Sandbox EHR at {sandbox.url}")
                run_embedded(port, host=host, announce=self.announce)
            except (SandboxNotReady, OSError, RuntimeError) as error:
                raise CommandError(str(error)) from error
        self.stdout.write("Stopped.")

    def announce(self, site: EmbeddedSite) -> None:
        if site.port != site.asked_port:
            self.stdout.write(f"Port {site.asked_port} is in use, so this runs on {site.port}.")
        self.stdout.write(self.style.SUCCESS(f"Running at {site.url} (staff: {site.url}/admin/). Ctrl-C stops it."))
