"""The published files, from a folder or from the git repository that holds them.

A repository is fetched as the archive that its host makes of a commit. Of an archive, only the files that are read are
unpacked, each to a place that is known beforehand: names and links in it lead nowhere.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

import httpx2
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tqdm import tqdm

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import written_beside
from kbioxlm.dataset_scripts.benchmarks.published import FILES

ATTEMPTS = 5
FIRST_WAIT = 2.0  # seconds; doubled from try to try, times a random number from 0 to 1
TIMEOUT = 30.0  # seconds without an answer, or without a further byte
_ORIGIN = "origin.json"
_ARCHIVES = (".tar.gz", ".tgz")


@dataclass(frozen=True)
class Origin:
    """Where the published files are from.

    Attributes:
        folder: that holds them.
        url: of the archive that they were unpacked from; None for files that were there.
        commit: of the repository, as its host wrote it into the archive; None where it did not.
    """

    folder: Path
    url: str | None = None
    commit: str | None = None


def published_origin(source: str, keep: Path) -> Origin:
    """The folder `source`; or, if `source` is an address, `keep`, into which its published files are fetched.

    What an earlier call fetched from the same address is used again.

    Args:
        source: a folder; `https://github.com/OWNER/NAME`, with `/tree/COMMIT` for another commit than the latest; or
            the address of a `.tar.gz` archive of such a repository.

    Raises:
        InputError: an address of another kind, no answer, an archive that cannot be read or lacks a file.
    """
    if not source.startswith(("http://", "https://")):
        return Origin(Path(source))
    url = archive_address(source)
    known = _known(keep)
    if known is not None and known.url == url:
        return known
    if keep.exists() and known is None:
        raise InputError(keep, "is in the way of the files to fetch", "move it, or choose another output")
    with written_beside(keep) as draft:
        draft.mkdir(parents=True)
        archive = draft / "archive.tar.gz"
        _download(url, archive)
        origin = Origin(keep, url, _unpack(url, archive, draft))
        archive.unlink()
        record = {key: value for key, value in asdict(origin).items() if key != "folder"}
        (draft / _ORIGIN).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return origin


def archive_address(source: str) -> str:
    """The address of the archive of a repository; that of an archive itself as it is.

    Raises:
        InputError: it is neither.
    """
    parts = urlsplit(source)
    if parts.path.endswith(_ARCHIVES):
        return source
    names = [name for name in parts.path.split("/") if name]
    if parts.hostname not in ("github.com", "www.github.com") or len(names) not in (2, 4) or names[2:3] not in (
        [], ["tree"],
    ):  # fmt: skip
        raise InputError(
            "--source", f"{shown(source)} is no repository on GitHub and no {_ARCHIVES[0]} archive",
            "give https://github.com/OWNER/NAME, the address of an archive, or a folder",
        )  # fmt: skip
    commit = names[3] if len(names) == 4 else "HEAD"
    return f"https://github.com/{names[0]}/{names[1].removesuffix('.git')}/archive/{commit}.tar.gz"


def _known(folder: Path) -> Origin | None:
    try:
        record = json.loads((folder / _ORIGIN).read_text(encoding="utf-8"))
        return Origin(folder, record["url"], record["commit"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


class _TransientError(Exception):
    """Trying again may help."""


def _download(url: str, target: Path) -> None:
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=FIRST_WAIT),
        retry=retry_if_exception_type(_TransientError),
        reraise=True,
    )
    try:
        retrying(_download_once, url, target)
    except _TransientError as error:
        raise InputError(
            url, f"no answer after {ATTEMPTS} tries ({error})",
            "try again later, or fetch the repository yourself and give its folder",
        ) from error  # fmt: skip


def _download_once(url: str, target: Path) -> None:
    try:
        with httpx2.stream("GET", url, follow_redirects=True, timeout=TIMEOUT) as response:
            if response.status_code == 429 or response.status_code >= 500:
                raise _TransientError(f"status {response.status_code}")
            if response.status_code != 200:
                raise InputError(url, f"the server answers {response.status_code}", "check the address and the commit")
            size = int(response.headers.get("content-length", 0)) or None
            with target.open("wb") as file, tqdm(total=size, desc="fetching", unit="B", unit_scale=True) as bar:
                for block in response.iter_bytes():
                    file.write(block)
                    bar.update(len(block))
    except httpx2.TransportError as error:
        raise _TransientError(str(error) or type(error).__name__) from error


def _unpack(url: str, archive: Path, target: Path) -> str | None:
    """Copy the published files out of `archive` to their places below `target`, and give the archive's commit."""
    wanted = {PurePosixPath(file.as_posix()) for files in FILES.values() for file in files.values()}
    found = set()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                # the archives that hosts make hold one folder, named after repository and commit
                name = PurePosixPath(*PurePosixPath(member.name).parts[1:])
                if name not in wanted or not member.isfile():
                    continue
                stream = tar.extractfile(member)
                assert stream is not None
                _copy(stream, target / name)
                found.add(name)
            commit = tar.pax_headers.get("comment")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the data
        raise InputError(url, f"is not a whole tar.gz archive ({error})", "check the address, or try again") from error
    missing = sorted(wanted - found)
    if missing:
        raise InputError(
            url, f"{len(missing)} of {len(wanted)} files are missing in the archive, the first is {missing[0]}",
            "give the repository of KBioXLM's authors",
        )  # fmt: skip
    return commit


def _copy(stream: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with stream, target.open("wb") as file:
        shutil.copyfileobj(stream, file)
