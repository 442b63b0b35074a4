"""How every command of this project behaves on the command line."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

import typer

from kbioxlm.common.errors import InputError, one_line

# no space left, quota reached, file size limit
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def new_app(help_text: str) -> typer.Typer:
    """A typer application with this project's settings: help on no arguments, plain tracebacks, no shell completion."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def run(app: Callable[[], None]) -> None:
    """Run `app`; an `InputError` or a full disk becomes one line on standard error and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(
            f"error: {error.filename or 'output'}: {os.strerror(error.errno)}; make room and run the same command "
            "again: what was finished is kept",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
