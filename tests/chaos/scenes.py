"""What runners find when they start, what they are told to do, and where everything has to end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.audit import UNKNOWN_KEY, Truth
from tests.chaos.proxy import KILL_BEFORE, Fault
from tests.chaos.world import World
from tests.ingestion.envelopes import envelope, judge, plaintext, population

FIRST_KEY = "Zmlyc3Qta2V5LWZpcnN0LWtleS1maXJzdC1rZXktZmk="
SECOND_KEY = "c2Vjb25kLWtleS1zZWNvbmQta2V5LXNlY29uZC1rZXk="
BOTH_KEYS = (SECOND_KEY, FIRST_KEY)

_SEALINGS = 4
"""The source encrypts anew for each request; so many times is enough to tell."""

SMALL_BATCH = 15
CHECKPOINT_EVERY = 2


@dataclass(slots=True)
class Scene:
    """One state of a lake, one job, and the truth that has to come out."""

    name: str
    bucket: str
    job: dict[str, Any]
    truth: Truth
    offered: Callable[[], bytes] = lambda: b"[]"
    further: dict[str, Any] = field(default_factory=dict)
    """The one run that has to complete everything; the job itself, if there is no other."""
    base: dict[str, bytes] | None = None
    """What is in the bucket; None where there is no bucket yet, nor a database."""
    items: Sequence[dict[str, Any]] = ()
    played: int = 0

    def play(self, world: World) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Set the lake up, and return the bucket, the job and the further one."""
        world.offer(self.offered)
        self.played += 1
        names = {"LAKE_BUCKET": self.bucket, "RAW_DATABASE": self.bucket.replace("-", "_")}
        if self.base is None:
            names = {name: f"{value}{self.played}" for name, value in names.items()}
        else:
            world.restore(self.bucket, self.base)
        made = [
            {**job, "variables": {**job["variables"], **names}}
            for job in (self.job, self.further or self.job)
        ]
        return names["LAKE_BUCKET"], made[0], made[1]


def window(world: World, step: str = "land_api") -> Scene:
    """A poll whose window overlaps the one before: new, old, refused, nameless, in conflict."""
    copies = [population([FIRST_KEY], 35, seed=21) for _ in range(_SEALINGS)]
    conflict = envelope(FIRST_KEY, 12, plaintext(12, user_id="somebody else"))
    nameless = envelope(FIRST_KEY, 5, plaintext(5))
    del nameless["recordId"]

    def shown(copy: list[dict[str, Any]]) -> list[Any]:
        return [*copy[8:], nameless, conflict, copy[9], conflict]

    name = f"window-{step.replace('_', '-')}"
    job = job_of(world, [FIRST_KEY], [[step]])
    scene = Scene(name, _bucket(name), job, truth_of(copies[0], [FIRST_KEY]))
    scene.truth = Truth(scene.truth.rows, scene.truth.reasons, {"ID_MISSING": 1, "ID_CONFLICT": 1})
    _published(
        world, scene, job_of(world, [FIRST_KEY], [["land_api"]]), [copy[:20] for copy in copies]
    )
    scene.offered = serving([shown(copy) for copy in copies])
    return scene


def dump(world: World) -> Scene:
    """The first run there is, of a dump in two batches: bucket and tables are made on the way."""
    items = population([FIRST_KEY], 28, seed=22)
    job = job_of(world, [FIRST_KEY], [["land_dumps", dumped(world, items)]], small=True)
    return Scene("dump", "chaos-dump", job, truth_of(items, [FIRST_KEY]))


def half_published(world: World) -> Scene:
    """A dump of two batches whose runner died before it could mark the first as published."""
    items = population([FIRST_KEY], 28, seed=23)
    job = job_of(world, [FIRST_KEY], [["land_dumps", dumped(world, items)]], small=True)
    scene = Scene("half-published", "chaos-half", job, truth_of(items, [FIRST_KEY]), base={})
    marker = Fault(KILL_BEFORE, 1, lambda name: name.startswith("PUT published"))
    bucket, killed, _ = scene.play(world)
    outcome = world.run(killed, marker)
    assert outcome.was_killed, outcome.told
    assert marker.happened
    scene.base = world.objects(bucket)
    return scene


def replay(world: World) -> Scene:
    """A key has come: what it opens is taken out of quarantine."""
    scene = _key_has_come(world, "replay", [["replay"]])
    # What the new key opens and is bad all the same stays where it is, for the reason it had.
    reasons = dict(scene.truth.reasons)
    for item in scene.items:
        if judge(item, [FIRST_KEY])[0] == UNKNOWN_KEY and item["recordId"] in reasons:
            reasons[item["recordId"]] = UNKNOWN_KEY
    scene.truth = Truth(scene.truth.rows, reasons)
    return scene


