"""A value as JSON text, however deep it is and however large its numbers are. Total."""

import json

# Made once: a third of what a short value costs.
_AS_IT_IS = json.JSONEncoder(separators=(",", ":"), default=repr)
_SORTED = json.JSONEncoder(separators=(",", ":"), default=repr, sort_keys=True)


def spell(value: object, *, is_sorted: bool = False) -> str:
    """Return ``value``, which was read from JSON, as JSON in ASCII without blanks."""
    try:
        return (_SORTED if is_sorted else _AS_IT_IS).encode(value)
    except (RecursionError, TypeError, ValueError):
        return _spell(value)


def _spell(value: object) -> str:
    # A stack of our own: Python's ends at a depth that depends on who calls.
    parts: list[str] = []
    stack: list[tuple[bool, object]] = [(False, value)]
    while stack:
        is_text, item = stack.pop()
        pieces: list[tuple[bool, object]] = []
        if is_text:
            parts.append(str(item))
        elif isinstance(item, dict):
            for name in sorted(item, key=str):
                pieces += [(True, f"{json.dumps(str(name))}:"), (False, item[name]), (True, ",")]
            pieces[-1:] = [(True, "}")]
            parts.append("{")
        elif isinstance(item, (list, tuple)):
            for inner in item:
                pieces += [(False, inner), (True, ",")]
            pieces[-1:] = [(True, "]")]
            parts.append("[")
        elif isinstance(item, int) and item.bit_length() > 10_000:
            parts.append(json.dumps(hex(item)))  # Python writes no more than 4,300 digits
        else:
            parts.append(json.dumps(item, default=repr))
        stack += reversed(pieces)
    return "".join(parts)
