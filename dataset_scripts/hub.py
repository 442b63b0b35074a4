"""Putting a data set folder on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from kbioxlm.common.errors import InputError


def require_repository(name: str) -> str:
    """`name`, after checking that it can be a repository of the Hub ("owner/name").

    Raises:
        InputError: it cannot.
    """
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError("--push-to-hub", str(error), "write owner/name") from error
    return name


def push_to_hub(folder: Path, repository: str, private: bool) -> str:
    """Upload `folder` to the data set repository `repository`, made if there is none; gives its address.

    Raises:
        InputError: no connection, or no right to write there.
    """
    api = HfApi()
    again = f"the data set is in {folder}; upload it with: hf upload {repository} {folder} --repo-type dataset"
    try:
        url = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            repo_type="dataset",
            commit_message="Aligned corpora",
            delete_patterns="*/part-*.parquet",  # shards of an earlier data set that had more
        )
    except LocalTokenNotFoundError as error:
        raise InputError("--push-to-hub", "not logged in to the Hub", f"run hf auth login; {again}") from error
    except HfHubHTTPError as error:
        raise InputError("--push-to-hub", f"the Hub refuses: {error}", again) from error
    except Exception as error:
        if not isinstance(error, OfflineModeIsEnabled | OSError) and not _is_of_transport(error):
            raise
        raise InputError("--push-to-hub", f"the Hub cannot be reached ({error})", again) from error
    return str(url)


def _is_of_transport(error: Exception) -> bool:
    """Whether `error` is one of the HTTP client's, which differs between releases of huggingface_hub."""
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
