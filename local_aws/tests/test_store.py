import threading
from pathlib import Path

import pytest

from local_aws.store import (
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    PreconditionFailed,
    Store,
    StoreError,
)


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "data")
    store.create_bucket("lake")
    yield store
    store.close()


def test_put_keeps_bytes_type_and_metadata(store):
    put = store.put("lake", "a/b.txt", b"hello", content_type="text/plain", metadata={"k": "v"})

    got = store.get("lake", "a/b.txt")

    assert got == put
    assert got.path.read_bytes() == b"hello"
    assert (got.size, got.etag) == (5, "5d41402abc4b2a76b9719d911017c592")
    assert (got.content_type, got.metadata, got.uri) == (
        "text/plain",
        {"k": "v"},
        "s3://lake/a/b.txt",
    )


def test_put_moves_a_file_in_and_leaves_nothing_behind(store):
    blob = store.new_blob()
    blob.write_bytes(b"from a file")

    info = store.put("lake", "x", blob)

    assert info.path.read_bytes() == b"from a file"
    assert not blob.exists()


def test_a_partition_folder_keeps_its_name_on_disk(store):
    info = store.put("lake", "raw/t/dt=2026-01-01/x.parquet", b"")

    folders = info.path.relative_to(store.root).parts

    assert folders[:-1] == ("objects", "lake", "raw", "t", "dt=2026-01-01")
    assert folders[-1].startswith("x.parquet~")


@pytest.mark.parametrize(
    "key",
    [
        "../../../escape",
        "a/../../b",
        "/",
        "//",
        "a/",
        "a//b",
        ".",
        "..",
        "glob*?[x]{y}\\z",
        "tab\tand\x01control",
        "é한글/🙂",
        "k" * 1024,
        "/" * 1024,
        "ü" * 512,
        "a" * 300 + "/" + "b" * 300,
    ],
)
def test_any_key_is_stored_inside_the_folder_under_a_path_without_globs(store, key):
    info = store.put("lake", key, b"x")

    assert store.get("lake", key).path.read_bytes() == b"x"
    assert info.path.resolve().is_relative_to(store.root / "objects" / "lake")
    assert not set("*?[]{}\\") & set(str(info.path.relative_to(store.root)))


def test_a_key_may_be_both_a_file_and_a_folder(store):
    store.put("lake", "a", b"file")
    store.put("lake", "a/b", b"below")

    assert [info.path.read_bytes() for info in store.list("lake")] == [b"file", b"below"]


def test_list_is_in_the_byte_order_of_utf8(store):
    keys = ["a", "B", "é", "z", "\uffff", "\U0001f642", "a/b", "a-b", "aa", "\ud7ff", "\ue000"]
    for key in keys:
        store.put("lake", key, b"")

    listed = [info.key for info in store.list("lake")]

    assert listed == sorted(keys, key=lambda key: key.encode())


def test_list_starts_after_a_key_and_keeps_to_prefix_and_limit(store):
    for number in range(10):
        store.put("lake", f"p/{number}", b"")
    store.put("lake", "q", b"")

    assert [i.key for i in store.list("lake", "p/", "p/3", 2)] == ["p/4", "p/5"]
    assert [i.key for i in store.list("lake", "p/", start_at="p/8")] == ["p/8", "p/9"]
    assert [i.key for i in store.list("lake", "", "p/9")] == ["q"]
    assert store.list("nowhere") == []


def test_if_none_match_lets_one_of_sixteen_threads_win(store):
    barrier = threading.Barrier(16)
    winners, losers = [], []

    def race(number: int) -> None:
        barrier.wait()
        try:
            store.put("lake", "one", str(number).encode(), if_none_match=True)
            winners.append(number)
        except PreconditionFailed:
            losers.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(winners), len(losers)) == (1, 15)
    assert store.get("lake", "one").path.read_bytes() == str(winners[0]).encode()


def test_if_match_wants_the_present_etag(store):
    first = store.put("lake", "k", b"1")
    store.put("lake", "k", b"2", if_match=first.etag)

    with pytest.raises(PreconditionFailed):
        store.put("lake", "k", b"3", if_match=first.etag)
    with pytest.raises(NoSuchKey):
        store.put("lake", "absent", b"3", if_match=first.etag)

    assert store.get("lake", "k").path.read_bytes() == b"2"


