"""The ASGI application: tells the services apart on one port and runs their answers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from local_aws.glue import ACCOUNT_ID, Catalog
from local_aws.glue_api import GlueApi
from local_aws.s3 import S3, is_upload
from local_aws.s3_body import Body, is_chunked
from local_aws.s3_http import S3Request, S3Response
from local_aws.s3_xml import S3Error, error_body
from local_aws.secrets_manager import SecretsManager
from local_aws.store import Store

logger = logging.getLogger(__name__)

_PIECE = 1024 * 1024
"""Bytes that go to or come from a worker thread at once."""

_LARGEST_DOCUMENT = 8 * 1024 * 1024
"""Most bytes of a request that is not an upload (DeleteObjects with 1000 long keys: 2 MB)."""

_WORKERS = 64
_SWEEP_SECONDS = 60.0

_JSON = "application/x-amz-json-1.1"


class JsonApi(Protocol):
    """A service of the AWS JSON protocol; its errors carry ``code`` and ``message``."""

    def dispatch(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer one action."""


class _Refused(Exception):
    """The request does not come from a program on this machine, but through a web page."""


class App:
    """One ASGI application over one Store."""

    def __init__(self, store: Store, catalog: Catalog, athena: JsonApi) -> None:
        self._store = store
        self._s3 = S3(store)
        self._apis: dict[str, JsonApi] = {
            "AWSGlue": GlueApi(store, catalog),
            "AmazonAthena": athena,
            "secretsmanager": SecretsManager(store),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's event, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive)
            try:
                response = await self._answer(request)
            except ClientDisconnect:
                return
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        request_id = secrets.token_hex(8).upper()
        path = _path(request.scope)
        try:
            _refuse_web_pages(request)
            if path == "/health" and request.method in ("GET", "HEAD"):
                return JSONResponse({"status": "ok"})
            if target := request.headers.get("x-amz-target"):
                return await self._json(request, target, request_id)
            if path == "/" and request.method == "POST":
                return await self._sts(request, request_id)
            return await self._object_storage(request, path, request_id)
        except _Refused as refusal:
            return Response(f"{refusal}\n", 403, media_type="text/plain")

    # ---------------------------------------------------------------- the JSON services

    async def _json(self, request: Request, target: str, request_id: str) -> Response:
        service, _, action = target.rpartition(".")
        headers = {"x-amzn-requestid": request_id}
        api = self._apis.get(service)
        try:
            if api is None:
                raise _JsonError(
                    "UnknownOperationException", f"local_aws has no service {service}."
                )
            payload = _json_object(await _document(request))
            answer = await run_in_threadpool(api.dispatch, action, payload)
            return Response(json.dumps(answer), media_type=_JSON, headers=headers)
        except ClientDisconnect:
            raise
        except Exception as error:
            code = getattr(error, "code", None)
            if isinstance(code, str):
                status, message = 400, str(getattr(error, "message", error))
            elif _is_disk_full(error):
                logger.error("the disk is full target=%s", target)
                status, code, message = 500, "InternalServerException", "The disk is full."
            else:
                logger.exception("failed target=%s", target)
                status, code = 500, "InternalServerException"
                message = f"local_aws failed: {type(error).__name__}: {error}"
            body = {
                "__type": code,
                "message": message,
                "Message": message,
                **(getattr(error, "extra", None) or {}),
            }
            headers["x-amzn-errortype"] = code
            return Response(json.dumps(body), status, media_type=_JSON, headers=headers)

    # ---------------------------------------------------------------- STS

    async def _sts(self, request: Request, request_id: str) -> Response:
        form = parse_qs((await _document(request)).decode("utf-8", "replace"))
        action = form.get("Action", [""])[0]
        meta = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        namespace = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
        if action == "GetCallerIdentity":
            body = (
                f"<GetCallerIdentityResponse {namespace}><GetCallerIdentityResult>"
                f"<Arn>arn:aws:iam::{ACCOUNT_ID}:root</Arn><UserId>{ACCOUNT_ID}</UserId>"
                f"<Account>{ACCOUNT_ID}</Account></GetCallerIdentityResult>{meta}"
                "</GetCallerIdentityResponse>"
            )
            return Response(body, media_type="text/xml")
        message = f"local_aws does not implement the action {action or '(none)'} on /."
        body = (
            f"<ErrorResponse {namespace}><Error><Type>Sender</Type><Code>InvalidAction</Code>"
            f"<Message>{escape(message)}</Message></Error><RequestId>{request_id}</RequestId>"
            "</ErrorResponse>"
        )
        return Response(body, 400, media_type="text/xml")

    # ---------------------------------------------------------------- S3

    async def _object_storage(self, request: Request, path: str, request_id: str) -> Response:
        try:
            asked = _s3_request(request, path)
            if is_upload(asked):
                answer = await self._upload(request, asked)
            else:
                document = await _document(request)
                asked = _with_body(asked, payload=document)
                answer = await run_in_threadpool(self._s3.handle, asked)
            return _s3_response(answer, request_id)
        except S3Error as error:
            return _s3_error(error, request, path, request_id)
        except ClientDisconnect:
            raise
        except Exception as error:
            wrapped = S3Error("InternalError", f"local_aws failed: {type(error).__name__}")
            if _is_disk_full(error):
                wrapped = S3Error("InternalError", "The disk is full.")
                logger.error("the disk is full method=%s", request.method)
            else:
                logger.exception("failed method=%s", request.method)
            return _s3_error(wrapped, request, path, request_id)

    async def _upload(self, request: Request, asked: S3Request) -> S3Response:
        """Write the body to a file of its own as it arrives, then do the operation."""
        headers = asked.headers
        if "content-length" not in headers and not is_chunked(headers):
            raise S3Error("MissingContentLength", "You must provide Content-Length.")
        body = Body(self._store.new_blob(), headers)
        try:
            pending = bytearray()
            async for piece in request.stream():
                pending += piece
                if len(pending) >= _PIECE:
                    await run_in_threadpool(body.feed, bytes(pending))
                    pending.clear()
        except BaseException:
            body.discard()
            raise

        def keep() -> S3Response:
            try:
                body.feed(bytes(pending))
                received = body.finish()
                return self._s3.handle(_with_body(asked, received=received))
            except BaseException:
                body.discard()
                raise

        return await run_in_threadpool(keep)

    # ---------------------------------------------------------------- upkeep

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        anyio.to_thread.current_default_thread_limiter().total_tokens = _WORKERS
        sweeper = asyncio.create_task(self._sweep())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper
        await send({"type": "lifespan.shutdown.complete"})

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await run_in_threadpool(self._store.sweep)
            except Exception:
                logger.exception("failed to remove old files")


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _JsonError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body or b"{}")
    except ValueError as error:
        raise _JsonError("SerializationException", f"The body is not JSON: {error}.") from error
    if not isinstance(payload, dict):
        raise _JsonError("SerializationException", "The body is not a JSON object.")
    return payload


