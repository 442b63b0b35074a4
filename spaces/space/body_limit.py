"""Requests that are larger than any that makes sense are refused before they fill memory or disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _TooLargeError(Exception):
    """More bytes than the limit came in."""


class BodyLimit:
    """ASGI middleware: the body of a request has at most `limit` bytes, whatever its header says.

    Args:
        app: what answers the requests that are let through.
        limit: in bytes.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], limit: int):
        self._app = app
        self._limit = limit

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, with 413 where it is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            await self._refuse(send)
            return
        read, answered = 0, False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            if read > self._limit and not answered:
                return  # what the application makes of the exception
            answered = True
            await send(message)

        with suppress(_TooLargeError):
            await self._app(scope, counted, noted)
        if read > self._limit and not answered:
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        text = f'{{"detail": "The request is too large: at most {self._limit:,} bytes are read."}}'.encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": text})
