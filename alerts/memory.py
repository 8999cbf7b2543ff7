"""What lasts between runs: JSON documents in Airflow's Variables, where people can see them.

A Variable, because it is the only thing that a DAG's callback (in the DAG processor), a deadline's
(in the triggerer), and a task can all read and write; none of them needs the lake for it, so an
incident of the lake is told, too.
"""

from typing import Any

from airflow.sdk import Variable


def read(key: str) -> dict[str, Any] | None:
    """Return a document, or nothing if there is none."""
    found = Variable.get(key, default=None, deserialize_json=True)
    return found if isinstance(found, dict) else None


def write(key: str, document: dict[str, Any], description: str) -> None:
    """Keep a document, in the place of the one before."""
    Variable.set(key, document, description=description, serialize_json=True)


def forget(key: str) -> None:
    """Remove a document; one that is not there is no error."""
    Variable.delete(key)


def keys(prefix: str) -> list[str]:
    """Return the names of all documents that begin with ``prefix``, sorted."""
    return sorted(Variable.keys(prefix=prefix))
