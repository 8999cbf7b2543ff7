import base64
import json
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from hypothesis import given, settings
from hypothesis import strategies as st

import ingestion.keys
import ingestion.secret_store
from ingestion import ConfigError, Settings
from ingestion.keys import KeyRing, is_well_formed
from tests.ingestion.envelopes import seal

A, B, C = (Fernet.generate_key().decode() for _ in range(3))
MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6, 7))


def entry(key: str, state: str = "decrypt-only", **fields: Any) -> dict[str, Any]:
    return {"key": key, "state": state, **fields}


def document(*entries: object) -> str:
    return json.dumps({"keys": entries})


def mark(key: str) -> str:
    return KeyRing([key]).fingerprints[0]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys with which somebody tried to open a token, in order."""
    keys: list[str] = []
    decrypt = Fernet.decrypt

    def spy(self: Fernet, token: str) -> bytes:
        secret = self._signing_key + self._encryption_key
        keys.append(base64.urlsafe_b64encode(secret).decode())
        return decrypt(self, token)

    monkeypatch.setattr(Fernet, "decrypt", spy)
    return keys


# ---------- opening


def test_open_says_what_when_and_by_which_key():
    ring = KeyRing([A, B])
    stamp = datetime(2026, 1, 2, tzinfo=UTC)

    for key, of in zip((A, B, A), (*ring.fingerprints, ring.fingerprints[0]), strict=True):
        opened = ring.open(seal(key, "hello", stamp))

        assert opened is not None
        assert opened.plaintext == b"hello"
        assert opened.stamped_at == stamp.timestamp()
        assert opened.key_fingerprint == of
    assert ring.open(seal(C, "hello")) is None


def test_fingerprints_differ_and_are_short_hex():
    marks = KeyRing([A, B]).fingerprints

    assert len(set(marks)) == 2
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in marks)


def test_is_well_formed_tells_a_token_of_a_stranger_from_junk():
    token = seal(C, "hello")

    assert is_well_formed(token)
    for junk in ("", "abc", token[:-8], "x" + token[1:], "\u00e9" * 200):
        assert not is_well_formed(junk)


@pytest.mark.parametrize("place", [0, 3, 11, 12, 13, 100])
@pytest.mark.parametrize("junk", [" ", "\n", "!", "\x00" * 4, "    ", "\t" * 8, "\n" * 40])
def test_open_reads_the_time_of_a_token_with_junk_inside(place: int, junk: str):
    token = seal(A, "hello", MAY)

    opened = KeyRing([B, A]).open(token[:place] + junk + token[place:])

    assert opened is not None
    assert opened.stamped_at == MAY.timestamp()


@pytest.mark.parametrize("stamp", [0, 1, 2**31, 2**63 - 1, 2**64 - 1])
def test_open_bears_every_time_that_a_token_can_state(stamp: int):
    ring = KeyRing.parse(
        document(
            entry(A, "primary", not_before="9999-12-31T23:59:59Z"),
            entry(B, not_before="0001-01-01T00:00:00Z"),
            entry(C, not_before="2026-05-01T00:00:00+09:00"),
        )
    )

    for key in (A, B, C):
        opened = ring.open(Fernet(key).encrypt_at_time(b"x", stamp).decode())

        assert opened is not None
        assert (opened.stamped_at, opened.key_fingerprint) == (stamp, mark(key))


def test_one_key_opens_a_token_with_one_decoding_of_it(monkeypatch: pytest.MonkeyPatch):
    lengths = []
    decode = base64.urlsafe_b64decode

    def spy(text: str) -> bytes:
        lengths.append(len(text))
        return decode(text)

    token = seal(A, "x" * 300)
    rings = KeyRing([A]), KeyRing([B, A])
    assert rings[1].open(token) is not None  # from now on A is likely
    monkeypatch.setattr(base64, "urlsafe_b64decode", spy)

    for ring in rings:
        lengths.clear()
        assert ring.open(token) is not None
        assert lengths == [12, len(token)]


# ---------- the hint


def in_time(*begins: tuple[str, datetime | None]) -> KeyRing:
    """A ring whose first key is primary."""
    return KeyRing.parse(
        document(
            *(
                entry(
                    key,
                    "decrypt-only" if place else "primary",
                    **({"not_before": begin.isoformat()} if begin else {}),
                )
                for place, (key, begin) in enumerate(begins)
            )
        )
    )


@pytest.mark.parametrize(
    ("stamp", "order"),
    [
        (MAY - timedelta(seconds=1), [B, A, C]),
        (MAY, [C, B, A]),
        (JUNE, [C, B, A]),
        (JULY - timedelta(seconds=1), [C, B, A]),
        (JULY, [A, C, B]),
        (JULY + timedelta(days=999), [A, C, B]),
    ],
)
def test_keys_are_tried_as_the_token_s_time_suggests(
    stamp: datetime, order: list[str], tried: list[str]
):
    ring = in_time((B, None), (A, JULY), (C, MAY))

    assert ring.open(seal(Fernet.generate_key().decode(), "x", stamp)) is None

    assert tried == order


def test_a_history_of_keys_costs_one_attempt_per_token(tried: list[str]):
    ring = in_time((A, JULY), (B, JUNE), (C, MAY))
    stamps = [(C, MAY), (B, JUNE), (A, JULY)] * 50
    random.Random(7).shuffle(stamps)

    for key, begin in stamps:
        assert ring.open(seal(key, "x", begin + timedelta(days=3))) is not None

    assert tried == [key for key, _ in stamps]


def test_what_worked_is_tried_first_for_tokens_of_that_time(tried: list[str]):
    """The source has the new key's date in its plan, but switches later."""
    ring = in_time((A, JULY), (B, JUNE))

    for _ in range(10):
        assert ring.open(seal(B, "x", JULY)) is not None
    assert tried == [A, *[B] * 10]

    tried.clear()
    assert ring.open(seal(A, "x", JUNE)) is not None
    assert tried == [B, A]


