"""The command line: ready line, restart, SIGKILL in mid-work, SIGTERM."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.client import CLIENT_SECRET, FhirClient, appointment

pytestmark = pytest.mark.process


def start(database: Path, *more: str) -> tuple[subprocess.Popen[str], FhirClient]:
    command = [sys.executable, "-m", "integrations.ehr.sandbox", "--port", "0", "--database", str(database), *more]
    environment = os.environ | {"SANDBOX_CLIENT_SECRET": CLIENT_SECRET}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert ready.startswith("sandbox EHR ready at http://127.0.0.1:")
    return process, FhirClient(ready.split()[-1].removesuffix("/fhir"))


def stop(process: subprocess.Popen[str], number: int) -> int:
    process.send_signal(number)
    code = process.wait(timeout=20)
    assert process.stdout is not None
    process.stdout.close()
    return code


def test_a_booking_survives_sigkill_and_sigterm_ends_cleanly(tmp_path: Path) -> None:
    database = tmp_path / "ehr.sqlite3"
    process, ehr = start(database, "--seed-clinic", "--today", "2026-03-04")
    made = ehr.create(appointment(ehr.free_slots()[0])).json()
    assert stop(process, signal.SIGKILL) == -signal.SIGKILL
    process, ehr = start(database, "--seed-clinic", "--today", "2026-03-11")
    assert ehr.get(f"Appointment/{made['id']}").json() == made
    assert ehr.get("Patient?_summary=count").json()["total"] == 300
    assert stop(process, signal.SIGTERM) == 0


def test_it_imports_nothing_of_the_product_and_no_library() -> None:
    program = (
        "import sys, integrations.ehr.sandbox.__main__\n"
        "names = {name.partition('.')[0] for name in sys.modules if not name.startswith('_')}\n"
        "foreign = names - set(sys.stdlib_module_names) - {'integrations', 'sitecustomize', 'usercustomize'}\n"
        "ours = [name for name in sys.modules if name.startswith('integrations') and '.sandbox' not in name]\n"
        "print(sorted(foreign), sorted(ours))"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "[] ['integrations', 'integrations.ehr']"


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    process, ehr = start(tmp_path / "ehr.sqlite3")
    port = ehr.origin.rpartition(":")[2]
    command = [sys.executable, "-m", "integrations.ehr.sandbox", "--port", port]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.stderr
    assert stop(process, signal.SIGTERM) == 0


def test_keys_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "integrations.ehr.sandbox", "--port", "0", "--client-jwks", str(tmp_path / "none")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert f"The keys in {tmp_path / 'none'} cannot be read" in result.stderr
