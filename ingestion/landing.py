"""Takes what the source offers, commits it, and stages it for the check. Publishes nothing."""

import hashlib
import logging
import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, cast

from ingestion import records
from ingestion.commit import LandingLog
from ingestion.errors import ConfigError, ContractError, DamagedDump
from ingestion.headers import Head, Header
from ingestion.lake import Lake
from ingestion.proposals import Candidate, Entry, is_contradiction, propose
from ingestion.reasons import Reason
from ingestion.settings import Settings
from ingestion.sources import api, dumps
from ingestion.staging import Deriver
from ingestion.texts import HUNDRED_SECONDS, Plain, spell
from ingestion.times import milliseconds

logger = logging.getLogger(__name__)

MAX_BATCH_RECORDS = 50_000
"""New records per batch: about 30 MB of envelopes. Two batches are in memory at a time: one is
collected while the one before it is derived."""

MAX_BATCH_BYTES = 64_000_000
"""The same batch by size: tokens may be a thousand times as long as usual."""

LATE_HORIZON_IDS = 1_000
"""How far behind the highest id a cursor source may still fill a gap; see IdRanges.cursor."""

_QUARTER_SECONDS = 900
_HUNDREDS = _QUARTER_SECONDS // HUNDRED_SECONDS

MIN_JUDGED_RECORDS = 20
"""Fewer unreadable records than this are taken for what they are; more for a wrong key ring."""


def land_api(settings: Settings) -> list[str]:
    """Take what the log API offers, and return the manifests of all unpublished batches.

    Safe to repeat and to race: a record that was taken before is a duplicate, by its id.

    Raises:
        ConfigError: if the settings, the keys or the source's address are wrong.
        SourceUnavailable: if the source does not answer as it should; nothing of it was taken.
    """
    with Landing(settings) as landing:
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
    with Landing(settings) as landing:
        landing.catch_up()
        damaged = landing.take_dumps(dumps.find(uri, landing.lake))
        manifests = landing.recover()
    if damaged:
        raise damaged
    return manifests


