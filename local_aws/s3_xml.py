"""S3's XML: what answers look like, what requests say, and errors under S3's own codes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_STATUS = {
    "AccessDenied": 403,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "InternalError": 500,
    "InvalidRange": 416,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
}


class S3Error(Exception):
    """An answer that S3 itself would give; ``status`` follows from the code (else 400)."""

    def __init__(self, code: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUS.get(code, 400)
        self.headers: dict[str, str] = {}


class Element:
    """An XML element under construction; ``to_bytes`` makes it a document."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._parts: list[str] = []

    def add(self, tag: str, value: object = None) -> Element:
        """Append ``<tag>value</tag>``; None is left out. Returns self."""
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            self._parts.append(f"<{tag}>{_text(text)}</{tag}>")
        return self

    def text(self, value: str) -> Element:
        """Append text. Returns self."""
        self._parts.append(_text(value))
        return self

    def nest(self, child: Element) -> Element:
        """Append a finished child. Returns self."""
        self._parts.append(child._render())
        return self

    def to_bytes(self, *, namespace: bool = True) -> bytes:
        """The document in UTF-8."""
        attribute = f' xmlns="{_NAMESPACE}"' if namespace else ""
        inner = "".join(self._parts)
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{self._tag}{attribute}>{inner}</{self._tag}>'
        ).encode("utf-8", "xmlcharrefreplace")

    def _render(self) -> str:
        return f"<{self._tag}>{''.join(self._parts)}</{self._tag}>"


class Parsed:
    """A request's XML, read without regard to namespaces."""

    def __init__(self, node: ElementTree.Element) -> None:
        self._node = node

    @classmethod
    def from_bytes(cls, body: bytes, root: str) -> Parsed:
        """Parse a document whose root is ``root``; raises S3Error (MalformedXML)."""
        try:
            # No document type: entities could blow up, and S3 accepts none.
            if b"<!DOCTYPE" in body:
                raise S3Error("MalformedXML", "A document type is not allowed.")
            node = ElementTree.fromstring(body)
        except ElementTree.ParseError as error:
            raise S3Error("MalformedXML", f"The XML is not well-formed: {error}.") from error
        if _local(node) != root:
            raise S3Error("MalformedXML", f"Expected <{root}>, found <{_local(node)}>.")
        return cls(node)

    def all(self, tag: str) -> Iterator[Parsed]:
        """The children of that name."""
        return (Parsed(child) for child in self._node if _local(child) == tag)

    def get(self, tag: str) -> str | None:
        """The text of the first child of that name."""
        for child in self._node:
            if _local(child) == tag:
                return child.text or ""
        return None


def error_body(error: S3Error, resource: str, request_id: str) -> bytes:
    """The XML that goes with an error's status."""
    document = Element("Error").add("Code", error.code).add("Message", error.message)
    document.add("Resource", resource).add("RequestId", request_id)
    return document.to_bytes(namespace=False)


def iso(moment: datetime) -> str:
    """2026-11-20T12:00:00.123Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def url_encoded(text: str) -> str:
    """As EncodingType=url has it."""
    return quote(text, safe="/")


def _local(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _text(text: str) -> str:
    # XML 1.0 cannot carry most control characters at all: S3 sends the same references.
    escaped = escape(text, {"\r": "&#13;", '"': "&quot;"})
    return "".join(char if char >= " " or char in "\t\n" else f"&#{ord(char)};" for char in escaped)