def rederive(world: World) -> Scene:
    """A key has come, and the whole batch is derived again, as a new one that replaces it."""
    return _key_has_come(world, "rederive", [["rederive_once", 1]])


def skew(world: World) -> Scene:
    """A key is added between a run and the one that recovers: they read records otherwise."""
    items = population(BOTH_KEYS, 20, seed=26)
    step = ["land_dumps", dumped(world, items)]
    truth = truth_of(items, BOTH_KEYS)
    return Scene(
        "skew",
        "chaos-skew",
        job_of(world, [FIRST_KEY], [step]),
        Truth(truth.rows, truth.reasons, {}, undecided(items)),
        further=job_of(world, BOTH_KEYS, [step]),
    )


def checkpoint(world: World) -> Scene:
    """The fourth batch, and with it the second checkpoint."""
    copies = [population([FIRST_KEY], 24, seed=25) for _ in range(_SEALINGS)]
    job = job_of(world, [FIRST_KEY], [["land_api"]])
    job["constants"]["ingestion.commit.CHECKPOINT_EVERY"] = CHECKPOINT_EVERY
    scene = Scene("checkpoint", "chaos-checkpoint", job, truth_of(copies[0], [FIRST_KEY]), base={})
    for end in (6, 12, 18):
        _published(world, scene, job, [copy[:end] for copy in copies])
    assert any(key.startswith("checkpoint/") for key in scene.base or {}), "no checkpoint was made"
    scene.offered = serving(copies)
    return scene


def reconcile(world: World) -> Scene:
    """The nightly comparison, which lands what is late."""
    return window(world, "reconcile")


SCENES: tuple[Callable[[World], Scene], ...] = (
    window,
    dump,
    half_published,
    replay,
    skew,
    checkpoint,
    rederive,
    reconcile,
)


def _key_has_come(world: World, name: str, steps: Sequence[Sequence[Any]]) -> Scene:
    items = population(BOTH_KEYS, 24, seed=24)
    uri = dumped(world, items)
    job = job_of(world, BOTH_KEYS, steps)
    scene = Scene(name, f"chaos-{name}", job, truth_of(items, BOTH_KEYS), base={}, items=items)
    _published(world, scene, job_of(world, [FIRST_KEY], [["land_dumps", uri]]), [[]])
    return scene


def undecided(items: Sequence[dict[str, Any]]) -> frozenset[int]:
    """Return what only the second key opens: a runner without it may have been faster."""
    return frozenset(
        item["recordId"] for item in items if judge(item, [FIRST_KEY])[0] == UNKNOWN_KEY
    )


def _published(
    world: World, scene: Scene, job: dict[str, Any], offers: Sequence[Sequence[Any]]
) -> None:
    """Let a run go through without a fault, and take what it leaves for the scene's start."""
    earlier = Scene(
        scene.name, scene.bucket, job, scene.truth, serving(offers), base=scene.base or {}
    )
    bucket, undisturbed, _ = earlier.play(world)
    outcome = world.run(undisturbed)
    assert outcome.code == 0, outcome.told
    scene.base = world.objects(bucket)


def truth_of(items: Sequence[dict[str, Any]], keys: Sequence[str]) -> Truth:
    judged = {item["recordId"]: judge(item, keys) for item in items}
    return Truth(
        {i: row for i, (reason, row) in judged.items() if not reason},
        {i: reason for i, (reason, _) in judged.items() if reason},
    )


def serving(offers: Sequence[Sequence[Any]]) -> Callable[[], bytes]:
    bodies = [json.dumps(offer).encode() for offer in offers]
    return lambda: random.choice(bodies)


def job_of(
    world: World, ring: Sequence[str], steps: Sequence[Sequence[Any]], small: bool = False
) -> dict[str, Any]:
    keys = world.folder / f"{len(ring)}.keys"
    keys.write_text("\n".join(ring) + "\n")
    pseudonym = world.folder / "pseudonym.key"
    pseudonym.write_text("5a" * 32)
    constants = {"ingestion.landing.MAX_BATCH_RECORDS": SMALL_BATCH} if small else {}
    variables = {"FERNET_KEYS_FILE": str(keys), "PSEUDONYM_KEY_FILE": str(pseudonym)}
    return {"variables": variables, "steps": steps, "constants": constants}


def dumped(world: World, items: Sequence[Any]) -> str:
    path = world.folder / f"dump-{random.getrandbits(48):x}"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(path)


def _bucket(name: str) -> str:
    return f"chaos-{name}"
