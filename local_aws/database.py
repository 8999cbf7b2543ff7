"""The one SQLite file of a data folder: a writer, readers on snapshots, and the folder's lock."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

SCHEMA_VERSION = 1
"""Raised when the tables below change shape; a folder of another version is refused."""

Row = tuple[Any, ...]
Rows = list[Row]

_SCHEMA = """
create table if not exists buckets (
    name text primary key,
    created integer not null,
    location text not null
) without rowid;
create table if not exists objects (
    bucket text not null,
    key text not null,
    size integer not null,
    etag text not null,
    content_type text not null,
    modified integer not null,
    metadata text not null,
    headers text not null,
    blob text not null,
    primary key (bucket, key)
) without rowid;
create table if not exists uploads (
    id text primary key,
    bucket text not null,
    key text not null,
    initiated integer not null,
    settings text not null
) without rowid;
create table if not exists parts (
    upload text not null,
    number integer not null,
    size integer not null,
    etag text not null,
    modified integer not null,
    checksums text not null,
    blob text not null,
    primary key (upload, number)
) without rowid;
create table if not exists glue_databases (
    name text primary key,
    body text not null
) without rowid;
create table if not exists glue_tables (
    db text not null,
    name text not null,
    version integer not null,
    body text not null,
    primary key (db, name)
) without rowid;
create table if not exists glue_table_versions (
    db text not null,
    name text not null,
    version integer not null,
    body text not null,
    primary key (db, name, version)
) without rowid;
create table if not exists glue_partitions (
    db text not null,
    name text not null,
    part text not null,
    body text not null,
    primary key (db, name, part)
) without rowid;
"""


class StoreError(Exception):
    """The folder cannot be used, or a request was wrong; the message is a sentence for the user."""


class Database:
    """SQLite in WAL mode, so that a kill loses nothing committed and readers never wait.

    ``committed`` and ``rolled_back`` are called at the end of the outermost transaction.
    """

    def __init__(
        self, root: Path, *, committed: Callable[[], None], rolled_back: Callable[[], None]
    ) -> None:
        self._path = root / "state.sqlite"
        self._committed = committed
        self._rolled_back = rolled_back
        self._write_lock = threading.RLock()
        self._owner: int | None = None
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._connections_lock = threading.Lock()
        self._folder_lock = _lock_folder(root)
        try:
            self._writer = self._open()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; the same thread may nest it, the outermost commits."""
        with self._write_lock:
            if self._owner is not None:
                yield self._writer
                return
            self._writer.execute("begin immediate")
            self._owner = threading.get_ident()
            try:
                yield self._writer
                self._writer.execute("commit")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("rollback")
                self._rolled_back()
                raise
            else:
                self._committed()
            finally:
                self._owner = None

    def read(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Run a query; inside ``write()`` it sees that transaction, else the last commit."""
        return self._reader().execute(sql, values).fetchall()

    def close(self) -> None:
        """Close every connection and give the folder free."""
        with self._connections_lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._folder_lock.close()

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.touch(mode=0o600)
            self._path.chmod(0o600)  # it holds secrets, and SQLite's other files take after it
            writer = self._connect()
            # SIGKILL loses nothing with NORMAL; only a power cut may lose the last commits.
            writer.execute("pragma journal_mode = wal")
            writer.execute("pragma synchronous = normal")
            if (verdict := writer.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(verdict)
            version = writer.execute("pragma user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise StoreError(
                    f"{self._path} has version {version}, this local_aws reads {SCHEMA_VERSION}; "
                    "use the local_aws that wrote it, or another folder."
                )
            writer.executescript(_SCHEMA)
            writer.execute(f"pragma user_version = {SCHEMA_VERSION}")
            return writer
        except (OSError, sqlite3.OperationalError) as error:
            raise StoreError(f"{self._path} cannot be opened: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self._path} is damaged ({error}); restore it from a copy, or move the data "
                "folder away to start empty."
            ) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=30, isolation_level=None, check_same_thread=False
        )
        with self._connections_lock:
            self._connections.append(connection)
        return connection

    def _reader(self) -> sqlite3.Connection:
        if self._owner == threading.get_ident():
            return self._writer
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection


def _lock_folder(root: Path) -> TextIO:
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (root / "lock").open("a")
    except OSError as error:
        raise StoreError(f"The data folder {root} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(
            f"The data folder {root} is in use by another local_aws; stop that one or choose "
            "another folder with --data."
        ) from error
    return lock
