"""Ray as we start it: heard on loopback alone, without a dashboard, and gone with its driver."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.ci  # the driver starts Ray

MARK = "EDGE_DSE_TEST_OF_RAY"
DRIVER = """
import time
from dse.testing.contracts import Inverse, rows_of
from dse.workers.ray_workers import RayWorkers
with RayWorkers(1) as workers:
    assert workers.map(Inverse(), rows_of([2.0]), lambda: None)[0].columns
    import ray
    print("dashboard at", ray._private.worker.get_dashboard_url() or "no address", flush=True)
    time.sleep(600)
"""
LISTENING = "0A"


def marked():
    """Processes that the driver has started, or those have, and itself: number -> command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or somebody else's
            if f"{MARK}={os.getpid()}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
    return found


def standing():
    """Of these, all but Ray's agents, which look for their dead node for a minute and then end."""
    return {pid: command for pid, command in marked().items() if "Agent" not in command}


def heard_at(pids):
    """Addresses, in the kernel's hexadecimal, at which these processes listen."""
    sockets = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                sockets.add(str(file.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and f"socket:[{words[9]}]" in sockets:
                found.append(words[1].partition(":")[0])
    return found


def on_loopback(address):
    """127.x.x.x, also as IPv6 has it, or ::1."""
    v4 = len(address) == 8 or address.startswith("0" * 16 + "FFFF0000")
    return address.endswith("7F") if v4 else address == "0" * 24 + "01000000"


def test_ray_listens_on_loopback_has_no_dashboard_and_ends_with_its_driver():
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        env={**os.environ, MARK: str(os.getpid())},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert driver.stdout is not None
        said = driver.stdout.readline()
        started = marked()
        addresses = heard_at(started)
    finally:
        driver.kill()
        driver.communicate()
    assert said == "dashboard at no address\n"
    assert any("raylet" in command for command in started.values())
    # Ray lets the dashboard's process count its use even where nothing is served.
    serving = [c for c in started.values() if "dashboard.py" in c and "--disable-frontend" not in c]
    assert serving == []
    assert len(addresses) >= 3  # of the cluster's store, its node and its workers
    assert all(on_loopback(address) for address in addresses), addresses
    deadline = time.monotonic() + 30
    while standing() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert standing() == {}
