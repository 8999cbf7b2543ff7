"""Takes what the source offers, commits it, and stages it for the check. Publishes nothing."""

import logging
import uuid
from datetime import UTC, datetime

from ingestion import records
from ingestion.commit import LandingLog
from ingestion.errors import ConfigError, ContractError, DamagedDump
from ingestion.headers import Header
from ingestion.lake import Lake
from ingestion.proposals import Candidate, Offered, is_contradiction, propose
from ingestion.reasons import Reason
from ingestion.settings import Settings
from ingestion.sources import api, dumps
from ingestion.staging import Deriver
from ingestion.times import milliseconds

logger = logging.getLogger(__name__)

MAX_BATCH_RECORDS = 50_000
"""New records per batch: about 30 MB of envelopes, and 250 MB of a worker's memory at the peak."""

MAX_BATCH_CHARACTERS = 64_000_000
"""The same batch by size: tokens may be a thousand times as long as usual."""

LATE_HORIZON_IDS = 1_000
"""How far behind the highest id a cursor source may still fill a gap; see IdRanges.cursor."""

MIN_JUDGED_RECORDS = 20
"""Fewer unreadable records than this are taken for what they are; more for a wrong key ring."""


def land_api(settings: Settings) -> list[str]:
    """Take what the log API offers, and return the manifests of all unpublished batches.

    Safe to repeat and to race: a record that was taken before is a duplicate, by its id.

    Raises:
        ConfigError: if the settings, the keys or the source's address are wrong.
        SourceUnavailable: if the source does not answer as it should; nothing of it was taken.
    """
    landing = Landing(settings)
    landing.catch_up()
    start = None
    if settings.source_paging == "cursor":
        start = landing.log.head().settled.cursor(LATE_HORIZON_IDS)
    landing.begin("api")
    count = 0
    for page in api.read(settings, start):
        landing.take_page(page)
        count += len(page.envelopes)
    logger.info("fetched source=api records=%d", count)
    landing.flush()
    return landing.recover()


def land_dumps(settings: Settings, uri: str) -> list[str]:
    """Take the records of a dump, and return the manifests of all unpublished batches.

    Safe to repeat: a dump that was taken before brings nothing new.

    Raises:
        ConfigError: if there is no dump at ``uri``, or the keys are wrong.
        DamagedDump: if files are damaged, after all others were taken.
    """
    landing = Landing(settings)
    landing.catch_up()
    found = dumps.find(uri, landing.lake)
    damaged: list[str] = []
    landing.begin("dumps")
    for place, dump in enumerate(found, 1):
        count = 0
        try:
            for envelope in dumps.read(dump, landing.lake):
                landing.offer(envelope)
                count += 1
        except DamagedDump as error:
            damaged.append(str(error))
            logger.error("refused dump=%s records=%d", dump.uri, count)
        else:
            logger.info("read dump=%s file=%d/%d records=%d", dump.uri, place, len(found), count)
        landing.candidate.pages.append({"uri": dump.uri, "n": count})
    landing.flush()
    manifests = landing.recover()
    if damaged:
        others = len(found) - len(damaged)
        raise DamagedDump(
            f"{' '.join(damaged)} The other {others} of {len(found)} files were landed; the next "
            "`publish` publishes them."
        )
    return manifests


