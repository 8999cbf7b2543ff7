"""What dbt's manifest says of the project, read where a task needs it."""

import json
from typing import Any

from _parsed_project import DBT_PROJECT


def nodes() -> dict[str, Any]:
    """Return the models, tests and analyses of the project by dbt's name for them."""
    manifest = json.loads((DBT_PROJECT / "target" / "manifest.json").read_text())
    found: dict[str, Any] = manifest["nodes"]
    return found