def test_a_change_of_keys_inside_a_page_costs_one_attempt_more(tried: list[str]):
    ring = KeyRing([A, B])

    for key in [B] * 20 + [A] * 20:
        assert ring.open(seal(key, "x")) is not None

    assert tried == [A, *[B] * 20, B, *[A] * 20]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.none() | st.integers(0, 4_000_000_000), min_size=1, max_size=4),
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2**64 - 1), st.integers(-1, 150)), max_size=8
    ),
)
def test_open_finds_what_multifernet_finds_whatever_the_hints_say(
    begins: list[int | None], tokens: list[tuple[int, int, int]]
):
    keys = [base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in range(6)]
    held = keys[: len(begins)]
    oracle = MultiFernet([Fernet(key) for key in held])
    ring = in_time(
        *(
            (key, None if begin is None else datetime.fromtimestamp(begin, UTC))
            for key, begin in zip(held, begins, strict=True)
        )
    )

    for number, stamp, spoiled in tokens:
        token = Fernet(keys[number]).encrypt_at_time(b"p%d" % number, stamp).decode()
        if 0 <= spoiled < len(token):
            token = token[:spoiled] + ("A" if token[spoiled] != "A" else "B") + token[spoiled + 1 :]
        try:
            expected = oracle.decrypt(token)
        except InvalidToken:
            expected = None
        opened = ring.open(token)

        assert (opened.plaintext if opened else None) == expected
        if opened:
            assert opened.key_fingerprint == mark(keys[number])
            assert opened.stamped_at == stamp


# ---------- states, and a rotation


def fingerprints(ring: KeyRing) -> set[str]:
    return {key.fingerprint for key in ring.halves(0)}


def test_threads_that_share_a_ring_never_miss_a_key():
    ring = KeyRing([A, B, C])
    tokens = {key: seal(key, "x") for key in (A, B, C)}
    marks = ring.fingerprints
    kept, stopped = sys.getswitchinterval(), threading.Event()
    missed: list[str] = []

    def open_in_turn() -> None:
        while not stopped.is_set():
            missed.extend(key for key, token in tokens.items() if not ring.open(token))

    others = [threading.Thread(target=open_in_turn) for _ in range(2)]
    sys.setswitchinterval(1e-6)
    try:
        for other in others:
            other.start()
        for _ in range(4_000):
            missed += {*marks} - fingerprints(ring)
    finally:
        stopped.set()
        for other in others:
            other.join()
        sys.setswitchinterval(kept)

    assert missed == []


