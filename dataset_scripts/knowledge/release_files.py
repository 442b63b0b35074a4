"""Finding the files of a UMLS release: in a folder, or inside the distribution's zip."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from kbioxlm.common.errors import InputError, shown

REQUIRED = ("MRCONSO", "MRREL", "MRSTY")
OPTIONAL = ("MRDOC", "MRSAB")
# The full release cuts tables into MRCONSO.RRF.aa.gz, MRCONSO.RRF.ab.gz, …
MEMBER = re.compile(rf"({'|'.join(REQUIRED + OPTIONAL)})\.RRF(?:\.((?!gz)[a-z]{{2}}))?(\.gz)?")
NESTED = (".zip", ".nlm")
DEEPEST = 2


@dataclass(frozen=True)
class ReleaseFile:
    """One table of a release: where it can be read, and what errors call it."""

    table: str
    path: Path
    place: str | Path


ReleaseFiles = dict[str, ReleaseFile]


def release_files(release: Path, scratch: Path) -> ReleaseFiles:
    """The tables MRCONSO, MRREL and MRSTY of `release`, and MRDOC and MRSAB if it has them.

    Args:
        release: a folder with the files, plain or `.gz`; a folder with such a folder META in it, at most one level
            down (`2024AA/META`); or a zip with them, whose files are extracted to `scratch` under fixed names.

    Raises:
        InputError: nothing there, a table that is missing, in several places or damaged, or a zip whose entries
            climb out of it.
    """
    if release.is_dir():
        return _of_folder(release)
    if not release.is_file():
        remedy = "give the folder that holds MRCONSO.RRF, MRREL.RRF and MRSTY.RRF, or the release's zip"
        raise InputError(release, "no such folder", remedy)
    return _of_zip(release, scratch)


def _of_folder(folder: Path) -> ReleaseFiles:
    folders = [folder, folder / "META", *sorted(folder.glob("*/META"))]
    holding = [place for place in folders if any(_find(place, table) for table in REQUIRED)]
    if len(holding) > 1:
        found = ", ".join(str(place) for place in holding)
        raise InputError(folder, f"holds several releases: {found}", "give the folder of one of them")
    folder = holding[0] if holding else folder
    files: ReleaseFiles = {}
    for table in REQUIRED + OPTIONAL:
        path = _find(folder, table)
        if path is not None:
            files[table] = ReleaseFile(table, path, path)
        elif table in REQUIRED:
            remedy = f"put {table}.RRF or {table}.RRF.gz into the folder"
            raise InputError(folder / f"{table}.RRF", "no such file", remedy)
    return files


def _find(folder: Path, table: str) -> Path | None:
    paths = (folder / f"{table}.RRF", folder / f"{table}.RRF.gz")
    return next((path for path in paths if path.is_file()), None)


@dataclass(frozen=True)
class _Member:
    archive: zipfile.ZipFile
    entry: zipfile.ZipInfo
    table: str
    part: str
    suffix: str


def _of_zip(release: Path, scratch: Path) -> ReleaseFiles:
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as opened:
            members = list(_members(release, release, scratch, opened))
            by_table = {table: [each for each in members if each.table == table] for table in REQUIRED + OPTIONAL}
            for table in REQUIRED:
                if not by_table[table]:
                    remedy = "give the META part of a release"
                    raise InputError(release, f"no {table}.RRF or {table}.RRF.gz in it", remedy)
            return {table: _extracted(release, scratch, found) for table, found in by_table.items() if found}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(release, f"not a readable zip ({error})", "fetch the file again") from error


def _members(release: Path, path: Path, scratch: Path, opened: ExitStack, depth: int = 1) -> Iterator[_Member]:
    archive = opened.enter_context(zipfile.ZipFile(path))
    for number, entry in enumerate(archive.infolist()):
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise InputError(release, f"an entry climbs out of the zip: {shown(entry.filename)}", "fetch another copy")
        if entry.is_dir():
            continue
        if entry.flag_bits & 1:
            raise InputError(release, f"the entry {shown(entry.filename)} is encrypted", "unpack it first")
        if match := MEMBER.fullmatch(name.name):
            yield _Member(archive, entry, match[1], match[2] or "", match[3] or "")
        elif name.suffix in NESTED and depth < DEEPEST:
            nested = scratch / f"nested-{depth}-{number}.zip"
            with nested.open("wb") as stream:
                _copy(release, archive, entry, stream, scratch)
            if zipfile.is_zipfile(nested):
                yield from _members(release, nested, scratch, opened, depth + 1)


def _extracted(release: Path, scratch: Path, members: list[_Member]) -> ReleaseFile:
    """The parts of one table, one after the other, in a file of our own name. Parts of gzip data are gzip data."""
    members = sorted(members, key=lambda member: member.part)
    parts = [member.part for member in members]
    table, suffix = members[0].table, members[0].suffix
    listed = ", ".join(member.entry.filename for member in members)
    if len(set(parts)) < len(parts) or ("" in parts and len(parts) > 1) or len({each.suffix for each in members}) > 1:
        raise InputError(release, f"holds several files of {table}: {listed}", "give a zip of one release")
    if parts[0] and parts != [_part(number) for number in range(len(parts))]:
        raise InputError(release, f"parts of {table} are missing, it has only {listed}", "fetch the whole release")
    path = scratch / f"{table}.RRF{suffix}"
    with path.open("wb") as stream:
        for member in members:
            _copy(release, member.archive, member.entry, stream, scratch)
    return ReleaseFile(table, path, f"{release}:{members[0].entry.filename if len(members) == 1 else table}")


def _part(number: int) -> str:
    return chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def _copy(release: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: IO[bytes], scratch: Path) -> None:
    """Extract `entry` to `target`, not a byte more than the zip declares, nor more than there is room for."""
    free = shutil.disk_usage(scratch).free
    if entry.file_size > free:
        raise InputError(
            scratch.parent,
            f"{entry.file_size:,} bytes are needed for {entry.filename}, {free:,} are free",
            "make room, or write to another disk",
        )
    before = target.tell()
    name = PurePosixPath(entry.filename).name
    with archive.open(entry) as source, tqdm(total=entry.file_size, desc=name, unit="B", unit_scale=True) as progress:
        while block := source.read(1 << 20):
            if target.tell() - before + len(block) > entry.file_size:
                break
            target.write(block)
            progress.update(len(block))
        else:
            if target.tell() - before == entry.file_size:
                return
    raise InputError(
        release, f"{entry.filename} has another size than the {entry.file_size:,} bytes declared", "fetch it again"
    )
