"""What the server answers at all: the routes the page needs, bodies of a limited size, visitors' own files."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from fastapi.responses import JSONResponse

from demos.limits import MOST_BODY_MB, MOST_REQUEST_MB
from demos.visitor_files import VisitorFiles

API, UPLOAD, FILE = "/gradio_api/", "/gradio_api/upload", "/gradio_api/file="
# Gradio has further routes; some fetch addresses, convert films, or keep files where nobody deletes them
NEEDED = re.compile(
    r"/(health|config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(assets|static|svelte)/.*)?"
    rf"|{API}(info|app_id|openapi\.json|startup-events|theme\.css|upload|upload_progress|cancel|reset)/?"
    rf"|{API}(queue/(join|data)|run/predict|(call|heartbeat)/.*|file=.*)/?"
)
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Fault(NamedTuple):
    status: int
    sentence: str


class Gate:
    """ASGI middleware in front of everything.

    A refused body is read to its end and thrown away: a client that is still sending would not see the answer else.

    Args:
        app: what is behind it.
        files: of visitors; no others are served.
    """

    def __init__(self, app: Any, files: VisitorFiles) -> None:
        self._app, self._files = app, files

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if fault := self._fault(scope["path"], dict(scope["headers"])):
            while (await receive()).get("more_body"):
                pass
            await JSONResponse({"detail": fault.sentence}, fault.status)(dict(scope), receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_policy)

    def _fault(self, path: str, headers: dict[bytes, bytes]) -> _Fault | None:
        """Why a request is not answered."""
        if not NEEDED.fullmatch(path):
            return _Fault(404, "expected an address of the demo, got another; open the page at /")
        if path.startswith(FILE) and not self._files.touch(path.removeprefix(FILE)):
            return _Fault(404, "expected a file of this visit, got another or one that was deleted; ask for it again")
        most = MOST_REQUEST_MB if path.rstrip("/") == UPLOAD else MOST_BODY_MB
        if b"transfer-encoding" in headers:
            return _Fault(411, f"expected a Content-Length of at most {most} MB, got none; send the file in one piece")
        length = int(headers.get(b"content-length", b"0"))
        if length > most * 10**6:
            return _Fault(413, f"expected at most {most} MB, got {length / 1e6:.0f} MB; cut out a part of the clip")
        return None
