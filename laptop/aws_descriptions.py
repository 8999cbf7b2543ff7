"""Reads botocore's descriptions of AWS once per process, not once per session.

dbt-athena makes a session and some clients for every model, and each session parses a megabyte of
JSON and makes the same classes again: more than half of what a `dbt run` computes. Only the laptop
and the tests do this; a cluster runs without it.
"""

from typing import Any

import boto3
import botocore.client
import botocore.loaders
import botocore.session


def share(*services: str) -> None:
    """Let all sessions that are made from now on have one loader, and one class per service.

    Those of ``services`` are read and made now: for processes that will be forked from this one.
    """
    loader = botocore.loaders.create_loader()
    botocore.session.create_loader = lambda *search_path: loader
    creator = botocore.client.ClientCreator
    make = creator._create_client_class
    made: dict[str, type] = {}

    def client_class(self: object, name: str, *description: Any) -> type:
        if name not in made:
            made[name] = make(self, name, *description)
        return made[name]

    creator._create_client_class = client_class
    session = boto3.session.Session(region_name="us-east-1")
    for service in services:
        session.client(service, endpoint_url="http://127.0.0.1:9")
