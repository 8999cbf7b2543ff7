"""Keys as text: their order, and the file names that hold their bytes."""

from __future__ import annotations

import hashlib
import re
import secrets


def successor(prefix: str) -> str | None:
    """The smallest string beyond all that begin with ``prefix``; None if there is no such bound."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            # Code points and UTF-8 sort alike; the surrogates between are not characters.
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


def blob_name(bucket: str, key: str) -> str:
    """Where the bytes go: the key's own folders, and a suffix that no other put ever has."""
    folders = "/".join(_component(part) for part in key.split("/"))
    if len(folders.encode()) > 2000:
        folders = "%long/" + hashlib.sha256(key.encode()).hexdigest()
    return f"objects/{bucket}/{folders}~{secrets.token_hex(8)}"


def _component(part: str) -> str:
    """One folder or file name of a key, made safe for the disk and free of glob characters."""
    if part in ("", ".", ".."):
        return "".join(f"%{ord(char):02X}" for char in part) or "%00"
    safe = re.sub(r"[\x00-\x1f\x7f*?\[\]{}\\]", lambda match: f"%{ord(match[0]):02X}", part)
    if len(safe.encode()) <= 200:
        return safe
    digest = hashlib.sha256(part.encode()).hexdigest()[:16]
    return safe.encode()[:150].decode(errors="ignore") + "%" + digest