class Landing:
    """One run: collects records into candidates, and commits and stages them.

    A batch is staged by a thread while the next one is collected; not more than one at a time,
    so that memory stays what two batches take.
    """

    def __init__(self, settings: Settings) -> None:
        self.deriver = Deriver(settings)
        self.lake = Lake(settings)
        self.log = LandingLog(self.lake)
        self._settings = settings
        self.run_id = uuid.uuid4().hex
        self._stager = ThreadPoolExecutor(1, "stage")
        self._staging: Future[str] | None = None
        self._staged: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the batch that is being staged, however the run ended."""
        self._stager.shutdown()
        if error is not None and self._staging is not None and self._staging.exception():
            # Two things went wrong, and one is raised. The batch is in the log: the next run sees.
            logger.warning("postponed because=%s", type(self._staging.exception()).__name__)

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
        self._settle()
        return [
            self.lake.uri(self.deriver.stage(self.lake, self.log, seq))
            for seq in self.log.unpublished()
        ]

    def stage(self, made: Entry) -> None:
        """Stage a batch that this run has committed, behind the caller's back.

        Raises what went wrong with the one before it.
        """
        self._settle()
        self._staging = self._stager.submit(
            self.deriver.stage_committed, self.lake, self.log, made.header, made.envelopes
        )

    def _settle(self) -> None:
        staging, self._staging = self._staging, None
        if staging is not None:
            self._staged.append(self.lake.uri(staging.result()))

    def staged(self) -> list[str]:
        """Return the manifests of the batches that this run has committed."""
        self._settle()
        return list(self._staged)

    def begin(self, source: str, head: Head | None = None) -> None:
        """Start an empty candidate behind the head of the log."""
        now = milliseconds(datetime.now(UTC))
        is_consecutive = self._settings.source_consecutive_ids
        self.candidate = Candidate(source, self.run_id, now, is_consecutive)
        self._head = head or self.log.head()
        self._unidentified = set(self._head.unidentified)
        self._days: dict[bytes, str | None] = {}
        self._quarters: dict[int, str | None] = {}
        self._readable = self._unreadable = self._tokenless = 0

    def take_dumps(self, found: Sequence[dumps.Dump]) -> DamagedDump | None:
        """Take every record of these files, commit them all, and return what is damaged."""
        damaged: list[str] = []
        self.begin("dumps")
        for place, dump in enumerate(found, 1):
            count = 0
            try:
                for envelopes in dumps.sheets(dump, self.lake):
                    self.take(envelopes)
                    count += len(envelopes)
            except DamagedDump as error:
                damaged.append(str(error))
                logger.error("refused dump=%s records=%d", dump.uri, count)
            else:
                files = len(found)
                logger.info("read dump=%s file=%d/%d records=%d", dump.uri, place, files, count)
            self.candidate.pages.append({"uri": dump.uri, "n": count})
        self.flush()
        if not damaged:
            return None
        return DamagedDump(
            f"{' '.join(damaged)} The other {len(found) - len(damaged)} of {len(found)} files were "
            "landed; the next `publish` publishes them."
        )

    def take_page(self, page: api.Page) -> None:
        """Take every record of a page."""
        self.take(page.envelopes)
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

    def take(self, envelopes: Sequence[object]) -> None:
        """Take records, unless they are plain duplicates; ``propose`` decides what else is one.

        A full candidate is committed when the next new record comes, not before: so each one has
        something new, and the duplicates behind it are counted with it.
        """
        if not isinstance(envelopes, Plain) or self._has_doubtful(envelopes):
            for envelope in envelopes:
                self._offer(envelope)
            return
        self._judge(envelopes)
        if known := self._head.settled.known(set(envelopes.ids)):
            days = self._arrival_days(envelopes)
            self.candidate.duplicates.update(
                day for day, i in zip(days, envelopes.ids, strict=True) if i in known
            )
            envelopes = envelopes.without(known)
        while envelopes:
            if self._is_full():
                self._commit_and_go_on()
                self._judge(envelopes)
            room = MAX_BATCH_RECORDS - len(self.candidate)
            part = envelopes.part(0, room)
            self.candidate.extend(part, self._arrival_days(part))
            envelopes = envelopes.part(room)

    def _has_doubtful(self, plain: Plain) -> bool:
        """Tell whether an id comes twice, or is one of those whose content is remembered."""
        ids = set(plain.ids)
        return (
            len(ids) < len(plain)
            or not self.candidate.places.keys().isdisjoint(ids)
            or self._head.recent.any_of(ids, self.deriver.rules.pseudonyms.fingerprint)
        )

    def _arrival_days(self, plain: Plain) -> list[str]:
        for hundred in set(plain.hundreds) - self._days.keys():
            self._days[hundred] = self._day_of(int(hundred) // _HUNDREDS)
        days = [self._days[hundred] for hundred in plain.hundreds]
        if None not in days:
            return cast(list[str], days)
        return [
            self._day_of_one(plain[place]) if day is None else day for place, day in enumerate(days)
        ]

    def _day_of(self, quarter: int) -> str | None:
        """Return the day of all stamps in a quarter of an hour; None where a day may end in it.

        Offsets change on quarter hours, so what lies between two stamps lies between their days.
        """
        if quarter not in self._quarters:
            first, last = (
                self._day_of_one({"ArrivalTimeStamp": each * _QUARTER_SECONDS})
                for each in (quarter, quarter + 1)
            )
            self._quarters[quarter] = first if first == last else None
        return self._quarters[quarter]

    def _day_of_one(self, envelope: object) -> str:
        return records.arrival_day(envelope, self.deriver.rules.clock, self.candidate.fetched_at)

    def _offer(self, envelope: object) -> None:
        rules = self.deriver.rules
        self._judge([envelope])
        day = self._day_of_one(envelope)
        known = records.record_id(envelope)
        key: int | str
        if isinstance(known, Reason):
            key = records.identity(envelope, rules)
            is_taken = key in self._unidentified
        else:
            key = known
            is_taken = key in self._head.settled
        text = spell(envelope)
        place = self.candidate.places.get(key)
        if is_taken or place is not None:
            first = None if place is None else self.candidate.spelled[place]
            if not is_contradiction(self._head, key, text, first, rules):
                self.candidate.duplicates[day] += 1
                return
        if self._is_full():
            self._commit_and_go_on()
            self._offer(envelope)
            return
        self.candidate.add(key, text, day)

    def _is_full(self) -> bool:
        is_long = len(self.candidate) >= MAX_BATCH_RECORDS
        return is_long or self.candidate.size >= MAX_BATCH_BYTES

    def _commit_and_go_on(self) -> None:
        source = self.candidate.source
        self.begin(source, self.flush())

    def flush(self) -> Head | None:
        """Commit what the candidate holds, have it staged, and return the head that it became."""
        self._refuse_a_wrong_ring()
        self._settle()  # before the records are committed: a run that fails stops here
        made = self.log.append(lambda head: propose(head, self.candidate, self.deriver.rules))
        if made is None:
            logger.info(
                "nothing new source=%s duplicate=%d",
                self.candidate.source,
                self.candidate.duplicates.total(),
            )
            return None
        header = made.header
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
        self.stage(made)
        return self.log.head_of(header, hashlib.sha256(header.to_bytes()).hexdigest())

    def _judge(self, envelopes: Sequence[object]) -> None:
        """Look for a record that the ring opens; one is enough."""
        for envelope in envelopes:
            if self._readable:
                return
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
