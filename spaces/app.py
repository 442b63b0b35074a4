"""The Space: starts with the settings of the environment, which README.md lists."""

from __future__ import annotations

import os
import signal
import sys

from space.settings import private_folder

FOLDER = private_folder(os.environ)  # before gradio and transformers read the environment

from space.refusal import RefusedError  # noqa: E402
from space.serving import serve  # noqa: E402


def main() -> None:
    """Serve until the process is stopped; exit code 2 where a setting cannot be used."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the folder is removed
    try:
        serve(FOLDER)
    except RefusedError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
