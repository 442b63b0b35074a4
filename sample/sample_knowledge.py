"""The hand-written knowledge of the sample: concepts, relations, doses, laboratory values, and their UMLS files."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "source"
VOCABULARY = "KBXS"
LANGUAGES = {"en": "ENG", "zh": "CHI"}
LABELS = {
    "disease": "Disease",
    "disease_class": "Disease",
    "drug": "Drug",
    "drug_class": "Drug",
    "symptom": "Symptom",
}
# Number in the semantic network's tree, and name, of each semantic type in concepts.tsv.
SEMANTIC_TYPES = {
    "T004": ("A1.1.3.3", "Fungus"),
    "T005": ("A1.1.4", "Virus"),
    "T007": ("A1.1.2", "Bacterium"),
    "T023": ("A1.2.3.1", "Body Part, Organ, or Organ Component"),
    "T031": ("A1.4.2", "Body Substance"),
    "T037": ("B2.3", "Injury or Poisoning"),
    "T047": ("B2.2.1.2.1", "Disease or Syndrome"),
    "T048": ("B2.2.1.2.1.1", "Mental or Behavioral Dysfunction"),
    "T060": ("B1.3.1.2", "Diagnostic Procedure"),
    "T061": ("B1.3.1.3", "Therapeutic or Preventive Procedure"),
    "T121": ("A1.4.1.1.1", "Pharmacologic Substance"),
    "T125": ("A1.4.1.1.3.2", "Hormone"),
    "T126": ("A1.4.1.1.3.3", "Enzyme"),
    "T127": ("A1.4.1.1.3.4", "Vitamin"),
    "T129": ("A1.4.1.1.3.5", "Immunologic Factor"),
    "T184": ("A2.2.2", "Sign or Symptom"),
    "T191": ("B2.2.1.2.1.2", "Neoplastic Process"),
    "T195": ("A1.4.1.1.1.1", "Antibiotic"),
    "T204": ("A1.1.3", "Eukaryote"),
}


@dataclass(frozen=True)
class Concept:
    """One row of concepts.tsv; `names[language][0]` is the preferred name."""

    id: str
    kind: str
    semantic_type: str
    plural: bool
    tags: frozenset[str]
    names: dict[str, tuple[str, ...]]

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def label(self) -> str | None:
        """The entity type of this concept's mentions in the NER files."""
        return LABELS.get(self.kind)


@dataclass(frozen=True)
class Laboratory:
    """A laboratory value that fits a disease (or every disease of a class)."""

    low: float
    high: float
    decimals: int
    phrase: dict[str, str]


class Knowledge:
    """Concepts by preferred English name, and the relations between them in both directions."""

    def __init__(self) -> None:
        self.concepts: dict[str, Concept] = {}
        self._kinds: dict[tuple[str, ...], list[Concept]] = {}
        for row in _table("concepts.tsv"):
            names = {language: (row[language], *_listed(row[f"{language}_synonyms"], ";")) for language in LANGUAGES}
            self.concepts[row["en"]] = Concept(
                id=row["concept"],
                kind=row["kind"],
                semantic_type=row["semantic_type"],
                plural=row["number"] == "plural",
                tags=frozenset(_listed(row["tags"], ",")),
                names=names,
            )
        self.relations: list[tuple[Concept, str, Concept]] = []
        self._objects: dict[tuple[Concept, str], list[Concept]] = defaultdict(list)
        self._subjects: dict[tuple[str, Concept], list[Concept]] = defaultdict(list)
        for row in _table("relations.tsv"):
            subject, relation, object_ = self.concepts[row["subject"]], row["relation"], self.concepts[row["object"]]
            self.relations.append((subject, relation, object_))
            self._objects[subject, relation].append(object_)
            self._subjects[relation, object_].append(subject)
        self.doses = {self.concepts[row["drug"]]: (row["amount"], int(row["frequency"])) for row in _table("doses.tsv")}
        self._laboratory: dict[Concept, list[Laboratory]] = defaultdict(list)
        for row in _table("labs.tsv"):
            self._laboratory[self.concepts[row["concept"]]].append(
                Laboratory(float(row["low"]), float(row["high"]), int(row["decimals"]), {x: row[x] for x in LANGUAGES})
            )

    def objects(self, subject: Concept, relation: str) -> list[Concept]:
        """What `subject` stands in `relation` to."""
        return self._objects.get((subject, relation), [])

    def subjects(self, relation: str, object_: Concept) -> list[Concept]:
        """What stands in `relation` to `object_`."""
        return self._subjects.get((relation, object_), [])

    def of_kind(self, *kinds: str) -> list[Concept]:
        """All concepts of these kinds, in the order of the table."""
        if kinds not in self._kinds:
            self._kinds[kinds] = [concept for concept in self.concepts.values() if concept.kind in kinds]
        return self._kinds[kinds]

    def is_vaccine(self, concept: Concept) -> bool:
        """Vaccines are drugs that no sentence about taking or stopping a drug fits."""
        return self.concepts["vaccine"] in self.objects(concept, "isa")

    def laboratory(self, disease: Concept) -> list[Laboratory]:
        """Values that fit `disease`: its own, or else those of its classes."""
        own = self._laboratory.get(disease)
        return own or [lab for parent in self.objects(disease, "isa") for lab in self._laboratory.get(parent, [])]


def _table(name: str) -> list[dict[str, str]]:
    lines = (SOURCE / name).read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t")
    return [dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]]


def _listed(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def write_umls(knowledge: Knowledge, folder: Path) -> None:
    """Write MRCONSO.RRF, MRREL.RRF and MRSTY.RRF of `knowledge` into `folder` (UMLS rich-release format)."""
    folder.mkdir(parents=True, exist_ok=True)
    names, types, relations = [], [], []
    for concept in knowledge.concepts.values():
        for language, code in LANGUAGES.items():
            for position, name in enumerate(concept.names[language]):
                number = f"{len(names) + 1:07d}"
                status, preferred, term_type = ("S", "N", "SY") if position else ("P", "Y", "PT")
                names.append(
                    f"{concept.id}|{code}|{status}|L{number}|PF|S{number}|{preferred}|A{number}||{concept.id}||"
                    f"{VOCABULARY}|{term_type}|{concept.id}|{name}|0|N||"
                )
        tree, type_name = SEMANTIC_TYPES[concept.semantic_type]
        types.append(f"{concept.id}|{concept.semantic_type}|{tree}|{type_name}|AT{len(types) + 1:07d}||")
    # A row of MRREL reads from its second concept to its first: CUI2 RELA CUI1.
    for subject, relation, object_ in knowledge.relations:
        broad = "CHD" if relation == "isa" else "RO"
        relations.append(
            f"{object_.id}||CUI|{broad}|{subject.id}||CUI|{relation}|R{len(relations) + 1:07d}||"
            f"{VOCABULARY}|{VOCABULARY}||N|N||"
        )
    for file, rows in (("MRCONSO.RRF", names), ("MRREL.RRF", relations), ("MRSTY.RRF", types)):
        (folder / file).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", newline="\n")