class Landing:
    """One run: collects records into candidates, and commits and stages them."""

    def __init__(self, settings: Settings) -> None:
        self.deriver = Deriver(settings)
        self.lake = Lake(settings)
        self.log = LandingLog(self.lake)
        self._settings = settings
        self.run_id = uuid.uuid4().hex

    def catch_up(self) -> None:
        """Stage what an earlier run left behind, but do not let it stop this one.

        A source that shows only its latest records does not wait until somebody has repaired an
        old batch: what it offers is taken first. ``recover`` reports the old batch afterwards.
        """
        self.lake.ensure_bucket()
        for seq in self.log.unpublished():
            try:
                self.deriver.stage(self.lake, self.log, seq)
            except ContractError:
                logger.warning("postponed seq=%d because=ContractError", seq)

    def recover(self) -> list[str]:
        """Stage every committed batch that is not published, and return their manifests."""
        return [
            self.lake.uri(self.deriver.stage(self.lake, self.log, seq))
            for seq in self.log.unpublished()
        ]

    def begin(self, source: str) -> None:
        """Start an empty candidate behind the head of the log."""
        now = milliseconds(datetime.now(UTC))
        is_consecutive = self._settings.source_consecutive_ids
        self.candidate = Candidate(source, self.run_id, now, is_consecutive)
        self._head = self.log.head()
        self._unidentified = set(self._head.unidentified)
        self._first: dict[int | str, Offered] = {}
        self._characters = 0
        self._readable = self._unreadable = self._tokenless = 0

    def take_page(self, page: api.Page) -> None:
        """Take every record of a page."""
        for envelope in page.envelopes:
            self.offer(envelope)
        self.candidate.pages.append(
            {
                "cursor": page.cursor,
                "sha256": page.sha256,
                "n": len(page.envelopes),
                "status": page.status,
                "first_id": page.first_id,
                "last_id": page.last_id,
                "span_seconds": page.span_seconds,
            }
        )

    def offer(self, envelope: object) -> None:
        """Take one record, unless it is a plain duplicate; ``propose`` decides what else is one.

        A full candidate is committed when the next new record comes, not before: so each one has
        something new, and the duplicates behind it are counted with it.
        """
        rules = self.deriver.rules
        if not self._readable:
            self._judge(envelope)
        day = records.arrival_day(envelope, rules.clock, self.candidate.fetched_at)
        known = records.record_id(envelope)
        key: int | str
        if isinstance(known, Reason):
            key = records.identity(envelope, rules)
            is_taken = key in self._unidentified
        else:
            key = known
            is_taken = key in self._head.settled
        offered = Offered(key, envelope, day)
        first = self._first.get(key)
        if (is_taken or first) and not is_contradiction(self._head, offered, first, rules):
            self.candidate.duplicates[day] += 1
            return
        if self._is_full():
            self.flush()
            self.begin(self.candidate.source)
            self.offer(envelope)
            return
        self._first.setdefault(key, offered)
        self.candidate.records.append(offered)
        self._characters += _characters(envelope)

    def _is_full(self) -> bool:
        is_long = len(self.candidate.records) >= MAX_BATCH_RECORDS
        return is_long or self._characters >= MAX_BATCH_CHARACTERS

    def flush(self) -> None:
        """Commit what the candidate holds, and stage it."""
        self._refuse_a_wrong_ring()
        header = self.log.append(lambda head: propose(head, self.candidate, self.deriver.rules))
        if header is None:
            logger.info(
                "nothing new source=%s duplicate=%d",
                self.candidate.source,
                self.candidate.duplicates.total(),
            )
            return
        logger.info(
            "landed seq=%d source=%s offered=%d new=%d duplicate=%d conflict=%d",
            header.seq,
            header.source,
            header.offered,
            header.new,
            header.duplicate,
            header.conflict,
        )
        _report_hole(header)
        self.deriver.stage(self.lake, self.log, header.seq)

    def _judge(self, envelope: object) -> None:
        readable = records.is_readable(envelope, self.deriver.rules.ring)
        if readable:
            self._readable += 1
        elif readable is None:
            self._tokenless += 1
        else:
            self._unreadable += 1

    def _refuse_a_wrong_ring(self) -> None:
        """Stop a first run whose key ring is the wrong one; later ones quarantine what is unread.

        Once records were read, a batch that cannot be is a rotation that nobody told us of. A
        window does not show it again, so it is taken as it is, and a replay reads it.
        """
        seen = self._unreadable + self._tokenless
        if self._readable or seen < MIN_JUDGED_RECORDS:
            return
        if self._head.seq:
            logger.error("unreadable source=%s records=%d", self.candidate.source, seen)
            return
        ring = self.deriver.rules.ring
        if self._unreadable:
            raise ConfigError(
                f"None of the {seen} records offered opens with any of the "
                f"{len(ring.fingerprints)} keys of {ring.describe()}: it is "
                "the wrong key ring, so nothing was taken. Put the source's key into it and run "
                "again."
            )
        raise ContractError(
            f"None of the {seen} records offered holds a Fernet token, so nothing was taken. "
            "Check what SOURCE_URL or the dump really serves."
        )


def _characters(envelope: object) -> int:
    content = envelope.get("data") if isinstance(envelope, dict) else envelope
    return len(content) if isinstance(content, str) else 0


def _report_hole(header: Header) -> None:
    """Say at once what may be lost for good: a window never shows an id again."""
    if header.missing:
        logger.warning(
            "missing seq=%d source=%s ids=%d ranges=%d first=%d-%d",
            header.seq,
            header.source,
            sum(high - low + 1 for low, high in header.missing),
            len(header.missing),
            *header.missing[0],
        )
