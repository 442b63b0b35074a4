"""datatrove's executors, made safe against dying workers: a killed worker never hangs a run.

datatrove's own local and Ray executors hand tasks to a `multiprocess.Pool`, which waits forever for a task whose
process was killed (out of memory). Here `concurrent.futures` and Ray's own tasks take its place; tasks, logs and marks
of completion are datatrove's.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from copy import deepcopy
from multiprocessing.connection import Connection
from typing import Any

from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.executor.ray import RayPipelineExecutor
from datatrove.utils.logging import setup_default_logger
from datatrove.utils.stats import PipelineStats

from kbioxlm.common.errors import InputError

RAY_RETRIES = 3
_PRELOADED = ["kbioxlm.dataset_scripts.corpora.stages"]


class LocalExecutor(LocalPipelineExecutor):
    """Tasks in the processes of a pool, the first in this one, or one after another in this process.

    Args:
        pool: where tasks run; None for this process.
        options: of datatrove's executor.
    """

    def __init__(self, pool: ProcessPoolExecutor | None, **options: Any):
        super().__init__(**options)
        self._pool = pool

    def run(self) -> None:
        """Run the tasks that are not complete.

        Raises:
            InputError: raised by a task, or a worker process died.
        """
        with quiet():
            ranks = self.get_incomplete_ranks()
        if self._pool is None:
            for rank in ranks:
                run_rank(deepcopy(self), rank)
            return
        try:
            futures = [self._pool.submit(run_rank, self, rank) for rank in ranks[1:]]
            for rank in ranks[:1]:  # here, while the workers start
                run_rank(deepcopy(self), rank)
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BrokenProcessPool:
            raise dead_worker("--workers") from None

    def __getstate__(self) -> dict[str, Any]:
        """Without the pool, which stays in this process."""
        return {**self.__dict__, "_pool": None}


class RayExecutor(RayPipelineExecutor):
    """Each task a Ray task, at most `workers` at once. Ray starts the task of a worker that died again."""

    def run(self) -> None:
        """Run the tasks that are not complete on the Ray cluster of this process.

        Raises:
            InputError: raised by a task, or the workers of a task died again and again.
        """
        import ray

        with quiet():
            ranks = self.get_incomplete_ranks()
        executor = ray.put(self)
        task = ray.remote(run_rank).options(
            num_cpus=self.cpus_per_task,
            memory=int(self.mem_per_cpu_gb * self.cpus_per_task * 2**30),
            max_retries=RAY_RETRIES,
        )
        waiting = iter(ranks)
        running: list[Any] = []
        try:
            while True:
                while len(running) < self.workers and (rank := next(waiting, None)) is not None:
                    running.append(task.remote(executor, rank))
                if not running:
                    return
                finished, running = ray.wait(running, num_returns=1)
                ray.get(finished)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
            raise dead_worker("--executor ray") from None
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def run_rank(executor: PipelineExecutor, rank: int) -> PipelineStats:
    """Run one task, with datatrove's log in its file alone."""
    with quiet():
        # not the subclass's: Ray's writes its logs to a folder of the machine that all users share
        return PipelineExecutor._run_for_rank(executor, rank, local_rank=1)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep datatrove's log from standard error, which its logger takes anew for every task."""
    stream, sys.stderr = sys.stderr, io.StringIO()
    setup_default_logger()
    try:
        yield
    finally:
        sys.stderr = stream
        setup_default_logger()


def dead_worker(option: str) -> InputError:
    """The error for a worker process that was killed."""
    return InputError(
        option,
        "a worker process died, most likely because memory ran out",
        "run the same command again, perhaps with fewer workers: what was finished is kept",
    )


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool of `workers` fresh processes, or None for a single worker.

    The processes end at once when the block fails or this process is killed: a task can be stopped anywhere, and
    one that lived on would write beside the next run.
    """
    if workers == 1:
        yield None
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with, initargs=(receiver,))
    try:
        yield pool
        pool.shutdown()
    finally:
        sender.close()
        pool.shutdown(cancel_futures=True)
        receiver.close()


def _end_with(receiver: Connection) -> None:
    """End this process when the other end of `receiver` is closed, by whatever end of its owner."""

    def watch() -> None:
        receiver.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
