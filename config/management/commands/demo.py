"""`manage.py demo`: a running system with a sandbox EHR and made-up patients; with --run, one cancellation headless."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections

from config.demo import setup
from config.demo.control import SandboxControl
from config.demo.play import DidNotHappen, Playthrough
from config.desk.sandbox import who_is_written_to
from config.embedded import EmbeddedSite, until_signalled
from config.sandbox import SandboxNotReady, SandboxProcess, start_sandbox


class Command(BaseCommand):
    help = "Run everything with a sandbox EHR and made-up patients, and print where to look."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="first port to try (default 8000)")
        parser.add_argument("--run", action="store_true", help="play one cancellation without a browser and stop")
        parser.add_argument("--fresh", action="store_true", help="throw the demo's data away first")

    def handle(self, *args: Any, port: int, run: bool, fresh: bool, **options: Any) -> None:
        if settings.INSTALLATION == "live":
            raise CommandError(
                "The demo fills the database with made-up patients, and this installation is live (INSTALLATION=live). "
                "Start it from another folder, without this one's .env. Nothing was changed."
            )
        if not settings.EHR_ALLOW_PRIVATE_ADDRESSES:
            raise CommandError(
                "The demo's EHR runs on this machine, and EHR_ALLOW_PRIVATE_ADDRESSES=false forbids calls to it. "
                "Set it to true, or leave it out, and start the demo again. Nothing was changed."
            )
        if fresh:
            self._throw_away()
        call_command("migrate", interactive=False, verbosity=0)
        shared = setup.credentials()
        with contextlib.ExitStack() as running:
            try:
                sandbox = self._start_sandbox(shared)
                running.callback(sandbox.stop)
                settings.SANDBOX_CONTROL_URL = sandbox.url
                settings.SANDBOX_CONTROL_TOKEN = shared.control_token
                site = EmbeddedSite(port)
                stopped = running.enter_context(until_signalled())
                site.start()
                running.callback(site.stop)
            except (SandboxNotReady, OSError, RuntimeError) as error:
                raise CommandError(str(error)) from error
            self.stdout.write("Loading the clinic from the sandbox EHR …")
            connected = setup.connect(sandbox.url, site.url)
            if run:
                control = SandboxControl(sandbox.url, shared.control_token)
                self._play(Playthrough(connected, control, site.url, self.stdout.write))
                return
            self._announce(site)
            stopped.wait()
        self.stdout.write("Stopped.")

    def _start_sandbox(self, shared: setup.Credentials) -> SandboxProcess:
        return start_sandbox(
            arguments=["--seed-clinic", "--client-id", shared.client_id],
            environment={
                "SANDBOX_CLIENT_SECRET": shared.client_secret,
                "SANDBOX_CONTROL_TOKEN": shared.control_token,
            },
        )

    def _play(self, playthrough: Playthrough) -> None:
        try:
            playthrough.run()
        except DidNotHappen as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS("The loop is closed."))

    def _announce(self, site: EmbeddedSite) -> None:
        if site.port != site.asked_port:
            self.stdout.write(f"Port {site.asked_port} is in use, so this runs on {site.port}.")
        if setup.is_stale():
            self.stdout.write("The made-up clinic is two weeks old; `make demo FRESH=1` makes a new one.")
        password = setup.staff_password()
        self.stdout.write(
            self.style.SUCCESS(f"\n  Open      {site.url}/admin/sandbox/\n")
            + "".join(f"  Log in as {name:13} to see {sees}\n" for name, _, _, sees in setup.LOGINS)
            + f"  Password  {password} for each\n\n"
            f"  Everybody in it is made up, and {who_is_written_to()}. Ctrl-C stops it.\n"
        )

    def _throw_away(self) -> None:
        if settings.APP_ENV != "embedded":
            raise CommandError("--fresh throws data away, so it works only in the embedded test installation.")
        if connection.vendor != "sqlite":
            raise CommandError(
                "--fresh throws the demo's own SQLite file away, and DATABASE_URL points to another database. "
                "Leave DATABASE_URL out, or empty that database yourself. Nothing was changed."
            )
        connections.close_all()
        database = settings.DATABASES["default"]["NAME"]
        for path in (database, settings.VAR_DIR / "sandbox.sqlite3"):
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    settings.VAR_DIR.joinpath(f"{path}{suffix}").unlink()
