"""Serving the page: health, limits on what comes in, no requests to elsewhere, an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import fastapi
import gradio as gr
import uvicorn
from fastapi.responses import JSONResponse

from demos import texts
from demos.background_model import Engine
from demos.limits import MOST_CONNECTIONS, MOST_FILE_MB
from demos.page import build
from demos.request_filter import Gate
from demos.visitor_files import VisitorFiles
from s2f.errors import UsageError
from s2f.version import __version__

LIVE_REGIONS = """() => {
  for (const region of document.querySelectorAll('.live')) region.setAttribute('aria-live', 'polite');
}"""


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
        files.remove()  # here, because uvicorn ends a process that was sent SIGTERM

    app = fastapi.FastAPI(lifespan=sweeping, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate, files=files)

    @app.get("/health")
    def health() -> JSONResponse:
        found = {"status": engine.state, "checkpoint": engine.provenance.checkpoint, "s2f": __version__}
        return JSONResponse(found, 200 if engine.state == "ready" else 503)

    page = build(engine, files)
    theme = gr.themes.Default(
        primary_hue="blue",
        secondary_hue="blue",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
    )
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        max_file_size=MOST_FILE_MB * 2**20,
        footer_links=["api"],
        run_history=False,
        show_error=False,  # of faults that are not ours to word; our own sentences are shown all the same
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=texts.CSS,
        js=LIVE_REGIONS,
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
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.url = f"http://[{shown}]:{number}" if ":" in shown else f"http://{shown}:{number}"
        self.engine, self.files = engine, VisitorFiles(keep_s)
        config = uvicorn.Config(
            make_app(engine, self.files),
            log_level="warning",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._failure: Exception | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, or until `stop`; the model loads meanwhile, and visitors' files go at the end.

        Raises:
            Exception: what loading the model raised, an S2fError if the checkpoint cannot be used.
        """
        loading = threading.Thread(target=self._load)
        loading.start()
        log = logging.getLogger("uvicorn.error")
        log.addFilter(self._worth_a_word)
        try:
            with suppress(KeyboardInterrupt):  # how uvicorn passes SIGINT on, after an orderly end
                self._server.run(sockets=[self._socket])
        finally:
            log.removeFilter(self._worth_a_word)
            self.files.remove()
            loading.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run` in another thread."""
        self._server.should_exit = True

    def _worth_a_word(self, _: logging.LogRecord) -> bool:
        """An open page listens for ever, so every end breaks something off: not worth one."""
        return not self._server.should_exit

    def _load(self) -> None:
        try:
            self.engine.load()
        except Exception as error:  # whatever it is, there is no demo without a model
            self._failure = error
            self.stop()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens."""
    fix = "choose another --port, 0 for any free one, or another --host"
    try:
        family = socket.getaddrinfo(host, None)[0][0]
        return socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=host == "::")
    except (OSError, OverflowError) as error:
        raise UsageError("an address to listen at", f"{host}:{port} ({error})", fix) from error
