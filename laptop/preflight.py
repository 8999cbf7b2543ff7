"""What must be true of a machine before anything is installed. Standard library only.

Run with whatever Python the machine has, so it must stay readable for an old one.
"""

import shutil
import sys

NEEDED_GB = 5  # two environments (1.5 GB), Airflow's database and a lake of a few weeks


def problems(folder):
    """Say in full sentences what this machine lacks; empty when it lacks nothing."""
    found = []
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        found.append(
            "Python 3.11 or 3.12 is needed, this is {}.{}. Install one of them, or name it: "
            "make PYTHON=/path/to/python3.12 ...".format(*sys.version_info[:2])
        )
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        found.append(
            "No C compiler found (cc, gcc or clang). A package without a wheel for this machine "
            "is built from source: install gcc (Debian: build-essential, macOS: xcode-select "
            "--install) and run make again."
        )
    free = shutil.disk_usage(folder).free / 1e9
    if free < NEEDED_GB:
        found.append(
            f"Only {free:.1f} GB of disk are free here, {NEEDED_GB} GB are needed. "
            "Free some space and run make again."
        )
    return found


if __name__ == "__main__":
    complaints = problems(".")
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    sys.exit(1 if complaints else 0)
