"""Putting a folder on the Hugging Face Hub, as a data set or as a model."""

from __future__ import annotations

import sys
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from kbioxlm.common.errors import InputError

PLACE = "--push-to-hub"  # of data scripts; errors name it


def require_repository(name: str, place: str = PLACE) -> str:
    """`name`, after checking that it can be a repository of the Hub ("owner/name").

    Args:
        place: what named it, for the message.

    Raises:
        InputError: it cannot.
    """
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(place, str(error), "write owner/name") from error
    return name


def push_to_hub(
    folder: Path,
    repository: str,
    private: bool,
    message: str,
    kind: str = "dataset",
    outdated: str | None = "*/part-*.parquet",
    place: str = PLACE,
    again: str | None = None,
) -> str:
    """Upload `folder` to the repository `repository`, made if there is none; gives its address.

    Args:
        message: of the commit.
        kind: `dataset` or `model`.
        outdated: pattern of files there that are deleted if `folder` has them no more: by default shards of an
            earlier data set that had more.
        place: what asked for it, for messages.
        again: what to do after an error; None: to upload the folder as it is.

    Raises:
        InputError: no connection, or no right to write there.
    """
    api = HfApi()
    name = {"dataset": "data set"}.get(kind, kind)
    again = again or f"the {name} is in {folder}; upload it with: hf upload {repository} {folder} --repo-type {kind}"
    try:
        url = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            repo_type=kind,
            commit_message=message,
            delete_patterns=outdated,
        )
    except LocalTokenNotFoundError as error:
        raise InputError(place, "not logged in to the Hub", f"run hf auth login; {again}") from error
    except HfHubHTTPError as error:
        raise InputError(place, f"the Hub refuses: {error}", again) from error
    except Exception as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error  # of a large file
        if isinstance(cause, HfHubHTTPError):
            raise InputError(place, f"the Hub refuses: {cause}", again) from error
        if not isinstance(cause, OfflineModeIsEnabled | OSError) and not _is_of_transport(cause):
            raise
        raise InputError(place, f"the Hub cannot be reached ({cause})", again) from error
    return str(url)


def push_model(folder: Path, repository: str, private: bool, message: str) -> None:
    """Upload a model as its recipe's `push_to_hub` asks, and say where it is, on standard error; errors as above."""
    place = "recipe, push_to_hub"
    url = push_to_hub(folder, repository, private, message, kind="model", outdated=None, place=place)
    print(f"uploaded to {url}", file=sys.stderr)


def _is_of_transport(error: BaseException) -> bool:
    """Whether `error` is one of the HTTP client's, which differs between releases of huggingface_hub."""
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
