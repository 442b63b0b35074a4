"""Makes the small knowledge base of the Space from the repository's embedded sample, by the repository's own command.

    python spaces/make_knowledge_base.py OUTPUT      # from the repository, where kbioxlm is installed

The sample is in the format of the UMLS, which has no place for the terms of anything else. Here its names are written
as babelon, whose header states licence and version, so that the Space can show both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = "2026-11-26"  # of the sample
HEADER = f"""#title: Embedded sample of KBioXLM
#profile_version: {VERSION}
#license: Apache-2.0
"""
COLUMNS = (
    *("source_language", "source_value", "subject_id", "predicate_id", "translation_language", "translation_value"),
    "translation_status",
)


def babelon(names: Path) -> str:
    """The names of an MRCONSO file as a babelon table."""
    preferred: dict[tuple[str, str], str] = {}
    others: list[tuple[str, str, str]] = []
    for line in names.read_text(encoding="utf-8").splitlines():
        fields = line.split("|")
        concept, language, name, is_preferred = fields[0], fields[1], fields[14], fields[2] == "P" and fields[6] == "Y"
        if is_preferred and (concept, language) not in preferred:
            preferred[concept, language] = name
        else:
            others.append((concept, language, name))
    rows = [COLUMNS]
    for (concept, language), name in sorted(preferred.items()):
        if language == "ENG":
            chinese = preferred[concept, "CHI"]
            rows.append(("en", name, concept, "rdfs:label", "zh", chinese, "OFFICIAL"))
    for concept, language, name in others:
        code = "en" if language == "ENG" else "zh"
        rows.append(("", "", concept, "oboInOwl:hasExactSynonym", code, name, "OFFICIAL"))
    return HEADER + "".join("\t".join(row) + "\n" for row in rows)


def main(output: str) -> None:
    """Build the knowledge base at `output`."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kbioxlm-sample.babelon.tsv"
        source.write_text(babelon(ROOT / "sample" / "umls" / "MRCONSO.RRF"), encoding="utf-8")
        command = ["dataset_scripts/knowledge_base.py", "build", "--source", str(source), "--languages", "en,zh"]
        subprocess.run([sys.executable, *command, "--output", str(Path(output).resolve())], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
