"""Translation by a chat model behind any OpenAI-compatible server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from huggingface_hub import InferenceClient

# huggingface_hub changed its HTTP library between versions; its base class of errors is always to be had here
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from pydantic import Field

from kbioxlm.common.errors import InputError, one_line, shown
from kbioxlm.common.recipe import Recipe
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.translation.protocol import (
    Answer,
    SettingValue,
    TransientError,
    UnusableAnswerError,
    identity_of,
)

INSTRUCTION = (
    "You are a translator of biomedical terminology. Translate each numbered name from {source} into {target}, as it "
    "is written in {target} medical texts. Answer with a JSON list of exactly {count} strings, one for each name, in "
    "the same order, and with nothing else: no numbers, no notes. Give an empty string for a name that you cannot "
    "translate."
)
_TOO_BUSY = frozenset({408, 425, 429})
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class ChatSettings(Recipe):
    """A chat model in a list of translators.

    Attributes:
        url: of the server, up to and without `/chat/completions`.
        model: its name there.
        revision: whatever else tells this model from another of that name; a change asks everything anew.
        token_variable: environment variable that holds the server's token. It is never written anywhere.
        instruction: system prompt; `{source}`, `{target}` (English names of the languages) and `{count}` are filled.
        texts_per_request, requests_at_once: neither is part of the identity.
        temperature, seed, max_tokens: sent unless null.
        timeout: seconds that the server may be silent.
    """

    kind: Literal["chat"]
    url: str
    model: str
    revision: str = ""
    token_variable: str | None = None
    instruction: str = INSTRUCTION
    texts_per_request: int = Field(default=20, ge=1)
    requests_at_once: int = Field(default=4, ge=1)
    temperature: float | None = 0.0
    seed: int | None = 0
    max_tokens: int | None = Field(default=4096, ge=1)
    timeout: float = Field(default=120.0, gt=0)


class ChatTranslator:
    """Sends numbered texts and wants a JSON list with as many answers back.

    Raises:
        InputError: a URL that is none or holds a password, or an environment variable that is not set.
    """

    def __init__(self, settings: ChatSettings):
        parts = urlsplit(settings.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            # not shown: it may hold a password
            raise InputError("url", "not an http(s) URL without user and password", "give it as http://HOST:PORT/v1")
        self._settings = settings
        self._token = _token(settings.token_variable)
        # without a token of its own, huggingface_hub would send that of the user's Hub account to the server
        self._client = InferenceClient(base_url=settings.url, token=self._token or "none", timeout=settings.timeout)
        self.batch_size = settings.texts_per_request
        self.concurrent = settings.requests_at_once
        self.settings: Mapping[str, SettingValue] = settings.model_dump(
            exclude={"token_variable", "texts_per_request", "requests_at_once", "timeout"}
        )
        self.identity = identity_of(settings.model.split("/")[-1], self.settings)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        """The model's answers; an empty one where it says that it has none.

        Raises:
            TransientError: 408, 425, 429, 5xx, a timeout, no connection, or an answer that is no JSON at all.
            UnusableAnswerError: an answer that is not a JSON list of as many strings, or that was cut off.
            InputError: any other status.
        """
        names = {"source": ENGLISH_NAMES[source], "target": ENGLISH_NAMES[target], "count": str(len(texts))}
        instruction = self._settings.instruction
        for name, value in names.items():
            instruction = instruction.replace(f"{{{name}}}", value)
        numbered = (f"{number}. {json.dumps(text, ensure_ascii=False)}" for number, text in enumerate(texts, start=1))
        content = self._ask(
            [{"role": "system", "content": instruction}, {"role": "user", "content": "\n".join(numbered)}]
        )
        return _parsed(content, len(texts))

    def _ask(self, messages: list[dict[str, str]]) -> str:
        settings = self._settings
        try:
            output: Any = self._client.chat_completion(
                messages,
                model=settings.model,
                temperature=settings.temperature,
                seed=settings.seed,
                max_tokens=settings.max_tokens,
            )
        except HfHubHTTPError as error:
            raise self._failure(error) from error
        except OfflineModeIsEnabled as error:
            raise InputError("HF_HUB_OFFLINE", "is set, and forbids every request", "unset it") from error
        except HTTPError as error:
            raise TransientError(f"{type(error).__name__}: {self._safe(str(error))}") from error
        except (ValueError, TypeError) as error:
            raise TransientError(f"the answer is not that of a chat server ({self._safe(str(error))})") from error
        if not isinstance(output.choices, list) or not output.choices:
            raise TransientError(f"no choices in the answer ({self._safe(str(output))})")
        content = getattr(getattr(output.choices[0], "message", None), "content", None)
        if not isinstance(content, str):
            raise UnusableAnswerError("no text in the answer")
        if output.choices[0].finish_reason == "length":
            raise UnusableAnswerError("the answer was cut off")
        return content

    def _failure(self, error: HfHubHTTPError) -> Exception:
        status = error.response.status_code
        said = self._safe(error.server_message or str(error))
        if status in _TOO_BUSY or status >= 500:
            return TransientError(f"status {status}: {said}", _retry_after(error.response.headers.get("Retry-After")))
        return InputError(
            self._settings.url, f"the server refused with status {status} ({said})", "check url, model and token"
        )

    def _safe(self, text: str) -> str:
        """Text of a server as it may be shown: short, and without the token."""
        return shown(one_line(text.replace(self._token, "***") if self._token else text), 300)


def _token(variable: str | None) -> str:
    if variable is None:
        return ""
    token = os.environ.get(variable, "")
    if not token:
        raise InputError(variable, "the environment variable of the server's token is not set", "set it")
    return token


def _parsed(content: str, count: int) -> list[Answer]:
    content = _THOUGHTS.sub("", content).strip()
    fenced = _FENCE.match(content)
    try:
        answers = json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswerError(f"not JSON: {shown(content)}") from error
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise UnusableAnswerError(f"not a JSON list of strings: {shown(content)}")
    if len(answers) != count:
        raise UnusableAnswerError(f"{len(answers)} answers to {count} texts")
    return list(answers)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, which holds seconds or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None
