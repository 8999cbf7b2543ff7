import os
import sys
from pathlib import Path

import pytest

from cluster.memory import MIB, Meter
from laptop.processes import Processes

GREEDY = """
import subprocess, sys
block = bytearray(60 << 20)
child = subprocess.Popen([sys.executable, "-c", "b = bytearray(40 << 20); print('up', flush=True); \
input()"], stdin=subprocess.PIPE)
child.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells")
def test_a_part_is_measured_with_what_it_has_started(tmp_path: Path):
    processes = Processes(os.environ, tmp_path, tmp_path / "logs")
    part = processes.start("greedy", [sys.executable, "-c", GREEDY])
    processes.wait_until(part, lambda: "up" in part.log.read_text(), seconds=60)
    meter = Meter(processes.parts)
    meter.idle_is_over()

    meter.look()

    idle, peak = map(int, meter.table().splitlines()[1].split()[1:])
    processes.stop()
    assert 100 <= idle <= 160
    assert 100 <= peak <= 160
    assert MIB == 2**20
