"""Reads botocore's descriptions of AWS once per process, not once per session.

dbt-athena makes a session and some clients for every model, and each session parses a megabyte of
JSON and makes the same classes and clients again: more than half of what a `dbt run` computes.
"""

from typing import Any

import boto3
import botocore.client
import botocore.credentials
import botocore.hooks
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
    _remember_names_of_events()
    session = boto3.session.Session(region_name="us-east-1")
    for service in services:
        session.client(service, endpoint_url="http://127.0.0.1:9")


def share_clients() -> None:
    """Let sessions with the same keys and settings have the same client; it is thread-safe.

    Only where no one changes a client, so not in tests.
    """
    creator = botocore.client.ClientCreator
    create = creator.create_client
    clients: dict[Any, Any] = {}

    def create_client(self: object, service_name: str, **words: Any) -> Any:
        keys, config = words.get("credentials"), words.get("client_config")
        if type(keys) is not botocore.credentials.Credentials:
            return create(self, service_name, **words)  # keys that are renewed, or none
        options = sorted((config._user_provided_options if config else {}).items())
        of = {name: words[name] for name in words.keys() - {"credentials", "client_config"}}
        known = (service_name, keys.access_key, keys.secret_key, keys.token, repr(options))
        key = (*known, repr(sorted(of.items())))
        if key not in clients:
            clients[key] = create(self, service_name, **words)
        return clients[key]

    creator.create_client = create_client


def _remember_names_of_events() -> None:
    """Each session registers 130 handlers, and looks each name up in a list of old names."""
    aliaser = botocore.hooks.EventAliaser
    begin = aliaser.__init__
    known: dict[str, str] = {}

    def remembering(self: Any, *words: Any, **more: Any) -> None:
        begin(self, *words, **more)
        if self._event_aliases is botocore.hooks.EVENT_ALIASES:
            self._alias_name_cache = known

    aliaser.__init__ = remembering
