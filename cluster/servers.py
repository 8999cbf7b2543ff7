"""Redis and the metadata database, from what is installed, on loopback, as nobody special."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from cluster.settings import Cluster
from laptop.processes import Processes, StartError
from laptop.secret_files import write_private

PLACES = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
"""Where servers are that are not on the path."""

INSTALL = {
    "redis-server": "Debian: apt install redis-server; macOS: brew install redis",
    "postgres": "Debian: apt install postgresql; macOS: brew install postgresql@16",
    "mariadbd": "Debian: apt install mariadb-server; macOS: brew install mariadb",
}
NEEDED = {
    "postgresql": ("postgres", "initdb", "pg_isready"),
    "mysql": ("mariadbd", "mariadb-install-db"),
}


def find(program: str) -> Path | None:
    """Return a program of a server, the newest where there are several."""
    if found := shutil.which(program):
        return Path(found)
    for place in PLACES:
        root = Path("/")
        if found_there := sorted(root.glob(f"{place[1:]}/{program}"), key=_version):
            return found_there[-1]
    return None


def _version(path: Path) -> list[int]:
    return [int(part) for part in str(path).replace("@", "/").split("/") if part.isdigit()]


def missing(database: str) -> list[str]:
    """Say what to install, in one sentence for each server that is not there."""
    servers = {"redis-server": ("redis-server",), NEEDED[database][0]: NEEDED[database]}
    return [
        f"{server} is not installed ({INSTALL[server]})"
        for server, programs in servers.items()
        if not all(map(find, programs))
    ]


class Servers:
    """The two servers of one cluster."""

    def __init__(self, cluster: Cluster, processes: Processes, passwords: dict[str, str]) -> None:
        self._cluster = cluster
        self._processes = processes
        self._passwords = passwords
        self._folder = _folder(cluster.home)

    def start(self) -> None:
        """Start both, with their data of before.

        Raises:
            StartError: if one is not installed, or does not come up.
        """
        if lacking := missing(self._cluster.database):
            raise StartError(f"{'; '.join(lacking)}. Then run make cluster again.")
        self._start_redis()
        if self._cluster.database == "mysql":
            self._start_mariadb()
        else:
            self._start_postgresql()

    def _start_redis(self) -> None:
        data, user = self._data("redis", "redis")
        port = self._cluster.redis_port
        lines = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": self._passwords["redis.password"],
            "dir": data,
            "appendonly": "yes",  # a task that was queued is still queued after a crash
            "set-proc-title": "no",  # by its environment it is known as ours
        }
        conf = data / "redis.conf"
        write_private(conf, "".join(f"{name} {value}\n" for name, value in lines.items()))
        _give(conf, user)
        redis = self._processes.start(
            "redis", [_known("redis-server"), conf], user=user, is_kept=True, is_server=True
        )
        self._processes.wait_until(redis, lambda: _redis_answers(port), seconds=30)

    def _start_postgresql(self) -> None:
        data, user = self._data("postgresql", "postgres")
        port = self._cluster.database_port
        cluster = data / "data"
        if not cluster.exists():
            self._initialise_postgresql(data, cluster, user)
        words = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        postgres = self._processes.start(
            "postgresql",
            [_known("postgres"), "-D", cluster, "-p", port, *words],
            user=user,
            is_kept=True,
            is_server=True,
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
        )
        ready = [_known("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        self._processes.wait_until(postgres, lambda: subprocess.call(ready) == 0, seconds=60)

    def _initialise_postgresql(self, data: Path, cluster: Path, user: str | None) -> None:
        draft = data / "new"
        shutil.rmtree(draft, ignore_errors=True)
        password = data / "password"
        write_private(password, self._passwords["database.password"] + "\n")
        _give(password, user)
        words = ["-U", "airflow", "-A", "scram-sha-256", "--pwfile", password]
        words += ["-E", "UTF8", "--locale", "C"]
        self._processes.run("initdb", [_known("initdb"), "-D", draft, *words], user=user)
        password.unlink()
        # Without a server, so without a password that would have to be told to somebody.
        alone = subprocess.run(
            [_known("postgres"), "--single", "-D", draft, "postgres"],
            input=b"create database airflow;\n",
            capture_output=True,
            user=user,
            cwd=data,
            check=False,
        )
        if alone.returncode != 0:
            raise StartError(f"PostgreSQL could not make a database: {alone.stderr.decode()}")
        draft.rename(cluster)

    def _start_mariadb(self) -> None:
        data, user = self._data("mariadb", "mysql")
        port = self._cluster.database_port
        cluster = data / "data"
        if not cluster.exists():
            draft = data / "new"
            shutil.rmtree(draft, ignore_errors=True)
            words = ["--no-defaults", f"--datadir={draft}", "--skip-test-db"]
            install = [_known("mariadb-install-db"), *words]
            self._processes.run("mariadb-install-db", install, user=user)
            draft.rename(cluster)
        # Read at each start; a password on the command line could be read by everybody.
        init = data / "init.sql"
        password = self._passwords["database.password"]
        write_private(
            init,
            "create database if not exists airflow character set utf8mb4;\n"
            f"create or replace user airflow@'127.0.0.1' identified by '{password}';\n"
            "grant all on airflow.* to airflow@'127.0.0.1';\n",
        )
        _give(init, user)
        words = [f"--datadir={cluster}", f"--port={port}", "--bind-address=127.0.0.1"]
        words += [f"--socket={cluster / 'socket'}", f"--init-file={init}", "--skip-name-resolve"]
        mariadb = self._processes.start(
            "mariadb",
            [_known("mariadbd"), "--no-defaults", *words],
            user=user,
            is_kept=True,
            is_server=True,
        )
        self._processes.wait_until(mariadb, lambda: _answers_at(port), seconds=60)

    def _data(self, name: str, user: str) -> tuple[Path, str | None]:
        """Return a server's folder and its user; None: it runs as whoever started this."""
        folder = self._folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = _unprivileged(user) if os.geteuid() == 0 else None
        _give(folder, owner)
        return folder, owner


def _folder(home: Path) -> Path:
    """Return the folder of the servers' data: in ``home``, unless they could not reach it there.

    Servers refuse to run as root, and root's folders are often closed to everybody else. Then the
    data is below /var/lib, and a link in ``home`` says where; what no link leads to is removed.
    """
    link = home / "servers"
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in [home, *home.parents]):
        link.mkdir(parents=True, exist_ok=True)
        return link
    for stray in Path("/var/lib").glob("daylight-*"):
        of = stray / "of"
        if of.is_file() and Path(of.read_text()).resolve() != stray:
            shutil.rmtree(stray)
    if not link.is_dir():
        link.unlink(missing_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="daylight-", dir="/var/lib"))
        folder.chmod(0o711)
        link.symlink_to(folder)
        (folder / "of").write_text(str(link))
    return link.resolve()


def _unprivileged(user: str) -> str:
    for name in (user, "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise StartError(f"There is no user {user} here, and {user}'s server refuses to run as root.")


def _give(path: Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def _known(program: str) -> Path:
    found = find(program)
    assert found is not None, program  # `missing` has looked
    return found


def _redis_answers(port: int) -> bool:
    # Without a password it says so, and by that it is ready.
    return _exchange(port, b"PING\r\n").startswith((b"-NOAUTH", b"+PONG"))


def _answers_at(port: int) -> bool:
    return _exchange(port, b"") != b""


def _exchange(port: int, words: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(words)
            return connection.recv(64)
    except OSError:
        return b""
