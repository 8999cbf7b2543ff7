"""Real Trino 435: fetched through Maven, checked against pinned hashes, run on the loopback.

Athena's engine version 3 is a close relative of Trino; 435 (December 2023) needs Java 17.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local_aws.conformance.answers import Answer

_HERE = Path(__file__).with_name("trino")

_DECIMAL = re.compile(r"(decimal\(\d+, \d+\))")

START_SECONDS = 180
"""How long Trino may take to start: 12 s were seen."""

_ETC = """\
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://127.0.0.1:{port}
node.environment=judge
node.bind-ip=127.0.0.1
node.internal-address=127.0.0.1
plugin.dir={home}/plugin
catalog.config-dir={home}/catalog
"""


class JudgeError(Exception):
    """Trino cannot be had; the text says what to do."""


def fetch(folder: Path) -> Path:
    """The folder with Trino's jars, each one as pinned in ``trino/jars.sha256``."""
    for tool, package in (("mvn", "Maven 3"), ("java", "a JDK 17"), ("javac", "a JDK 17")):
        if shutil.which(tool) is None:
            raise JudgeError(
                f"`{tool}` was not found. `make judge` needs {package}: install Maven 3 and a "
                "JDK of version 17 (Debian: `apt install maven openjdk-17-jdk-headless`). "
                "`make conformance` needs neither."
            )
    lib = folder / "lib"
    if not lib.exists():
        command = ["mvn", "-q", "-B", "-f", str(_HERE / "pom.xml"), "dependency:copy-dependencies",
                   "-DincludeScope=runtime", f"-DoutputDirectory={lib}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(lib, ignore_errors=True)
            raise JudgeError(f"Maven could not fetch Trino 435:\n{done.stdout[-2000:]}")
    lines = (_HERE / "jars.sha256").read_text().splitlines()
    pinned = {name: digest for digest, name in map(str.split, lines)}
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in lib.iterdir()}
    if found != pinned:
        wrong = sorted(name for name, _ in found.items() ^ pinned.items())
        raise JudgeError(
            f"Not what trino/jars.sha256 pins: {', '.join(wrong)}. Remove {lib} to fetch again; "
            "if the list itself is to change, look at each jar first."
        )
    return lib


@contextlib.contextmanager
def trino(folder: Path) -> Iterator[Client]:
    """A server with an empty memory catalogue for the time of a ``with``."""
    lib = fetch(folder)
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    (home / "catalog").mkdir(parents=True)
    (home / "catalog" / "memory.properties").write_text("connector.name=memory\n")
    with zipfile.ZipFile(next(lib.glob("trino-memory-*.zip"))) as plugin:
        plugin.extractall(home / "plugin")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "config.properties").write_text(_ETC.format(port=port, home=home))
    command = ["java", "-Xmx2G", "-Duser.timezone=UTC", "-Djdk.attach.allowAttachSelf=true",
               "-Dconfig=config.properties", "-cp", f"{lib}/*",
               str(_HERE / "Launcher.java")]  # fmt: skip
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=home, stdout=log, stderr=log, preexec_fn=lambda: os.nice(5) and None
        )
    try:
        client = Client(f"http://127.0.0.1:{port}")
        client.wait(process, home / "server.log")
        yield client
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


class Client:
    """Trino's REST protocol: one statement posted, then pages until there is no next one."""

    def __init__(self, url: str) -> None:
        self._url = url

    def wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Return when the server answers queries."""
        for _ in range(START_SECONDS):
            if process.poll() is not None:
                raise JudgeError(f"Trino ended while it started:\n{log.read_text()[-2000:]}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                if not self._open(f"{self._url}/v1/info")["starting"]:
                    return
            time.sleep(1)
        raise JudgeError(f"Trino did not start within {START_SECONDS} s.")

    def answer(self, sql: str) -> Answer:
        """What Trino says."""
        headers = {
            "X-Trino-User": "judge", "X-Trino-Catalog": "memory", "X-Trino-Schema": "default",
            "X-Trino-Time-Zone": "UTC", "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
        }  # fmt: skip
        page = self._open(f"{self._url}/v1/statement", sql.encode(), headers)
        answer = Answer()
        while True:
            if "error" in page:
                error = page["error"]
                return Answer(error=error["errorName"], message=error["message"])
            if "columns" in page:
                answer.columns = [(c["name"], _spelled(c["type"])) for c in page["columns"]]
            answer.rows += page.get("data", [])
            if "nextUri" not in page:
                return answer
            page = self._open(page["nextUri"])

    def _open(
        self, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(url, body, headers or {})
        with urllib.request.urlopen(request, timeout=120) as response:
            # Numbers with a point stay as Trino wrote them: 1.0E10 is not 10000000000.0.
            page: dict[str, Any] = json.load(response, parse_float=str)
            return page


def _spelled(kind: str) -> str:
    # decimal(2, 1) here, decimal(2,1) from typeof.
    kind = kind.replace("INTERVAL DAY TO SECOND", "interval day to second")
    kind = kind.replace("INTERVAL YEAR TO MONTH", "interval year to month")
    return "".join(
        part.replace(", ", ",") if part.startswith("decimal(") else part
        for part in _DECIMAL.split(kind)
    )
