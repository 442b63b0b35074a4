"""Where the log of a run goes while it runs: TensorBoard, trackio, or nowhere but the run's own report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from accelerate.tracking import GeneralTracker, TensorBoardTracker, TrackioTracker

from kbioxlm.common.errors import InputError
from kbioxlm.training.runs import step_of

TrackerName = Literal["tensorboard", "trackio"]
TENSORBOARD = "tensorboard"  # its folder, in the work folder and then in the output


def require_trackers(names: Sequence[TrackerName]) -> None:
    """Check that the packages of all trackers are there.

    Raises:
        InputError: one is not installed.
    """
    for name in names:
        if find_spec(name) is None:
            raise InputError(
                "recipe, report_to", f"{name!r} is not installed", f"pip install {name}, or leave it out of report_to"
            )


class Trackers:
    """The trackers of a run; on the main process alone.

    Args:
        names: which.
        work: the run's work folder; TensorBoard writes into it.
        run: the run's name.
        recipe: shown beside the curves.
        resumed: the checkpoint that the run goes on from; what was logged at later steps is void.
    """

    def __init__(
        self, names: Sequence[TrackerName], work: Path, run: str, recipe: Mapping[str, Any], resumed: Path | None
    ):
        step = 0 if resumed is None else step_of(resumed)
        self._trackers: list[GeneralTracker] = []
        for name in names:
            tracker: GeneralTracker
            if name == "tensorboard":
                tracker = TensorBoardTracker(TENSORBOARD, logging_dir=work, purge_step=step + 1)
            else:
                tracker = TrackioTracker("kbioxlm", name=run, resume="allow", config=dict(recipe))
            tracker.start()
            self._trackers.append(tracker)

    def log(self, entry: Mapping[str, float]) -> None:
        """Log an entry at its step."""
        values = {name: value for name, value in entry.items() if name != "step"}
        for tracker in self._trackers:
            tracker.log(values, step=int(entry["step"]))

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left."""
        for tracker in self._trackers:
            tracker.finish()
