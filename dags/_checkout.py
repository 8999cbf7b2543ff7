"""Import it before any package of ours: they come from the checkout that this file belongs to.

From a Git repository each run has its own commit (`deploy/bundle.py`), and Airflow puts only the
folder of the DAGs on the path. Without this, half of a run would be of the commit and half of
whatever was installed with Airflow.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("alerts", "dashboard", "expectations", "ingestion")

if str(ROOT) in sys.path:
    sys.path.remove(str(ROOT))
sys.path.insert(0, str(ROOT))

for package in PACKAGES:
    module = sys.modules.get(package)
    folder = ROOT / package
    if module is not None and folder.exists() and Path(module.__file__ or "").parent != folder:
        raise ImportError(
            f"{package} is already imported from {module.__file__}, but this run is of {ROOT}. "
            "Nothing that starts before a DAG file may import our packages."
        )
