from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit import log
from audit.context import correlated, service
from audit.models import AccessRecord, Stream
from audit.verify import verify

MOST_SHOWN = 100


class Command(BaseCommand):
    help = "Looks for changed, deleted and slipped-in audit rows. Exits 1 if it finds any."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--head",
            action="append",
            default=[],
            metavar="STREAM=DIGEST",
            help="a digest noted earlier, which must still be in the chain; shows whether its end was cut off",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        heads = dict(item.split("=", 1) for item in options["head"] if "=" in item)
        if len(heads) != len(options["head"]) or not set(heads) <= set(Stream.values):
            raise CommandError(f"--head takes STREAM=DIGEST, once for each of: {', '.join(Stream.values)}.")
        reports = verify(heads=heads)
        findings = [finding for report in reports for finding in report.findings]
        for report in reports:
            self.stdout.write(f"{report.stream}: {report.rows} rows in {report.seals} seals, head {report.head or '-'}")
        for finding in findings[:MOST_SHOWN]:
            self.stdout.write(str(finding))
        with service("command: verify_audit"), correlated():
            log.record(
                AccessRecord.Action.VERIFY,
                result=AccessRecord.Result.FAILED if findings else AccessRecord.Result.DONE,
                detail={"rows": sum(report.rows for report in reports), "findings": len(findings)},
            )
        if findings:
            raise CommandError(
                f"{len(findings)} findings. The audit trail was changed outside of the program, or its sealer has not "
                "run for ten minutes. Keep a copy of the database as it is before anything else."
            )
        self.stdout.write("The audit trail agrees with its seals.")
