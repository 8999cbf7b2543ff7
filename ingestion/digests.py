"""Digests of a batch's newest records, by which another content under a known id is noticed. Pure.

Each is what ``records.plaintext_digest`` says; they are made together, because there are a
thousand of them per batch, in the one process that does everything else for all cores.
"""

from collections.abc import Mapping

import pyarrow as pa

from ingestion import records, tokens
from ingestion.pages import tokens_of
from ingestion.records import Rules

_ANY_TIME = pa.scalar(2**64 - 1, pa.uint64())
_BLOCK = 16


def plaintext_digests(texts: Mapping[int, bytes], rules: Rules) -> dict[int, bytes]:
    """Return 8 bytes for each record that a key of the ring opens, by its id."""
    ids = list(texts)
    envelopes = records.parse(b"[%s]" % b",".join(texts.values()))
    offered = tokens_of(envelopes)
    opened = tokens.open_all(offered, range(len(ids)), rules.ring, pa.repeat(_ANY_TIME, len(ids)))
    found: dict[int, bytes] = {}
    rest = list(opened.rest)
    for group in opened.plain:
        for place, row in zip(group.places.to_pylist(), group.rows.to_pylist(), strict=True):
            padding = row[-1]
            if 1 <= padding <= _BLOCK and row.endswith(bytes([padding]) * padding):
                plaintext = row[tokens.JUNK : -padding]
                found[ids[place]] = rules.pseudonyms.digest(plaintext)[:8]
            else:
                rest.append(place)
    for place in rest:
        if (digest := records.plaintext_digest(envelopes[place], rules)) is not None:
            found[ids[place]] = digest
    return found