def test_a_rotation_from_add_to_retire():
    """README tells an operator these four steps; each is one document."""
    old, new = seal(A, "old", MAY), seal(B, "new", JULY)

    def opens(ring: KeyRing) -> tuple[bool, bool]:
        return ring.open(old) is not None, ring.open(new) is not None

    before = KeyRing.parse(document(entry(A, "primary")))
    assert opens(before) == (True, False)

    added = KeyRing.parse(document(entry(A, "primary"), entry(B)))
    assert opens(added) == (True, True)

    switched = KeyRing.parse(
        document(entry(B, "primary", not_before="2026-06-15T00:00:00Z"), entry(A))
    )
    assert opens(switched) == (True, True)
    # The rows are the same before and after the switch, so no batch has to be derived anew.
    assert set(added.fingerprints) == set(switched.fingerprints)

    drained = KeyRing.parse(document(entry(B, "primary"), entry(A, "decrypt-only")))
    assert opens(drained) == (True, True)

    retired = KeyRing.parse(document(entry(B, "primary"), entry(A, "retired", id="2025")))
    assert opens(retired) == (False, True)
    assert is_well_formed(old)  # so its record is quarantined as TOKEN_UNKNOWN_KEY, replayable
    assert retired.fingerprints == (mark(B),)

    back = KeyRing.parse(document(entry(B, "primary"), entry(A, "decrypt-only", id="2025")))
    assert opens(back) == (True, True)


def test_entries_tell_of_every_key_in_the_order_of_the_document():
    ring = KeyRing.parse(
        document(
            entry(C, "retired"),
            entry(A, not_before="2026-05-01T09:00:00+09:00", id="2026-a"),
            entry(B, "primary", not_before="2026-07-01T00:00:00Z"),
        )
    )

    told = [(each.fingerprint, each.state, each.not_before, each.id) for each in ring.entries]

    assert told == [
        (mark(C), "retired", None, None),
        (mark(A), "decrypt-only", MAY, "2026-a"),
        (mark(B), "primary", JULY, None),
    ]
    assert ring.fingerprints == (mark(B), mark(A))


def test_the_older_form_means_a_primary_and_others_that_only_decrypt():
    ring = KeyRing.parse(f"# newest first\n{A}  # since May\n\n  {B}\r\n{C}")

    assert [each.state for each in ring.entries] == ["primary", "decrypt-only", "decrypt-only"]
    assert ring.fingerprints == KeyRing([A, B, C]).fingerprints == (mark(A), mark(B), mark(C))


def test_a_ring_goes_through_a_pipe_as_its_document():
    ring = KeyRing.parse(
        document(
            entry(A, "primary", not_before="2026-07-01T00:00:00Z", id="x.1"),
            entry(B, not_before="0099-05-01T00:00:00Z"),
            entry(C, "retired", id="old"),
        )
    )

    twin = KeyRing.parse(ring.document(), ring.describe())

    assert twin.entries == ring.entries
    assert twin.fingerprints == ring.fingerprints
    assert twin.describe() == ring.describe()
    token = seal(B, "x")
    assert twin.open(token) is not None
    assert twin.open(token) == ring.open(token)
    assert twin.open(seal(C, "x")) is None
    assert KeyRing.parse(KeyRing([A, B]).document()).fingerprints == KeyRing([A, B]).fingerprints


def test_both_spellings_of_a_key_are_one_key():
    key = base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode()
    plain = base64.b64encode(b"\xfb\xff" * 16).decode()

    assert key != plain
    assert KeyRing([plain]).fingerprints == KeyRing([key]).fingerprints
    with pytest.raises(ConfigError, match="Key 2 of the ring is there twice"):
        KeyRing([key, plain])


# ---------- bad rings


