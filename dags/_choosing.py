"""What a run of the warehouse builds: everything, or the models that somebody chose by hand."""

import difflib
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from _parsed_project import DBT_PROJECT, dbt

PARAMS = {
    "models": Param(
        "",
        type="string",
        title="Models",
        description="Which models to build, as dbt selects them: metrics_daily_active, "
        "+fct_sessions, fct_user_daily+, tag:marts, …; several are separated by spaces. "
        "Empty: all.",
    ),
    "full_refresh": Param(
        False,
        type="boolean",
        title="Full refresh",
        description="Build incremental tables from nothing. Reads all of raw, so somebody has to "
        "approve it.",
    ),
}


class ChooseModels(ApprovalOperator):
    """Finds out which models a run builds; a full refresh then waits for a person's word.

    A rejected run builds nothing: everything behind it is skipped.
    """

    template_fields = (*ApprovalOperator.template_fields, "select")

    def __init__(self, *, is_watched: bool, **words: Any) -> None:
        self.select = "{{ params.models }}"
        self.is_watched = is_watched
        super().__init__(
            subject="May {{ dag.dag_id }} rebuild from nothing: "
            "{{ params.models or 'every model' }}?",
            body="Asked for by run `{{ run_id }}`. A full refresh reads all of raw, and readers "
            "see each table change over when it is built.",
            response_timeout=timedelta(hours=12),  # who asked in the evening is back by then
            ignore_downstream_trigger_rules=True,
            execution_timeout=timedelta(minutes=10),  # of the asking, not of the answer
            **words,
        )

    def execute(self, context: Any) -> Any:
        """Say which models were chosen; ask for approval where one is needed."""
        if self.select:
            if self.is_watched:
                raise AirflowFailException(
                    "One dbt run builds all models in this mode. To choose models, set "
                    "AIRFLOW__DAYLIGHT__DBT_EXECUTION=local."
                )
            context["ti"].xcom_push(key="models", value=sorted(selected(self.select)))
        return super().execute(context) if context["params"]["full_refresh"] else None


def build_only_if_chosen(context: Any, operator: Any) -> None:
    """Skip a task whose model was not chosen (a Cosmos interceptor)."""
    if not context["params"].get("models"):
        return
    chosen = context["ti"].xcom_pull(task_ids="choose", key="models")
    node = operator.extra_context["dbt_node_config"]
    # A test of several models runs if one of them is built, as dbt does it.
    about = node["depends_on"] if node["resource_type"] == "test" else [node["unique_id"]]
    if not {name.rpartition(".")[2] for name in about} & set(chosen):
        raise AirflowSkipException("Not among the models that were chosen for this run.")


def selected(words: str) -> set[str]:
    """Return the models that dbt selects by these words.

    Raises:
        AirflowFailException: for every word that selects none; dbt itself would build nothing, and
            be green.
    """
    found = {word: _models(word) for word in words.split()}
    if nothing := [word for word, models in found.items() if not models]:
        names = _models("*")
        guesses = [
            difflib.get_close_matches(word.strip("+@0123456789"), names, n=1) for word in nothing
        ]
        hints = [f" Did you mean {guess[0]}?" for guess in guesses if guess]
        raise AirflowFailException(
            f"No model is selected by {', '.join(nothing)}.{''.join(hints)} Nothing was built; "
            "start the DAG again with a name, tag:… or path:… of the dbt project."
        )
    return set().union(*found.values())


def _models(word: str) -> list[str]:
    folders = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
    folders.append("--no-static-parser")  # as in _parsed_project
    what = ["--resource-type", "model", "--output", "name", "--select", word]
    result = dbt().invoke(["ls", "--quiet", "--target", "prod", *folders, *what])
    if not result.success:
        raise AirflowFailException(f"dbt cannot read the selector {word}: {result.exception}")
    return list(result.result)
