"""Files come from the reader's machine only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from .texts import LANGUAGES, say


def refuse_addresses() -> None:
    """Have no box for files fetch an address that a program gives in place of a file, as gradio's would.

    The method is replaced in the class: gradio makes the boxes anew when their labels change, and writes a file beside
    the code of a class that is derived from its own.
    """
    moved = gr.File.async_move_resource_to_block_cache

    async def moved_unless_address(self: gr.File, url_or_file_path: str | Path | None) -> Any:
        if "://" in str(url_or_file_path):
            raise gr.Error(" ".join(say(language, "file_address") for language in LANGUAGES), print_exception=False)
        return await moved(self, url_or_file_path)

    gr.File.async_move_resource_to_block_cache = moved_unless_address  # type: ignore[assignment, method-assign]