def test_a_refused_put_takes_its_file_away(store):
    with pytest.raises(NoSuchBucket):
        store.put("nowhere", "k", b"x")

    assert list((store.root / "tmp").iterdir()) == []


def test_a_replaced_object_stays_readable_until_the_grace_is_over(store):
    old = store.put("lake", "k", b"old")
    store.put("lake", "k", b"new")

    assert store.sweep(grace=60) == 0
    assert old.path.read_bytes() == b"old"
    assert store.sweep(grace=0) == 1
    assert not old.path.exists()
    assert store.get("lake", "k").path.read_bytes() == b"new"


def test_a_reader_keeps_what_was_deleted_under_it(store):
    old = store.put("lake", "k", b"old")

    with store.reading():
        store.delete("lake", "k")
        assert store.sweep(grace=0) == 0
        assert old.path.read_bytes() == b"old"

    assert store.sweep(grace=0) == 1


def test_a_transaction_that_fails_leaves_objects_and_files_as_they_were(store):
    before = store.put("lake", "k", b"before")

    def fail_halfway() -> None:
        with store.write():
            inside = store.put("lake", "k", b"inside")
            store.put("lake", "new", b"inside")
            assert store.get("lake", "k") == inside
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError):
        fail_halfway()
    store.sweep(grace=0)

    assert store.get("lake", "k") == before
    assert before.path.read_bytes() == b"before"
    assert store.get("lake", "new") is None


def test_files_that_no_object_names_are_removed_at_the_start(tmp_path):
    store = Store(tmp_path)
    store.create_bucket("lake")
    kept = store.put("lake", "dt=1/kept", b"kept")
    orphan = kept.path.with_name("orphan~0123456789abcdef")
    orphan.write_bytes(b"half")
    store.new_blob().write_bytes(b"half")
    store.close()

    again = Store(tmp_path)

    assert again.get("lake", "dt=1/kept").path.read_bytes() == b"kept"
    assert not orphan.exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    again.close()


def test_a_bucket_with_objects_is_not_deleted(store):
    store.put("lake", "k", b"")

    with pytest.raises(BucketNotEmpty):
        store.delete_bucket("lake")

    store.delete("lake", "k")
    store.delete_bucket("lake")
    assert not store.bucket_exists("lake")


def test_a_second_store_on_the_folder_is_refused(store):
    with pytest.raises(StoreError, match="in use by another local_aws"):
        Store(store.root)


@pytest.mark.parametrize(
    "damage", [b"this is no database, it is a letter" * 100, b"SQLite format 3"]
)
def test_a_damaged_state_file_is_named(tmp_path, damage):
    (tmp_path / "state.sqlite").write_bytes(damage)

    with pytest.raises(StoreError, match=r"state\.sqlite is damaged"):
        Store(tmp_path)


def test_a_state_file_with_broken_pages_is_named(tmp_path):
    store = Store(tmp_path)
    store.create_bucket("lake")
    for number in range(300):
        store.put("lake", f"{number}", b"")
    store.close()
    file = tmp_path / "state.sqlite"
    data = bytearray(file.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = b"\xff" * 64
    file.write_bytes(data)

    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path)


def test_a_state_file_of_a_later_version_is_refused(tmp_path):
    store = Store(tmp_path)
    with store.write() as db:
        db.execute("pragma user_version = 99")
    store.close()

    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://b/k", ("b", "k")),
        ("s3a://b/k/l ", ("b", "k/l ")),
        ("s3://b", ("b", "")),
        ("s3://b/", ("b", "")),
        ("s3://b//k", ("b", "/k")),
    ],
)
def test_parse_uri_splits_bucket_and_key(uri, parts):
    assert Store.parse_uri(uri) == parts


@pytest.mark.parametrize("uri", ["http://b/k", "s3:///k", "b/k", ""])
def test_parse_uri_refuses_what_is_none(uri):
    with pytest.raises(ValueError, match="not of the form"):
        Store.parse_uri(uri)
