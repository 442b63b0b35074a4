"""The corpora build as a pipeline: the same bytes however it is run, and nothing lost when it is killed."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts import hub
from kbioxlm.dataset_scripts.corpora import blocks, build, execution, shards, stages
from kbioxlm.dataset_scripts.corpora.balance import balanced
from kbioxlm.dataset_scripts.corpora.build import build_corpora
from kbioxlm.dataset_scripts.corpora.execution import Execution
from kbioxlm.dataset_scripts.corpora.mixture import equal_shares, mixing_keys, pieces_of
from kbioxlm.dataset_scripts.corpora.readers import ArticlePair, read_article_pairs
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.folder import write_rows
from kbioxlm.dataset_scripts.readers.documents import Document, Withdrawal

SCRIPT = Path(__file__).parents[2] / "dataset_scripts" / "aligned_corpora.py"
NAMES = {
    "C1": ("hypertension", "高血压"),
    "C2": ("losartan", "氯沙坦"),
    "C3": ("cough", "咳嗽"),
    "C4": ("fever", "发热"),
    "C5": ("asthma", "哮喘"),
    "C6": ("headache", "头痛"),
}
SETTINGS = CorporaSettings(
    ("en", "zh"),
    seed=7,
    max_chars={"en": 60, "zh": 25},
    hold_out=1,
    passages=30,
    translation_facts=True,
    mixture=True,
)
FILES = 16


def columns(*names: str) -> pa.Schema:
    return pa.schema([(name, pa.bool_() if name == "preferred" else pa.string()) for name in names])


@pytest.fixture(scope="module")
def knowledge_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kb")
    names = [
        (concept, language, name, True, "SRC", "PT")
        for concept, both in NAMES.items()
        for language, name in zip(("en", "zh"), both, strict=True)
    ]
    names.append(("C4", "en", "pyrexia", False, "SRC", "SY"))
    write_rows(folder / "names", columns("concept", "language", "name", "preferred", "source", "term_type"), names)
    write_rows(
        folder / "relations",
        columns("subject", "object", "relation", "source"),
        [("C2", "C1", "may_treat", "SRC"), ("C5", "C3", "causes", "SRC")],
    )
    phrases = [("may_treat", "en", "may treat"), ("may_treat", "zh", "可治疗"), ("causes", "en", "causes")]
    write_rows(folder / "relation_names", columns("relation", "language", "name"), phrases)
    sources = [("SRC", "CC0-1.0", "A source", "2026")]
    write_rows(folder / "sources", columns("source", "license", "title", "version"), sources)
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, one part and one block each, which share some sentences."""
    folder = tmp_path_factory.mktemp("texts")
    rng = random.Random(0)
    for number in range(FILES):
        language = ("en", "zh")[number % 2]
        lines = []
        for text in range(20):
            words = [NAMES[rng.choice(sorted(NAMES))][number % 2] for _ in range(5)]
            sentence = (
                f"{words[0].title()} {rng.randrange(300)} with {words[1]} and {words[2]}. {words[3]} by {words[4]}."
                if language == "en"
                else f"{words[0]}{rng.randrange(300)}伴{words[1]}和{words[2]}。{words[3]}后{words[4]}。"
            )
            lines.append({"id": f"{number}-{text}", "lang": language, "text": sentence})
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{number:02d}.jsonl").write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"id": f"p{n}", "en": f"Cough {n} comes. Then fever {n} comes.", "zh": f"先有咳嗽{n}。后有发热{n}。"}
        for n in range(8)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def expected(knowledge_base: Path, texts: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of one worker."""
    folder = tmp_path_factory.mktemp("expected") / "out"
    build_corpora(knowledge_base, [texts], folder, SETTINGS, pairs)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def command(knowledge_base: Path, texts: Path, pairs: Path, output: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, str(SCRIPT), "build", "--knowledge-base", str(knowledge_base), "--text", str(texts)),
        *("--pairs", str(pairs), "--output", str(output), "--seed", "7", "--max-chars", "en=60,zh=25"),
        *("--hold-out", "1", "--passages", "30", "--translation-facts", "--mixture", *more),
    ]


def children(process: int) -> list[int]:
    """The processes that `process` started, and theirs."""
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *children(child)]
    return found


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def test_workers_and_tasks_change_nothing(
    knowledge_base: Path, texts: Path, pairs: Path, expected: Path, tmp_path: Path
) -> None:
    statistics = build_corpora(knowledge_base, [texts], tmp_path / "out", SETTINGS, pairs, Execution("local", 2, 7))
    assert contents(tmp_path / "out") == contents(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((expected / "stats.json").read_text(encoding="utf-8")) == statistics.as_dict()
    assert all(sum(counts.rows.values()) for counts in statistics.levels.values())


class UnitWatch(threading.Thread):
    """Notes every finished folder of rows with its inode while a build runs."""

    def __init__(self, work: Path):
        super().__init__(daemon=True)
        self.rows = work / "rows"
        self.seen: dict[str, set[int]] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                found = [(entry.name, entry.inode()) for entry in os.scandir(self.rows)]
            except FileNotFoundError:
                found = []
            for name, inode in found:
                if not name.startswith("."):
                    self.seen.setdefault(name, set()).add(inode)
            time.sleep(0.002)

    def __enter__(self) -> UnitWatch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    knowledge_base: Path, texts: Path, pairs: Path, expected: Path, tmp_path: Path
) -> None:
    """The whole run is killed first, then a worker of the next one; the third ends."""
    work = tmp_path / ".out.work"
    call = command(knowledge_base, texts, pairs, tmp_path / "out", "--workers", "2", "--tasks", "9")
    with UnitWatch(work) as watch:
        first = subprocess.Popen(call, stderr=subprocess.DEVNULL)
        until(lambda: len(list(work.glob("documents/*/done.json"))) >= 3)
        workers = children(first.pid)
        first.kill()
        first.wait()
        until(lambda: not any(map(is_alive, workers)))

        process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
        until(lambda: len(list(work.glob("rows/[!.]*/index.npz"))) >= 4)
        writers = (int(name.split(".")[-2].split("-")[0]) for name in drafts(work))
        os.kill(next(writer for writer in writers if writer in children(process.pid)), signal.SIGKILL)
        assert process.stderr is not None
        stderr = process.stderr.read()
        assert process.wait() == 2
        assert stderr.splitlines()[-1] == (
            "error: --workers: a worker process died, most likely because memory ran out; run the same command again, "
            "perhaps with fewer workers: what was finished is kept"
        )
        assert not (tmp_path / "out").exists()
        kept = {path.name: path.stat().st_ino for path in (work / "rows").iterdir() if not path.name.startswith(".")}
        assert 4 <= len(kept) < FILES + 2

        done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{work}: going on with an unfinished run" in done.stderr
    assert contents(tmp_path / "out") == contents(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert all(watch.seen[name] == {inode} for name, inode in kept.items())


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_changed_command_starts_anew(
    knowledge_base: Path,
    texts: Path,
    pairs: Path,
    expected: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    broken_off(knowledge_base, texts, pairs, output, replace(SETTINGS, seed=8), monkeypatch)
    assert list((tmp_path / ".out.work" / "rows").iterdir())
    build_corpora(knowledge_base, [texts], output, SETTINGS, pairs)
    assert ".out.work: left by a run with other settings or another knowledge base, removed" in capsys.readouterr().err
    assert contents(output) == contents(expected)


def broken_off(
    knowledge_base: Path,
    texts: Path,
    pairs: Path,
    output: Path,
    settings: CorporaSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A build that fails when all rows are made."""
    with monkeypatch.context() as patch:
        patch.setattr(build, "read_selection", lambda folder: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_corpora(knowledge_base, [texts], output, settings, pairs)


def test_two_runs_on_one_output_are_refused(
    knowledge_base: Path, texts: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second(folder: Path) -> None:
        build_corpora(knowledge_base, [texts], tmp_path / "out", SETTINGS, pairs)

    monkeypatch.setattr(build, "read_selection", second)
    with pytest.raises(InputError, match="out: another process is writing it; wait for its end"):
        build_corpora(knowledge_base, [texts], tmp_path / "out", SETTINGS, pairs)


def test_a_bad_file_is_one_line_and_what_was_read_is_kept(
    knowledge_base: Path, texts: Path, pairs: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / texts.name
    shutil.copytree(texts, folder)
    bad = folder / f"{FILES - 1}.jsonl"
    bad.write_bytes((texts / bad.name).read_bytes() + b'{"text": \n')
    call = command(knowledge_base, folder, pairs, tmp_path / "out", "--workers", "2")
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {bad}:21: not JSON: '{{\"text\": '")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    documents = tmp_path / ".out.work" / "documents"
    finished = {path.parent.name for path in documents.glob("*/done.json")}
    assert finished
    shutil.copyfile(texts / bad.name, bad)
    read: list[str] = []

    def reading(part: Any, target: Path) -> None:
        read.append(target.name)
        blocks.read_part(part, target)

    monkeypatch.setattr(stages, "read_part", reading)
    build_corpora(knowledge_base, [folder], tmp_path / "out", SETTINGS, pairs)
    assert len(read) + len(finished) == FILES
    assert not set(read) & finished
    assert contents(tmp_path / "out") == contents(expected)


def drafts(work: Path) -> Iterator[str]:
    """Names of what workers are writing, which hold their process ids; waits for the next."""
    while True:
        yield from (path.name for path in work.glob("rows/.*.part"))


def test_a_full_disk_is_one_line_and_the_run_goes_on(
    knowledge_base: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(1)
    words = " ".join("".join(rng.choices("abcdefghij", k=7)) for _ in range(30_000))
    text = json_line(tmp_path / "in.jsonl", {"id": "t", "lang": "en", "text": f"Cough. {words}"})
    with monkeypatch.context() as patch:
        patch.setattr(build, "read_removed", lambda folder: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_corpora(knowledge_base, [text], tmp_path / "out", SETTINGS, pairs)
    call = command(knowledge_base, text, pairs, tmp_path / "out", "--workers", "1")
    done = subprocess.run(
        call,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 2, done.stderr
    assert "File too large; make room and run the same command again" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / ".out.work").glob("rows/*/index.npz"))) >= 1
    assert not list((tmp_path / ".out.work").glob("**/.*.part"))
    build_corpora(knowledge_base, [text], tmp_path / "out", SETTINGS, pairs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out"]


def json_line(path: Path, value: dict[str, str]) -> Path:
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")
    return path


def test_numpy_gets_its_cause_back() -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        raise stages.with_cause(OSError("1114113 requested and 124968 written"))
    assert caught.value.errno == errno.ENOSPC
    other = OSError(errno.EACCES, "denied")
    assert stages.with_cause(other) is other


def test_ray_gives_the_same_bytes_and_a_killed_worker_costs_its_task(
    knowledge_base: Path, texts: Path, pairs: Path, expected: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    work = tmp_path / ".out.work"
    killed: list[int] = []

    def kill_one() -> None:
        worker = int(next(drafts(work)).split(".")[-2].split("-")[0])
        os.kill(worker, signal.SIGKILL)
        killed.append(worker)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with UnitWatch(work) as watch:
        build_corpora(knowledge_base, [texts], tmp_path / "out", SETTINGS, pairs, Execution("ray", 2, 8))
    assert killed
    assert contents(tmp_path / "out") == contents(expected)
    assert len(watch.seen) > FILES / 2
    assert all(len(inodes) == 1 for inodes in watch.seen.values())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for Slurm's commands, which run the tasks of a job one after another here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    sbatch = r"""#!/bin/bash
script="${@: -1}"
echo "$@" >> LOG
[[ "$*" == *afterok* ]] && { echo "Submitted batch job 2"; exit; }
grep '^#SBATCH' "$script" >> LOG
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")
for task in $(seq 0 $last); do
    SLURM_ARRAY_TASK_ID=$task SLURM_NODELIST=here SLURM_JOB_ID=1 bash "$script" >> LOG 2>&1
done
echo "Submitted batch job 1"
"""
    srun = '#!/bin/bash\nwhile [[ "$1" == -* ]]; do [[ "$1" == -n ]] && shift; shift; done\nexec "$@"\n'
    scripts = {"sbatch": sbatch, "srun": srun, "squeue": "#!/bin/bash\n", "scontrol": "#!/bin/bash\necho here\n"}
    for name, content in scripts.items():
        (folder / name).write_text(content.replace("LOG", str(tmp_path / "slurm.log")))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "slurm.log"


def test_slurm_gives_the_same_bytes(
    knowledge_base: Path, texts: Path, pairs: Path, expected: Path, tmp_path: Path, slurm: Path
) -> None:
    options = Execution("slurm", 2, 1, memory=6, slurm_partition="cpu", slurm_options={"account": "lab"})
    build_corpora(knowledge_base, [texts], tmp_path / "out", SETTINGS, pairs, options)
    assert contents(tmp_path / "out") == contents(expected)
    log = slurm.read_text()
    for option in ("partition=cpu", "account=lab", "mem-per-cpu=6G", "time=24:00:00", "job-name=kbioxlm-rows"):
        assert f"#SBATCH --{option}" in log


def test_errors_of_slurm_tasks_reach_the_user(
    knowledge_base: Path, pairs: Path, tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.jsonl").write_text("[1]\n")
    options = Execution("slurm", 1, 1, slurm_partition="cpu")
    with pytest.raises(InputError, match=r"bad\.jsonl:1: not a JSON object"):
        build_corpora(knowledge_base, [tmp_path / "bad.jsonl"], tmp_path / "out", SETTINGS, pairs, options)
    with pytest.raises(InputError, match="--slurm-partition: is missing"):
        build_corpora(knowledge_base, [tmp_path / "bad.jsonl"], tmp_path / "out", SETTINGS, pairs, Execution("slurm"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="--executor slurm: no sbatch on this machine"):
        build_corpora(knowledge_base, [tmp_path / "bad.jsonl"], tmp_path / "out", SETTINGS, pairs, options)


def test_tasks_are_never_more_than_the_work() -> None:
    assert Execution(workers=2).tasks_for(100) == 32
    assert Execution(workers=2).tasks_for(5) == 5
    assert Execution(tasks=7).tasks_for(100) == 7
    assert Execution("slurm", None).tasks_for(5000) == execution.MOST_TASKS


@dataclass(frozen=True)
class Part:
    """A part from memory."""

    name: str
    items: tuple[Document | Withdrawal, ...]

    def read(self) -> Iterator[Document | Withdrawal]:
        return iter(self.items)


def document(record: str, text: str, number: int = 0) -> Document:
    return Document(f"{record}-{number}", "en", text, record)


def test_later_parts_replace_and_withdraw_records(
    knowledge_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [
        Part("1", (document("a", "Cough one."), document("a", "Fever one.", 1), document("b", "Asthma one."))),
        Part("2", (document("a", "Cough two."), Withdrawal("b"), document("c", "Asthma one."), Withdrawal("d"))),
        Part("3", (document("d", "Fever four."), Document("free", "en", "Cough free."), document("e", "Cough e."))),
        Part("4", (Withdrawal("e"), document("e", "Cough back."))),
    ]
    monkeypatch.setattr(build, "parts", lambda *_: parts)
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 2)
    output = tmp_path / "out"
    statistics = build_corpora(knowledge_base, ["x"], output, replace(SETTINGS, translation_facts=False, hold_out=0))
    rows = pq.read_table(output / "monolingual").to_pylist()
    assert [row["text"] for row in rows] == ["Cough two.", "Asthma one.", "Fever four.", "Cough free.", "Cough back."]
    assert [row["id"] for row in rows] == ["a-0/0", "c-0/0", "d-0/0", "free/0", "e-0/0"]
    assert statistics.documents == {"en": 5}
    assert statistics.revised_documents == 4
    assert "4 texts as revised or withdrawn" in (output / "README.md").read_text(encoding="utf-8")


def test_small_shards_and_blocks_hold_the_same_rows(
    knowledge_base: Path, texts: Path, pairs: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 7)
    for module in (shards, sys.modules[pieces_of.__module__]):
        monkeypatch.setattr(module, "ROWS_PER_GROUP", 20)
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 100)
    build_corpora(knowledge_base, [texts], tmp_path / "out", SETTINGS, pairs)
    for level in ("monolingual", "entity", "fact", "passage"):
        files = sorted((tmp_path / "out" / level).iterdir())
        table = pa.concat_tables(pq.read_table(file) for file in files)
        assert table.to_pylist() == pq.read_table(expected / level).to_pylist()
        assert [pq.read_metadata(file).num_rows for file in files[:-1]] == [100] * (len(files) - 1)
    assert len(list((tmp_path / "out" / "monolingual").iterdir())) > 3
    mixed = [pq.read_table(file) for file in sorted((tmp_path / "out" / "mixture").iterdir())]
    assert len(mixed) > 3
    assert all({"monolingual", "entity", "fact"} <= set(table["level"].to_pylist()) for table in mixed)
    assert all({"en", "zh"} == set(table["language"].to_pylist()) for table in mixed)
    key = ("level", "id", "text")
    both = [
        sorted(tuple(row[name] for name in key) for row in table.select(key).to_pylist())
        for table in (pa.concat_tables(mixed), pq.read_table(expected / "mixture"))
    ]
    assert both[0] == both[1]


def test_statistics_are_those_of_the_files(expected: Path) -> None:
    statistics = json.loads((expected / "stats.json").read_text(encoding="utf-8"))
    for level in ("monolingual", "entity", "fact", "passage"):
        rows = pq.read_table(expected / level).to_pylist()
        counts = statistics["levels"][level]
        assert counts["rows"] == dict(sorted(Counter(row["language"] for row in rows).items()))
        for language in counts["rows"]:
            own = [row for row in rows if row["language"] == language]
            assert counts["characters"][language] == sum(len(row["text"]) + len(row["text_pair"] or "") for row in own)
        replaced = [[entity for entity in row["entities"] if entity["replaced"]] for row in rows]
        assert counts["entities_per_row"] == counted(len(row["entities"]) for row in rows)
        assert counts["replaced_per_row"] == counted(map(len, replaced))
        assert counts.get("replaced_into", {}) == counted(entity["language"] for found in replaced for entity in found)
        assert counts.get("relations", {}) == counted(span["relation"] for row in rows for span in row["relations"])
        assert counts.get("passage_relations", {}) == counted(
            row["passage_relation"] for row in rows if row["passage_relation"]
        )
    entity = statistics["levels"]["entity"]
    assert entity["replaced_into"]["en"] == entity["replaced_into"]["zh"]
    assert statistics["replaced_before_balance"]["zh"] != statistics["replaced_before_balance"]["en"]


def counted(values: Any) -> dict[str, int]:
    counter = Counter(values)
    return {str(value): counter[value] for value in sorted(counter)}


def test_the_mixture_has_equal_shares_and_streams(expected: Path, tmp_path: Path) -> None:
    statistics = json.loads((expected / "stats.json").read_text(encoding="utf-8"))
    mixture = statistics["mixture"]
    tokens = {level: sum(share["tokens"].values()) for level, share in mixture.items()}
    aligned = sum(tokens[level] for level in ("entity", "fact", "passage"))
    assert abs(tokens["monolingual"] - aligned) <= 30  # less than a row
    for level, share in mixture.items():
        assert share["rows"] <= sum(statistics["levels"][level]["rows"].values())
    stream = datasets.load_dataset(str(expected), "mixture", split="train", streaming=True, cache_dir=str(tmp_path))
    rows = list(stream)
    assert counted(row["level"] for row in rows) == counted(
        level for level, share in mixture.items() for _ in range(share["rows"])
    )
    whole = {
        (level, row["id"], row["passage_relation"]): row
        for level in mixture
        for row in pq.read_table(expected / level).to_pylist()
    }
    assert all(whole[row["level"], row["id"], row["passage_relation"]] == row for row in rows)
    first = Counter(row["level"] for row in rows[:100])
    assert len(first) >= 3
    assert max(first.values()) < 80


def test_the_card_tells_sources_sizes_and_settings(expected: Path) -> None:
    card = (expected / "README.md").read_text(encoding="utf-8")
    statistics = json.loads((expected / "stats.json").read_text(encoding="utf-8"))
    assert "| SRC | A source | 2026 | CC0-1.0 |" in card
    assert f"| 160 en, 160 zh | {FILES} files, see stats.json |" in card
    assert len(statistics["texts"][0]["files"]) == FILES
    level = statistics["levels"]["entity"]
    size = [f"{level[name]['en']:,}" for name in ("rows", "tokens", "characters")]
    assert f"| entity | en | {' | '.join(size)} |" in card
    assert "| seed | 7 |" in card
    assert "config_name: mixture" in card
    assert str(expected) not in card


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 10), st.integers(0, 2**64 - 1)), max_size=60),
)
def test_the_balance_is_that_of_taking_rows_one_by_one(rows: list[tuple[int, int, int]]) -> None:
    target = np.array([row[0] for row in rows], np.uint8)
    replaced = np.array([row[1] for row in rows], np.uint16)
    key = np.array([row[2] for row in rows], np.uint64)
    totals = Counter[int]()
    for language, amount, _ in rows:
        totals[language] += amount
    goal = min(totals.values(), default=0)
    kept = set()
    for language in totals:
        taken = 0
        for number in sorted((n for n, row in enumerate(rows) if row[0] == language), key=lambda n: (rows[n][2], n)):
            if taken + rows[number][1] <= goal:
                taken += rows[number][1]
                kept.add(number)
    assert set(np.flatnonzero(balanced(target, replaced, key)).tolist()) == kept


@given(st.integers(0, 5000), st.integers(1, 9))
def test_every_row_is_in_one_shard_of_the_mixture(rows: int, count: int) -> None:
    taken = [row for shard in range(count) for piece in pieces_of(rows, shard, count) for row in range(*piece)]
    assert sorted(taken) == list(range(rows))
    if rows >= 100 * count:
        sizes = [sum(stop - start for start, stop in pieces_of(rows, shard, count)) for shard in range(count)]
        assert max(sizes) - min(sizes) <= max(1, rows // (4 * count)) + 1


def test_the_larger_side_of_the_mixture_is_drawn_from() -> None:
    tokens = {
        "monolingual": np.full(10, 3, np.uint32),
        "entity": np.full(100, 2, np.uint32),
        "fact": np.full(100, 4, np.uint32),
    }
    keys = {
        level: mixing_keys(np.arange(len(values), dtype=np.uint64), n, 0)
        for n, (level, values) in enumerate(tokens.items())
    }
    chosen = equal_shares(tokens, keys)
    assert chosen["monolingual"].all()
    amounts = {level: int(tokens[level][chosen[level]].sum()) for level in tokens}
    assert 26 < amounts["entity"] + amounts["fact"] <= 30
    assert min(amounts.values()) > 0
    nothing = equal_shares({**tokens, "monolingual": np.zeros(0, np.uint32)}, {**keys, "monolingual": keys["fact"][:0]})
    assert not any(mask.any() for mask in nothing.values())


def test_levels_may_be_empty(knowledge_base: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "lang": "en", "text": "Nothing is known."}\n')
    settings = CorporaSettings(("en", "zh"), mixture=True)
    statistics = build_corpora(knowledge_base, [tmp_path / "in.jsonl"], tmp_path / "out", settings)
    assert {level: sum(counts.rows.values()) for level, counts in statistics.levels.items()} == {
        "monolingual": 1, "entity": 0, "fact": 0, "passage": 0,
    }  # fmt: skip
    assert datasets.get_dataset_config_names(str(tmp_path / "out")) == ["monolingual"]
    for level in ("entity", "fact", "passage", "mixture"):
        assert pq.read_table(tmp_path / "out" / level).num_rows == 0


def test_article_pairs_are_read_from_a_folder(tmp_path: Path) -> None:
    rows = [
        ("Q1", "cough text", "Cough", "咳嗽", "咳"),
        ("Q2", "fever", "Fever", "", "热"),
        ("Q3", "x", "X", None, None),
    ]
    write_rows(tmp_path / "articles", columns("id", "en", "en_title", "zh", "zh_title"), rows)
    assert list(read_article_pairs(tmp_path, ("zh", "en", "es"))) == [
        ArticlePair("Q1", {"zh": "咳嗽", "en": "cough text"})
    ]
    with pytest.raises(InputError, match=r"its articles are in en,zh, in fewer than two of en,es; give articles"):
        list(read_article_pairs(tmp_path, ("en", "es")))
    with pytest.raises(InputError, match=r"no articles/\*\.parquet in it"):
        list(read_article_pairs(tmp_path / "articles", ("en", "zh")))


def test_errors_of_the_hub_are_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(InputError, match=r"--push-to-hub: .*; write owner/name"):
        hub.require_repository("a b")
    assert hub.require_repository("lab/corpora") == "lab/corpora"
    monkeypatch.setattr(hub, "HfApi", lambda: FakeHub(OSError("[Errno 101] Network is unreachable")))
    with pytest.raises(InputError, match=r"the Hub cannot be reached \(\[Errno 101\].*hf upload lab/corpora"):
        hub.push_to_hub(tmp_path, "lab/corpora", private=True, message="Aligned corpora")
    monkeypatch.setattr(hub, "HfApi", lambda: FakeHub(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        hub.push_to_hub(tmp_path, "lab/corpora", private=True, message="Aligned corpora")
    api = FakeHub(None)
    monkeypatch.setattr(hub, "HfApi", lambda: api)
    assert hub.push_to_hub(tmp_path, "lab/corpora", private=True, message="x") == "https://hub/lab/corpora"
    assert api.calls == [
        {"repo_id": "lab/corpora", "private": True, "repo_type": "dataset", "exist_ok": True},
        {
            "repo_id": "lab/corpora",
            "folder_path": tmp_path,
            "repo_type": "dataset",
            "commit_message": "x",
            "delete_patterns": "*/part-*.parquet",
        },
    ]


class FakeHub:
    """The two calls of the Hub's client that are made."""

    def __init__(self, error: Exception | None):
        self.error = error
        self.calls: list[dict[str, Any]] = []

    def create_repo(self, repo_id: str, **options: Any) -> str:
        self.calls.append({"repo_id": repo_id, **options})
        return f"https://hub/{repo_id}"

    def upload_folder(self, **options: Any) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(options)
