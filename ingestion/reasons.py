"""Why a record was refused, and where: closed lists, so that they can be counted and tested."""

from enum import StrEnum


class Reason(StrEnum):
    """Every reason there is. Grow it here; the tests and the docs of the tables follow."""

    ENVELOPE_SHAPE = "ENVELOPE_SHAPE"
    ID_MISSING = "ID_MISSING"
    ID_TYPE = "ID_TYPE"
    ID_CONFLICT = "ID_CONFLICT"
    TOKEN_TYPE = "TOKEN_TYPE"
    TOKEN_TOO_LARGE = "TOKEN_TOO_LARGE"
    TOKEN_MALFORMED = "TOKEN_MALFORMED"
    TOKEN_UNKNOWN_KEY = "TOKEN_UNKNOWN_KEY"
    TOKEN_FUTURE = "TOKEN_FUTURE"
    PLAINTEXT_ENCODING = "PLAINTEXT_ENCODING"
    PLAINTEXT_TOO_LARGE = "PLAINTEXT_TOO_LARGE"
    PLAINTEXT_SYNTAX = "PLAINTEXT_SYNTAX"
    PLAINTEXT_SHAPE = "PLAINTEXT_SHAPE"
    FIELD_MISSING = "FIELD_MISSING"
    FIELD_TYPE = "FIELD_TYPE"
    FIELD_RANGE = "FIELD_RANGE"
    TIME_MALFORMED = "TIME_MALFORMED"
    TIME_OUT_OF_RANGE = "TIME_OUT_OF_RANGE"
    RESOURCE_LIMIT = "RESOURCE_LIMIT"


class Stage(StrEnum):
    """How far a record came before it was refused."""

    ENVELOPE = "envelope"
    TOKEN = "token"
    PLAINTEXT = "plaintext"
    FIELD = "field"
    TIME = "time"