def _refuse_web_pages(request: Request) -> None:
    """Refuse requests that a web page of elsewhere makes through the user's browser.

    Nothing here asks for a password, so a page's script must not be able to write (Origin), nor
    to read under a name of its own that it points at this machine (Host).
    """
    host = request.headers.get("host", "")
    name = urlsplit(f"//{host}").hostname or ""
    is_address = ":" in name or name.replace(".", "").isdigit()
    if "." in name and not is_address and not name.endswith((".localhost", ".internal")):
        raise _Refused(f"local_aws does not answer to the host name {name}.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise _Refused(f"local_aws does not answer to pages of {origin}.")


def _path(scope: Scope) -> str:
    """The path as sent: Starlette's own has %2F decoded, which a key may well hold."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1")


def _s3_request(request: Request, path: str) -> S3Request:
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if host.endswith(".localhost"):  # virtual-hosted style
        path = f"/{host.removesuffix('.localhost')}{path}"
    bucket, _, key = path.removeprefix("/").partition("/")
    try:
        bucket, key = unquote(bucket, errors="strict"), unquote(key, errors="strict")
        raw_query = request.scope["query_string"].decode("ascii")
        query = dict(parse_qsl(raw_query, keep_blank_values=True, errors="strict"))
    except (UnicodeDecodeError, ValueError) as error:
        raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from error
    if len(key.encode()) > 1024:
        raise S3Error("KeyTooLongError", "Your key is too long")
    return S3Request(request.method, bucket, key, query, dict(request.headers))


def _with_body(asked: S3Request, **body: Any) -> S3Request:
    return S3Request(asked.method, asked.bucket, asked.key, asked.query, asked.headers, **body)


async def _document(request: Request) -> bytes:
    """A whole body that fits in memory."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_DOCUMENT:
            raise S3Error("MaxMessageLengthExceeded", "Your request was too big.")
    return bytes(body)


def _s3_response(answer: S3Response, request_id: str) -> Response:
    headers = {**answer.headers, "x-amz-request-id": request_id}
    if answer.file is None:
        return Response(answer.body, answer.status, headers=headers)
    return StreamingResponse(_pieces(answer), answer.status, headers=headers)


async def _pieces(answer: S3Response) -> AsyncIterator[bytes]:
    assert answer.file is not None
    with answer.file as file:
        left = answer.length
        while left and (piece := await run_in_threadpool(file.read, min(left, _PIECE))):
            left -= len(piece)
            yield piece


def _s3_error(error: S3Error, request: Request, path: str, request_id: str) -> Response:
    headers: Mapping[str, str] = {**error.headers, "x-amz-request-id": request_id}
    if request.method == "HEAD" or error.status == 304:
        return Response(b"", error.status, headers=headers)
    body = error_body(error, path, request_id)
    return Response(body, error.status, media_type="application/xml", headers=headers)
