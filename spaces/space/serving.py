"""From settings to a page that is served."""

from __future__ import annotations

import os
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from .body_limit import BodyLimit
from .page import Page
from .reading import Reading
from .settings import Settings, keep_clean
from .upload import refuse_addresses

REQUEST = 12_000_000  # bytes: what is pasted by mistake is still answered with a message about its length
SESSIONS = 100  # gradio keeps a copy of the page's configuration, 0.15 MB, for each; a program's call is one
_FONT = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", "sans-serif"]


def theme() -> gr.themes.Base:
    """Fonts that are on the reader's machine, and contrasts of at least 4.5 where gradio has less."""
    plain: gr.themes.Base = gr.themes.Default(
        primary_hue="blue", font=[gr.themes.Font(name) for name in _FONT], font_mono=[gr.themes.Font("monospace")]
    )
    subdued = {"light": "*neutral_600", "dark": "*neutral_300"}
    return plain.set(
        body_text_color_subdued=subdued["light"], body_text_color_subdued_dark=subdued["dark"],
        block_info_text_color=subdued["light"], block_info_text_color_dark=subdued["dark"],
        block_title_text_color="*neutral_700", block_title_text_color_dark="*neutral_200",
        button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700", button_primary_background_fill_hover_dark="*primary_600",
    )  # fmt: skip


def serve(folder: Path) -> None:
    """Load the models and serve the page until the process is stopped.

    Args:
        folder: for files, as `private_folder` gives it.

    Raises:
        RefusedError: a setting that cannot be used.
    """
    settings = Settings.read(os.environ)
    refuse_addresses()
    blocks = Page(Reading(settings), folder).blocks
    keep_clean(folder, settings.keep_seconds)
    blocks.queue(max_size=settings.queue)
    blocks.launch(
        share=False,
        ssr_mode=False,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=["api"],
        max_file_size=settings.upload,
        state_session_capacity=SESSIONS,
        theme=theme(),
        css_paths=Path(__file__).parent / "page.css",
        app_kwargs={"middleware": [Middleware(BodyLimit, limit=max(REQUEST, settings.upload + 100_000))]},
        prevent_thread_lock=True,
    )
    blocks.block_thread()
