"""Sets the demo up through the doors a practice would use: the connection, the load, the mappings, the waitlist."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.utils import timezone

from audit.context import service
from config.demo import plan
from config.demo.waiting import fill_waitlist
from config.desk.groups import FRONT_DESK, INTEGRATION_ADMIN
from integrations.ehr import event_stream, load
from integrations.models import CodeMapping, Connection
from scheduling import bulk
from scheduling.models import (
    AppointmentType,
    Bookable,
    ExternalId,
    Location,
    LocationAccess,
    Plan,
    Practice,
    Source,
)
from waitlist.models import OutreachPolicy

SLUG = "sandbox"
#: The demo's logins, the group each is in ("" sees everything), the person's name, and what one sees with it.
LOGINS = (
    ("frontdesk", FRONT_DESK, "Dana", "what the front desk sees"),
    ("integrations", INTEGRATION_ADMIN, "Ira", "what those who connect and watch the EHR see"),
    ("admin", "", "Maria", "everything"),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the sandbox EHR and the product share: made once, kept encrypted with the connection."""

    client_id: str
    client_secret: str
    control_token: str


def credentials() -> Credentials:
    """Return the sandbox's credentials, making them at the first start."""
    connection = Connection.objects.filter(slug=SLUG).first()
    if connection is None:
        source = Source.objects.get_or_create(key=SLUG, defaults={"name": "Sandbox EHR"})[0]
        connection = Connection.objects.create(
            slug=SLUG,
            source=source,
            base_url="http://127.0.0.1/fhir",
            client_id="sooner",
            client_secret=secrets.token_urlsafe(24),
            webhook_secrets=[secrets.token_urlsafe(24)],
            mrn_system=plan.MRN_SYSTEM,
        )
    return Credentials(connection.client_id, connection.client_secret, _control_token())


def _control_token() -> str:
    path = settings.VAR_DIR / "sandbox-control"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text().strip()


def connect(base_url: str, public_url: str) -> Connection:
    """Point the connection at the running sandbox, load the clinic once, and subscribe to its changes."""
    connection = Connection.objects.get(slug=SLUG)
    connection.base_url, connection.token_url = base_url, ""
    connection.state = Connection.State.ACTIVE
    connection.quiet_until = connection.failing_since = None
    connection.save()
    with service("demo: load"):
        first_time = connection.loaded_at is None
        if first_time:
            _map_codes(connection)
            _describe_practice()
            load.load(connection.pk)
            _say_what_is_bookable(connection.source)
            fill_waitlist(connection.source)
        event_stream.start(connection, public_url)
    return connection


def staff_password() -> str:
    """Make the demo's logins, give them a new password in common and return it."""
    password = secrets.token_urlsafe(9)
    for username, group, name, _ in LOGINS:
        user, _ = get_user_model().objects.get_or_create(username=username)
        user.first_name, user.is_staff, user.is_superuser = name, True, not group
        user.email = f"{username}@example.org"  # where a test of a message's words goes
        user.set_password(password)
        user.save()
        user.groups.set(Group.objects.filter(name=group))
        for location in Location.objects.all() if group else ():
            LocationAccess.objects.get_or_create(user=user, location=location)
    return password


def _describe_practice() -> None:
    practice = Practice.current()
    practice.name, practice.phone = "Harbor Family Practice", "(212) 555-0100"
    practice.save()
    # Nobody watching a demo waits half a minute, or until eight in the morning.
    OutreachPolicy.objects.get_or_create(
        location=None,
        appointment_type=None,
        defaults={"start_delay_seconds": 2, "quiet_from": "00:00", "quiet_until": "00:00"},
    )
    for _, code, name, minutes, automation in plan.TYPES:
        AppointmentType.objects.get_or_create(
            code=code,
            defaults={
                "name": name,
                "duration_minutes": minutes,
                "automation": automation,
                "needs_insurance": code in plan.INSURED,
            },
        )
    for code, name, _ in plan.PLANS:
        Plan.objects.get_or_create(code=code, defaults={"name": name})


def _map_codes(connection: Connection) -> None:
    wanted = [(CodeMapping.Domain.TYPE, plan.TYPE_SYSTEM, ehr, ours) for ehr, ours, *_ in plan.TYPES]
    wanted += [(CodeMapping.Domain.REASON, plan.REASON_SYSTEM, ehr, ours) for ehr, ours in plan.REASONS]
    wanted += [(CodeMapping.Domain.PLAN, *codes) for codes in plan.PLAN_CODES]
    for domain, system, code, target in wanted:
        CodeMapping.objects.update_or_create(
            connection=connection,
            domain=domain,
            system=system,
            code=code,
            defaults={"target": target, "state": CodeMapping.State.MAPPED},
        )


def _say_what_is_bookable(source: Source) -> None:
    providers = bulk.names_of(source, ExternalId.Kind.PROVIDER)
    locations = bulk.names_of(source, ExternalId.Kind.LOCATION)
    types = {row.code: row for row in AppointmentType.objects.all()}
    for code, _, takers in plan.PLANS:
        Plan.objects.get(code=code).providers.add(*(providers[each] for each in takers))
    for provider, location, codes in plan.BOOKABLE:
        for code in codes:
            Bookable.objects.get_or_create(
                provider_id=providers[provider],
                location_id=locations[location],
                appointment_type=types[code],
                defaults={"duration_minutes": types[code].duration_minutes, "mode": Bookable.Mode.AUTOMATIC},
            )


def is_stale() -> bool:
    """Whether the clinic was made so long ago that its future appointments run out."""
    connection = Connection.objects.filter(slug=SLUG).first()
    loaded_at = connection.loaded_at if connection else None
    return loaded_at is not None and loaded_at < timezone.now() - timedelta(days=14)