DEEP = '{"keys": ' + "[" * 30_000
BAD_RINGS = [
    ("", "the key ring is empty"),
    ("# nothing\n", "the key ring is empty"),
    ('{"keys": []}', "the key ring is empty"),
    (A[:-2], "Key 1 of the ring is no Fernet key"),
    (f"{A}\nsecret-canary", "Key 2 of the ring is no Fernet key"),
    (f"{A} {B}", "Key 1 of the ring is no Fernet key"),
    (f"{A}\n{B}\n{A}", "Key 3 of the ring is there twice"),
    ("\n".join([A] * 101), "has 101 keys; 100 are allowed"),
    ("x" * 70_000, "longer than 65536 characters"),
    ('{"keys": [', "no JSON document; it breaks off at line 1, column 11"),
    ('{"keys": [],\n}', "line 2, column 1"),
    (document(entry(A, "primary")) + A, "no JSON document"),
    (DEEP, "no JSON document"),
    ('{"keys": [' + "9" * 5_000 + "]}", "no JSON document of keys"),
    (f'["{A}"]', 'an object with the one field "keys"'),
    (f'"{A}"', 'an object with the one field "keys"'),
    ('{"canary": []}', 'an object with the one field "keys"'),
    (f'{{"keys": [], "{A}": 1}}', 'an object with the one field "keys"'),
    (f'{{"keys": {{"{A}": "primary"}}}}', '"keys" must be a list'),
    (document(A), "Key 1 of the ring is no object"),
    (document(entry(A, "primary"), None, [B]), "Key 3 of the ring is no object"),
    (f'{{"keys": [{{"key": "{A}", "key": "{B}"}}]}}', "a field is there twice"),
    (document(entry(A, "primary"), entry(B, canary=1)), "Key 2 of the ring has a field other than"),
    (document(entry(A, "primary") | {B: "x"}), "Key 1 of the ring has a field other than"),
    (document(entry(A, "canary")), "Key 1 of the ring has no state; it is one of primary"),
    (document({"key": A}), "Key 1 of the ring has no state"),
    (document(entry(A, None)), "Key 1 of the ring has no state"),
    (document(entry(A, ["primary"])), "Key 1 of the ring has no state"),
    (document({"state": "primary"}), "Key 1 of the ring is no Fernet key"),
    (document(entry(7, "primary")), "Key 1 of the ring is no Fernet key"),
    (document(entry(A + "\n", "primary")), "Key 1 of the ring is no Fernet key"),
    (document(entry(A, "primary"), entry(B, "primary")), "2 keys of the ring are primary"),
    (document(entry(A), entry(B, "retired")), "No key of the ring is primary"),
    (document(entry(A, "retired"), entry(B, "retired")), "retired, so it opens nothing"),
    (document(entry(A, "primary"), entry(A, "retired")), "Key 2 of the ring is there twice"),
    (
        document(entry(A, "primary", id="x"), entry(B, id="x")),
        "Key 2 of the ring has the id of another one",
    ),
    *(
        (document(entry(A, "primary", id=name)), "Key 1 of the ring has a bad id")
        for name in (B, "", " ", "a b", "x" * 33, 7, "id-canary\n")
    ),
    *(
        (document(entry(A, "primary", not_before=when)), "Key 1 of the ring has a bad not_before")
        for when in (
            "",
            "canary",
            "2026-01-31",
            "2026-01-31T00:00:00",
            "2026-02-30T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T00:00:60Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "2026-W05-6T00:00:00Z",
            "2026-01-31T00:00:00Z ",
            1769817600,
            True,
        )
    ),
]


@pytest.mark.parametrize(("text", "problem"), BAD_RINGS, ids=[problem for _, problem in BAD_RINGS])
def test_a_bad_ring_is_named_by_position_and_field_and_never_by_a_key(text: str, problem: str):
    with pytest.raises(ConfigError) as caught:
        KeyRing.parse(text, "the place")

    told = str(caught.value)
    assert told.startswith("the place: ")
    assert problem in told
    assert not caught.value.retryable
    shown = told + repr(caught.value.args)
    error: BaseException = caught.value
    while (below := error.__cause__ or error.__context__) is not None:
        error = below  # a tool that reports errors follows these, and json's holds the text
        shown += repr(error) + repr(vars(error))
    assert "canary" not in shown
    for key in (A, B):
        assert not any(key[i : i + 6] in shown for i in range(len(key) - 6))


def test_everything_that_is_wrong_with_a_ring_is_told_at_once():
    text = document(
        entry(A, "primery", not_before="soon"), entry("x", "primary"), entry(B, "primary", x=1)
    )

    with pytest.raises(ConfigError) as caught:
        KeyRing.parse(text)

    for part in ("Key 1 of the ring has no state", "Key 1 of the ring has a bad not_before",
                 "Key 2 of the ring is no Fernet key", "Key 3 of the ring has a field",
                 "2 keys of the ring are primary"):  # fmt: skip
        assert part in str(caught.value)


PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([A, B]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
STATES = st.sampled_from(["primary", "decrypt-only", "retired"])
INSTANTS = st.sampled_from(["2026-01-31T00:00:00Z", "9999-12-31T23:59:59-14:00"])
ALMOST = st.fixed_dictionaries(
    {"key": st.sampled_from([A, B, C]) | PARTS, "state": STATES | PARTS},
    optional={"not_before": INSTANTS | PARTS, "id": st.text() | PARTS},
)


@settings(max_examples=300, deadline=None)
@given(
    st.text()
    | st.lists(st.sampled_from([A, B, C, "#", "\n", " ", "{"])).map("".join)
    | st.builds(lambda keys: json.dumps({"keys": keys}), st.lists(ALMOST, max_size=4) | PARTS)
)
def test_any_text_is_a_ring_or_a_configuration_error(text: str):
    try:
        ring = KeyRing.parse(text)
    except ConfigError:
        return
    assert [each.state for each in ring.entries].count("primary") == 1
    assert KeyRing.parse(ring.document()).entries == ring.entries


def _secrets(holder: object, seen: set[int] | None = None) -> Iterator[str]:
    """Everything that printing an object, its parts or their parts would show."""
    seen = set() if seen is None else seen
    if id(holder) not in seen:
        seen.add(id(holder))
        yield repr(holder)
        yield str(holder)
        for part in getattr(holder, "__dict__", {}).values():
            yield from _secrets(part, seen)


def test_a_ring_shows_no_key():
    ring = KeyRing.parse(document(entry(A, "primary", id="a"), entry(B, "retired")))
    raw = base64.urlsafe_b64decode(A)

    shown = " ".join(_secrets(ring)) + ring.describe() + repr(ring.entries)

    assert A[:10] not in shown
    assert repr(raw)[2:-1] not in shown
    assert raw.hex()[:10] not in shown
    assert B[:10] not in shown


# ---------- where a ring comes from


def test_of_reads_a_file(make_settings: Callable[..., Settings], tmp_path: Path):
    path = tmp_path / "ring.json"
    path.write_text(document(entry(A, "primary"), entry(B, "retired")))

    ring = KeyRing.of(make_settings(FERNET_KEYS_FILE=str(path)))

    assert ring.fingerprints == (mark(A),)
    assert ring.describe() == str(path)


def test_of_reads_the_variable_and_settings_do_not_show_it(
    make_settings: Callable[..., Settings],
):
    made = make_settings(FERNET_KEYS_FILE="", FERNET_KEYS=document(entry(A, "primary"), entry(B)))

    ring = KeyRing.of(made)

    assert ring.fingerprints == (mark(A), mark(B))
    assert ring.describe() == "the variable FERNET_KEYS"
    assert A[:10] not in repr(made)
    assert KeyRing.of(make_settings(FERNET_KEYS_FILE="", FERNET_KEYS=f"{B}\n{A}")).fingerprints == (
        mark(B),
        mark(A),
    )


def test_of_reads_the_secret_that_is_current_now(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    current = [A]
    asked = []

    def read(_: Settings, name: str, variable: str) -> str:
        asked.append((name, variable))
        return current[0]

    monkeypatch.setattr(ingestion.secret_store, "read", read)
    made = make_settings(FERNET_KEYS_FILE="", FERNET_KEYS_SECRET="daylight/ring")
    first = KeyRing.of(made)
    current[0] = f"{B}\n{A}"
    second = KeyRing.of(made)

    assert (first.fingerprints, second.fingerprints) == ((mark(A),), (mark(B), mark(A)))
    assert asked == [("daylight/ring", "FERNET_KEYS_SECRET")] * 2
    assert second.describe() == "the secret daylight/ring"


def test_of_says_that_there_is_no_ring(make_settings: Callable[..., Settings]):
    with pytest.raises(ConfigError, match="Set FERNET_KEYS_FILE, FERNET_KEYS or"):
        KeyRing.of(replace(make_settings(), fernet_keys_file=None))


def test_from_file_says_that_there_is_none(tmp_path: Path):
    with pytest.raises(ConfigError, match="Set FERNET_KEYS_FILE"):
        KeyRing.from_file(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"\xff\xfe", "\ufeff{}".encode(), "clé".encode()])
def test_from_file_refuses_what_is_no_text_of_keys(content: bytes, tmp_path: Path):
    (tmp_path / "ring").write_bytes(content)

    with pytest.raises(ConfigError, match="not a text file"):
        KeyRing.from_file(tmp_path / "ring")


def test_from_file_does_not_read_on_without_end():
    with pytest.raises(ConfigError, match="longer than 65536"):
        KeyRing.from_file(Path("/dev/zero"))


def test_not_before_is_an_instant_whatever_its_zone():
    seoul = datetime(2026, 5, 1, 9, tzinfo=timezone(timedelta(hours=9)))

    ring = in_time((A, seoul))

    assert ring.entries[0].not_before == MAY
    assert KeyRing.parse(ring.document()).entries == ring.entries
