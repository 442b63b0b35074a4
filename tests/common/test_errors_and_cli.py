"""Whatever the user got wrong becomes one line on standard error and exit code 2."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest

from kbioxlm.common.cli import new_app, run
from kbioxlm.common.errors import InputError, one_line, shown


def test_the_message_has_place_line_value_and_remedy_on_one_line() -> None:
    error = InputError(Path("a/b.txt"), "three\ncolumns\r\n", "write\tfour", line=7)
    assert str(error) == "a/b.txt:7: three columns ; write four"
    assert str(InputError("recipe", "x", "y")) == "recipe: x; y"
    assert isinstance(error, ValueError)


def test_shown_is_the_repr_within_a_limit() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert shown("x" * 100, limit=10) == "'xxxxxxxx…"
    assert len(shown(["y"] * 1000)) == 80
    assert one_line(" a \n\n b\t") == "a b"


def test_an_input_error_is_one_line_and_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    def app() -> None:
        raise InputError("file", "bad\nvalue", "mend it")

    with pytest.raises(SystemExit) as caught:
        run(app)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.err == "error: file: bad value; mend it\n"
    assert output.out == ""


def test_other_errors_are_not_hidden() -> None:
    def app() -> None:
        raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        run(app)


def test_an_app_without_arguments_shows_its_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app("What this is for.")
    app.command()(lambda: None)
    app.command("other")(lambda: None)
    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(SystemExit) as caught:
        run(app)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert "What this is for." in output.out + output.err
    assert "completion" not in output.out + output.err


def test_an_error_comes_back_whole_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(InputError("names.tsv", "no tab", "write one", line=3)))
    assert str(error) == "names.tsv:3: no tab; write one"


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def app() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "shard.parquet")

    with pytest.raises(SystemExit) as stop:
        run(app)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: shard.parquet: No space left on device; make room and run")


def test_other_errors_of_the_system_keep_their_traceback() -> None:
    def app() -> None:
        raise OSError(errno.EIO, "broken disk")

    with pytest.raises(OSError, match="broken disk"):
        run(app)
