"""Asking a translator for all of many texts: each once, in batches, patiently, and with every answer kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.protocol import Answer, TransientError, Translator, UnusableAnswerError

Batch = list[str]


@dataclass(frozen=True)
class Patience:
    """How long a batch is tried again: the wait doubles from try to try, times a random number from 0 to 1.

    Attributes:
        attempts: tries of a batch before the run stops.
        first_wait: seconds, the most that is waited after the first try.
        longest_wait: seconds, the most that is ever waited, a server's own Retry-After included.
    """

    attempts: int = 8
    first_wait: float = 1.0
    longest_wait: float = 300.0


PATIENCE = Patience()


def translate_all(
    translator: Translator,
    texts: Sequence[str],
    source: str,
    target: str,
    cache: AnswerCache,
    progress: Callable[[int], object],
    patience: Patience = PATIENCE,
) -> list[Answer]:
    """One answer a text, in order; only texts without an answer in `cache` are asked, each once.

    Every batch is stored as soon as it is answered. A batch whose answer is unusable is asked text by text; a
    single text whose answer is unusable has none.

    Args:
        progress: called with the number of different texts that were answered since the last call.

    Raises:
        InputError: a batch failed for good, or too often. What came before is in `cache`.
    """
    answers = cache.get(translator.identity, source, target, list(dict.fromkeys(texts)))
    progress(len(answers))
    # texts of like length in one batch need little padding
    missing = sorted({text for text in texts if text not in answers}, key=lambda text: (len(text), text))
    size = translator.batch_size
    batches = [missing[start : start + size] for start in range(0, len(missing), size)]
    for answered in _answered(translator, batches, source, target, patience):
        cache.put(translator.identity, source, target, answered)
        answers.update(answered)
        progress(len(answered))
    return [answers[text] for text in texts]


def _answered(
    translator: Translator, batches: Sequence[Batch], source: str, target: str, patience: Patience
) -> Iterator[dict[str, Answer]]:
    """Answers batch by batch, in no particular order. After a failure, those under way are still waited for."""
    queue = deque(batches)
    pending: dict[Future[list[Answer]], Batch] = {}
    failure: Exception | None = None
    with ThreadPoolExecutor(translator.concurrent) as pool:
        while pending or (queue and failure is None):
            while queue and failure is None and len(pending) < translator.concurrent:
                batch = queue.popleft()
                pending[pool.submit(_ask, translator, batch, source, target, patience)] = batch
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                batch = pending.pop(future)
                try:
                    yield dict(zip(batch, future.result(), strict=True))
                except UnusableAnswerError:
                    if len(batch) == 1:
                        yield {batch[0]: None}
                    queue.extendleft([text] for text in reversed(batch) if len(batch) > 1)
                except Exception as error:
                    failure = failure or error
    if failure is not None:
        raise failure


def _ask(translator: Translator, batch: Batch, source: str, target: str, patience: Patience) -> list[Answer]:
    retrying = Retrying(
        stop=stop_after_attempt(patience.attempts),
        wait=_wait(patience),
        retry=retry_if_exception_type(TransientError),
        reraise=True,
    )
    try:
        return retrying(translator.translate, batch, source, target)
    except TransientError as error:
        raise InputError(
            translator.identity,
            f"no answer after {patience.attempts} tries ({error})",
            "see that it works, and run the same command again: what was answered is kept",
        ) from error


def _wait(patience: Patience) -> Callable[[RetryCallState], float]:
    growing = wait_random_exponential(multiplier=patience.first_wait, max=patience.longest_wait)

    def seconds(state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome is not None else None
        asked = failure.retry_after if isinstance(failure, TransientError) else None
        return min(max(growing(state), asked or 0.0), patience.longest_wait)

    return seconds
