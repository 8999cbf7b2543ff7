"""What long tests need around them: local_aws, a process that forks, a folder, and a clean end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from tests import servers
from tests.children import CLOUD, REGION, Zygote


class World:
    """Servers of its own on free ports, and everything stopped again at its end."""

    FORKS: str
    """The module whose ``perform`` is forked: see zygote.py."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._stack.close)
            self._start()
            stack.pop_all()
        return self

    def __exit__(self, *arguments: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="world-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.endpoint = self._stack.enter_context(servers.local_aws(self.folder))
        self.s3 = self.client("s3")
        self.zygote = self._stack.enter_context(Zygote(self.FORKS, self.folder / "zygote.log"))

    def client(self, service: str) -> Any:
        """Return a boto3 client of local_aws."""
        return boto3.session.Session(region_name=REGION).client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=CLOUD["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CLOUD["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=4),
        )
