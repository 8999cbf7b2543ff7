"""Every error that ingestion raises on purpose, and what the caller should do about it.

    IngestionError
    ├── ConfigError         the environment is wrong      fix it, do not retry
    ├── ContractError       the data broke its promise    look at it, do not retry
    │   └── DamagedDump     one file of a dump is broken  take the other files, then say so
    ├── SourceUnavailable   upstream did not answer well  retry later
    ├── LakeUnavailable     AWS did not answer            retry later; a write may have happened
    └── WorkerUnavailable   no process to decode in       retry later; look at the machine

No message carries a value taken from a record, a key or a plaintext: messages reach logs.
"""

from typing import ClassVar


class IngestionError(Exception):
    """Base of every error raised on purpose, so that callers can tell ours from bugs."""

    retryable: ClassVar[bool] = False


class ConfigError(IngestionError):
    """The environment, a key file or a permission is wrong; a person has to change it."""


class ContractError(IngestionError):
    """Data in hand broke what was promised: a corrupt dump, a broken log, a sum that is off."""


class DamagedDump(ContractError):
    """One file of a dump is cut, corrupt or no dump; the message names it and the place."""


class SourceUnavailable(IngestionError):
    """The source did not give a whole, readable answer; nothing of that answer was kept."""

    retryable: ClassVar[bool] = True


class LakeUnavailable(IngestionError):
    """S3, Glue or Secrets Manager did not answer; the last write may or may not have happened."""

    retryable: ClassVar[bool] = True


class WorkerUnavailable(IngestionError):
    """The process that decodes records did not start; no record is to blame for it."""

    retryable: ClassVar[bool] = True
