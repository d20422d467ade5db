"""The two groups every installation has. A practice that wants other rights makes groups of its own."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps as installed
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

FRONT_DESK: Final = "Front desk"
INTEGRATION_ADMIN: Final = "Integration admin"

RIGHTS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    FRONT_DESK: {
        "scheduling": (
            "view_practice",
            "view_location",
            "view_closedday",
            "view_provider",
            "view_appointmenttype",
            "view_plan",
            "view_bookable",
            "view_patient",
            "change_patient",
            "view_contactpoint",
            "view_patientidentifier",
            "view_patientreview",
            "change_patientreview",
            "view_patientmerge",
            "view_patientwrite",
            "view_appointment",
            "view_block",
            "add_block",
            "change_block",
            "view_opening",
            "change_opening",
            "view_writeback",
            "change_writeback",
            "view_workitem",
            "change_workitem",
            "view_timelineentry",
            "view_source",
        ),
        "waitlist": (
            "view_waitlistentry",
            "add_waitlistentry",
            "change_waitlistentry",
            "view_importbatch",
            "add_importbatch",
            "change_importbatch",
            "view_offer",
            "view_claim",
            "view_candidateverdict",
            "view_message",
            "change_message",
            "view_reply",
            "change_reply",
            "view_wrongpersonreport",
            "add_wrongpersonreport",
            "change_wrongpersonreport",
            "view_consentrecord",
            "add_consentrecord",
            "view_outreachpolicy",
            "view_messagetemplate",
        ),
        "integrations": ("view_difference", "change_difference", "view_reconciliation"),
    },
    INTEGRATION_ADMIN: {
        "scheduling": (
            "view_location",
            "view_provider",
            "view_appointmenttype",
            "add_appointmenttype",
            "change_appointmenttype",
            "view_plan",
            "add_plan",
            "change_plan",
            "view_bookable",
            "add_bookable",
            "change_bookable",
            "view_source",
            "change_source",
            "view_writeback",
            "change_writeback",
            "view_workitem",
            "change_workitem",
            "view_opening",
            "view_timelineentry",
        ),
        "integrations": (
            "view_connection",
            "add_connection",
            "change_connection",
            "operate_connection",
            "view_difference",
            "change_difference",
            "view_reconciliation",
            "view_codemapping",
            "change_codemapping",
            "view_fieldmapping",
            "change_fieldmapping",
            "view_inboundevent",
            "change_inboundevent",
            "view_refusedcall",
            "view_apicall",
            "view_carrierstate",
            "view_heartbeat",
            "view_staffalert",
            "view_sendinglimit",
            "add_sendinglimit",
            "change_sendinglimit",
            "view_alertcontact",
            "add_alertcontact",
            "change_alertcontact",
        ),
    },
}


def keep_groups(apps: Apps | None = None, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Make the groups and give them what they lack; rights somebody added stay. Runs after every migration."""
    for label in ("scheduling", "waitlist", "integrations"):
        create_permissions(installed.get_app_config(label), verbosity=0, using=using)
    for name, rights in RIGHTS.items():
        group = Group.objects.using(using).get_or_create(name=name)[0]
        wanted = Q()
        for label, codenames in rights.items():
            wanted |= Q(content_type__app_label=label, codename__in=codenames)
        group.permissions.add(*Permission.objects.using(using).filter(wanted))
