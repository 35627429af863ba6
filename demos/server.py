"""Serving the page: health, limits on what comes in, no requests to elsewhere, an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import fastapi
import gradio as gr
import uvicorn
from fastapi.responses import JSONResponse

from demos import texts
from demos.engine import Engine
from demos.limits import MOST_FILE_MB, MOST_REQUEST_MB
from demos.page import build
from demos.visitor_files import VisitorFiles
from s2f import __version__
from s2f.errors import S2fError, UsageError

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'"
)
HEADERS = ((b"content-security-policy", CONTENT_POLICY.encode()), (b"referrer-policy", b"no-referrer"))
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gate:
    """Middleware: refuses bodies that are too large or do not say how large they are, and lets no page fetch elsewhere.

    A refused body is read to its end and thrown away: a client that is still sending does not see the answer else.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if fault := _fault(scope):
            while (await receive()).get("more_body"):
                pass
            await JSONResponse({"detail": fault[1]}, fault[0])(dict(scope), receive, send)
            return

        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _fault(scope: Scope) -> tuple[int, str] | None:
    """Status and sentence for a request whose body is not taken."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length")
    if length is not None and int(length) > MOST_REQUEST_MB * 10**6:
        return 413, f"expected at most {MOST_REQUEST_MB} MB, got {int(length) / 1e6:.0f} MB; cut out a part of the clip"
    if length is None and b"transfer-encoding" in headers:
        return 411, f"expected a Content-Length of at most {MOST_REQUEST_MB} MB, got none; send the file in one piece"
    return None


def make_app(engine: Engine, files: VisitorFiles) -> fastapi.FastAPI:
    """Put the page, `/health` and the sweeper together.

    Gradio keeps its files where GRADIO_TEMP_DIR says, which this sets for the process.

    Args:
        engine: the model.
        files: where everything of visitors goes.

    Returns:
        The application.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(files.root)

    @asynccontextmanager
    async def sweeping(_: fastapi.FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(files.sweep_for_ever())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = fastapi.FastAPI(lifespan=sweeping, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate)

    @app.get("/health")
    def health() -> JSONResponse:
        found = {"status": engine.state, "checkpoint": engine.provenance.checkpoint, "s2f": __version__}
        return JSONResponse(found, 200 if engine.state == "ready" else 503)

    page = build(engine, files)
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    theme.set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300")
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        max_file_size=MOST_FILE_MB * 2**20,
        footer_links=["api"],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=texts.CSS,
    )


class Server:
    """The demo, serving.

    Args:
        engine: the model, not yet loaded.
        host: address to listen at.
        port: to listen at; 0 takes a free one.
        keep_s: how long visitors' files are kept.

    Attributes:
        url: where it is reached from this machine.
        engine: see above.
        files: of visitors.

    Raises:
        UsageError: an address that cannot be listened at.
    """

    def __init__(self, engine: Engine, host: str = "127.0.0.1", port: int = 7860, keep_s: float = 600.0) -> None:
        self._socket = _listening(host, port)
        number = self._socket.getsockname()[1]
        self.url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{number}"
        self.engine, self.files = engine, VisitorFiles(keep_s)
        config = uvicorn.Config(make_app(engine, self.files), log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        # an open page listens for ever, so every end breaks something off: no word about that
        logging.getLogger("uvicorn.error").addFilter(lambda _: not self._server.should_exit)
        self._failure: S2fError | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, or until `stop`; the model loads meanwhile, and visitors' files go at the end.

        Raises:
            S2fError: the model could not be loaded.
        """
        loading = threading.Thread(target=self._load)
        loading.start()
        try:
            with suppress(KeyboardInterrupt):  # how uvicorn passes SIGINT on, after an orderly end
                self._server.run(sockets=[self._socket])
        finally:
            self.files.remove()
            loading.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run` in another thread."""
        self._server.should_exit = True

    def _load(self) -> None:
        try:
            self.engine.load()
        except S2fError as error:
            self._failure = error
            self.stop()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens."""
    fix = "choose another --port, 0 for any free one, or another --host"
    try:
        family = socket.getaddrinfo(host, None)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise UsageError("an address to listen at", f"{host}:{port} ({error})", fix) from error
