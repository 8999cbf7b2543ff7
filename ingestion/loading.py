"""Dumps, loaded by several workers: files in groups, a run of landing for each, one last look.

    groups → land_files of each group, at once, wherever → gather → check → publish

The groups race through the landing log like any runs. A group commits and stages its own batches
only: if each looked after all unpublished ones, every worker would derive what the others derive.
"""

from ingestion.errors import ConfigError
from ingestion.lake import Lake
from ingestion.landing import Landing
from ingestion.settings import Settings
from ingestion.sources import dumps

MAX_GROUPS = 64
"""More workers than any cluster of ours has; and each group ends with a batch that is not full."""

MIN_GROUP_BYTES = 256 * 2**20
"""Half a minute's work, so that starting a task is little of it."""


def groups(settings: Settings, uri: str) -> list[dict[str, str]]:
    """Return the first and the last file of each group, at most MAX_GROUPS of about one size.

    Two names, and not all: a scheduler hands them around, and a dump may be a million files.

    Raises:
        ConfigError: if there is no dump at ``uri``.
    """
    found = dumps.find(uri, Lake(settings))
    # Two neighbours together are larger than this, so there are fewer than twice as many.
    most = max(MIN_GROUP_BYTES, -(-sum(dump.size for dump in found) * 2 // MAX_GROUPS))
    made: list[dict[str, str]] = []
    room = 0
    for dump in found:
        if not made or dump.size > room:
            made.append({"first": dump.uri})
            room = most
        made[-1]["last"] = dump.uri
        room -= dump.size
    return made


def land_files(settings: Settings, uri: str, first: str, last: str) -> list[str]:
    """Take the records of a group's files, and return the manifests of the batches made of them.

    Safe to repeat and to race. What was committed and not staged, ``gather`` stages.

    Raises:
        ConfigError: if the files are not there any more, or the keys are wrong.
        DamagedDump: if files are damaged, after all others were taken.
    """
    with Landing(settings) as landing:
        landing.lake.ensure_bucket()
        found = dumps.find(uri, landing.lake)
        names = [dump.uri for dump in found]
        if first not in names or last not in names:
            raise ConfigError(f"{first} or {last} is not at {uri} any more. List the files again.")
        damaged = landing.take_dumps(found[names.index(first) : names.index(last) + 1])
        manifests = landing.staged()
    if damaged:
        raise damaged
    return manifests


def gather(settings: Settings) -> list[str]:
    """Stage whatever is committed and not staged, and return all unpublished manifests in order."""
    with Landing(settings) as landing:
        landing.lake.ensure_bucket()
        return landing.recover()
