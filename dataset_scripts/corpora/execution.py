"""Where the stages of a corpora build run: this process, local processes, a Ray cluster, or Slurm."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.executors import LocalExecutor, RayExecutor, quiet, worker_pool

TASKS_PER_WORKER = 16
MOST_TASKS = 1000  # the size of a job array that every Slurm cluster takes
POLL_SECONDS = 5.0
Run = Callable[[PipelineStep, int, Path], None]


@dataclass(frozen=True)
class Execution:
    """How the work is spread; the result does not depend on it.

    Attributes:
        workers: tasks at once; None takes every core of the machine or the Ray cluster, and on Slurm every job
            that the cluster grants.
        tasks: parts into which a stage is divided; None takes enough for the workers.
        cpus: cores reserved for a task (Slurm, Ray).
        memory: GB reserved for a task (Slurm, Ray).
        ray_address: of a running cluster; None starts one on this machine.
        slurm_time: limit of a task, as sbatch takes it.
        slurm_options: further options of sbatch, without their dashes.
    """

    executor: Literal["local", "ray", "slurm"] = "local"
    workers: int | None = 1
    tasks: int | None = None
    cpus: int = 1
    memory: int = 4
    ray_address: str | None = None
    slurm_partition: str | None = None
    slurm_time: str = "24:00:00"
    slurm_options: Mapping[str, str] = field(default_factory=dict)

    def tasks_for(self, units: int) -> int:
        """The number of tasks for a stage of `units` pieces of work."""
        enough = self.tasks or (MOST_TASKS if self.workers is None else self.workers * TASKS_PER_WORKER)
        return max(1, min(units, enough, MOST_TASKS))


@contextmanager
def started(execution: Execution, failures: Path) -> Iterator[Run]:
    """A function that runs a pipeline step: `(step, tasks, folder for logs)`.

    It raises the `InputError` or the `OSError` of a full disk that a task raised, wherever the task ran.

    Args:
        failures: where tasks on machines that cannot answer leave these errors.

    Raises:
        InputError: the executor cannot be started.
    """
    if execution.executor == "local":
        workers = execution.workers or len(os.sched_getaffinity(0))
        with worker_pool(workers) as pool:
            yield lambda step, tasks, logs: LocalExecutor(
                pool if tasks > 1 else None, pipeline=[step], tasks=tasks, workers=workers, logging_dir=str(logs)
            ).run()
    elif execution.executor == "ray":
        with _ray_cluster(execution) as workers:
            yield lambda step, tasks, logs: _on_ray(execution, workers, step, tasks, logs)
    else:
        yield lambda step, tasks, logs: _on_slurm(execution, failures, step, tasks, logs)


@contextmanager
def _ray_cluster(execution: Execution) -> Iterator[int]:
    """A Ray cluster to run on; gives the number of tasks at once. One that runs already is left as it is."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError("--executor ray", "Ray is not installed", "pip install 'kbioxlm[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if execution.ray_address is None:
            options.update(num_cpus=execution.workers, include_dashboard=False)
        try:
            ray.init(address=execution.ray_address, **options)
        except ConnectionError as error:
            raise InputError(
                "--ray-address", f"no Ray cluster at {execution.ray_address} ({error})", "start one with ray start"
            ) from error
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))
        yield execution.workers or max(1, cores // execution.cpus)
    finally:
        if ours:
            ray.shutdown()


def _on_ray(execution: Execution, workers: int, step: PipelineStep, tasks: int, logs: Path) -> None:
    with quiet():  # the warning that a local folder must be shared, which --help says
        executor = RayExecutor(
            pipeline=[step],
            tasks=tasks,
            workers=workers,
            logging_dir=str(logs),
            cpus_per_task=execution.cpus,
            mem_per_cpu_gb=execution.memory / execution.cpus if execution.ray_address else 0,
        )
    executor.run()


def _on_slurm(execution: Execution, failures: Path, step: PipelineStep, tasks: int, logs: Path) -> None:
    if execution.slurm_partition is None:
        raise InputError("--slurm-partition", "is missing", "say on which partition the tasks run")
    with quiet():
        executor = SlurmPipelineExecutor(
            pipeline=[step],
            tasks=tasks,
            time=execution.slurm_time,
            partition=execution.slurm_partition,
            cpus_per_task=execution.cpus,
            mem_per_cpu_gb=math.ceil(execution.memory / execution.cpus),
            workers=execution.workers or -1,
            job_name=f"kbioxlm-{step.name}",
            qos="",
            env_command=f'export PATH="{Path(sys.executable).parent}:$PATH"',
            logging_dir=str(logs),
            sbatch_args=dict(execution.slurm_options),
        )
        try:
            executor.run()
        except FileNotFoundError as error:
            raise InputError(
                "--executor slurm", f"no {error.filename} on this machine", "run it where jobs are submitted"
            ) from error
        except subprocess.CalledProcessError as error:
            raise InputError(
                "--executor slurm", f"sbatch ended with exit code {error.returncode}", "see its message above"
            ) from error
    while (missing := _missing(executor)) and _is_queued(executor.job_id):
        time.sleep(POLL_SECONDS)
    if missing and (missing := _missing(executor)):
        _raise_failure(failures)
        raise InputError(
            "--executor slurm",
            f"{len(missing)} of {tasks} tasks of job {executor.job_id} ended without a result",
            f"see {logs}, and run the same command again: what was finished is kept",
        )


def _missing(executor: SlurmPipelineExecutor) -> list[int]:
    return executor.get_incomplete_ranks(skip_completed=True)


def _is_queued(job: str) -> bool:
    done = subprocess.run(["squeue", "--noheader", "--jobs", str(job)], capture_output=True, text=True, check=False)
    return done.returncode == 0 and bool(done.stdout.strip())


def _raise_failure(folder: Path) -> None:
    """Raise what a task on another machine left in `folder` before it ended, if there is anything.

    Raises:
        InputError, OSError: as the task did.
    """
    for path in sorted(folder.glob("*.json")):
        failure = json.loads(path.read_text(encoding="utf-8"))
        if "errno" in failure:
            raise OSError(failure["errno"], os.strerror(failure["errno"]), failure["filename"])
        raise InputError(*failure["parts"])
