"""How a commit becomes what runs: Git bundles, changed models, a release and its way back."""

import json


def bundles(repository: str, ref: str) -> str:
    """Return Airflow's ``[dag_processor] dag_bundle_config_list``; see ``deploy.bundle``."""
    where = {"repository": repository, "ref": ref}
    return json.dumps([{"name": "daylight", "classpath": "deploy.bundle.Dags", "kwargs": where}])
