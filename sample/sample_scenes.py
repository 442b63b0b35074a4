"""Choosing concepts, numbers and patients that fit the slots of a template and each other."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache

from sample_knowledge import Concept, Knowledge
from sample_templates import Mention, Scene, slots, write

DISEASE_SLOTS = frozenset({
    "disease", "symptom", "symptom2", "symptom3", "site", "agent", "class", "broader", "test", "treatment",
    "complication", "risk", "vaccine", "similar", "drug2", "disease2", "absent", "absent2", "tested", "classmate",
    "samesite", "lab", "temp",
})  # fmt: skip
DRUG_SLOTS = frozenset(("drug", "drug2", "effect", "effect2", "contra", "sibling", "drug_class", "dose"))
CONCEPT_SLOTS = (DISEASE_SLOTS | DRUG_SLOTS) - {"lab", "temp", "dose"} | frozenset(
    ("oral_drug", "other", "other2", "procedure", "procedure_site", "part", "whole", "vaccine_effect")
)
# A slot of these kinds starts a text of its own; what fits it is reached by one relation.
HEAD_KINDS: dict[str, tuple[str, ...]] = {
    "family": ("disease_class",),
    "group": ("drug_class",),
    "germ": ("bacterium", "virus", "fungus", "parasite"),
    "organ": ("anatomy",),
    "exam": ("test",),
    "operation": ("procedure",),
}
FITTING_SLOTS: dict[str, tuple[str, str, str]] = {
    "family_disease": ("family", "isa", "subjects"),
    "group_drug": ("group", "isa", "subjects"),
    "germ_disease": ("germ", "causative_agent_of", "objects"),
    "organ_disease": ("organ", "has_finding_site", "subjects"),
    "exam_disease": ("exam", "may_diagnose", "objects"),
    "operation_disease": ("operation", "may_treat", "objects"),
}
# Other slots are bound to fit these, so these come first.
LEADING_SLOTS = ("symptom", "class", "test", "site", "vaccine", "part", "procedure")
FREQUENCIES = {
    "en": {1: "once daily", 2: "twice daily", 3: "three times daily"},
    "zh": {1: "每日1次", 2: "每日2次", 3: "每日3次"},
}
SEX_WORDS = {"women": re.compile(r"\b(?:he|his)\b|他", re.I), "men": re.compile(r"\b(?:she|her)\b|她", re.I)}


class Filler:
    """Fills templates with concepts that fit together."""

    def __init__(self, knowledge: Knowledge, chance: random.Random):
        self.knowledge = knowledge
        self.chance = chance
        self.allowed: Callable[[Concept], bool] = lambda _: True
        self._cycles: dict[str, Iterator[Concept]] = {}

    def fill(self, templates: list[str], scene: Scene | None = None, tries: int = 60) -> Scene | None:
        """A scene, grown from `scene`, that binds every slot of `templates` (parallel ones); None if there is none."""
        wanted = [slot for template in templates for slot in slots(template)]
        for _ in range(tries):
            grown = Scene(dict(scene.concepts), dict(scene.values)) if scene else Scene()
            if self._bind_concepts(wanted, grown) and self._bind_values(wanted, grown, " ".join(templates)):
                return grown
        return None

    def _bind_concepts(self, wanted: list[str], scene: Scene) -> bool:
        for slot in _binding_order(tuple(wanted)):
            if slot in scene.concepts:
                continue
            candidates = self._candidates(slot, scene, wanted)
            used = set(scene.concepts.values())
            candidates = [c for c in candidates if c not in used and self.allowed(c)]
            if not candidates:
                return False
            scene.concepts[slot] = self.chance.choice(candidates)
        return True

    def _next(self, slot: str, concepts: list[Concept]) -> list[Concept]:
        """The next anchor in turn, so that every concept gets its texts."""

        def turns() -> Iterator[Concept]:
            while True:
                yield from self.chance.sample(concepts, len(concepts))

        if slot not in self._cycles:
            self._cycles[slot] = turns()
        return [next(self._cycles[slot])]

    def _candidates(self, slot: str, scene: Scene, wanted: list[str]) -> list[Concept]:
        know, bound = self.knowledge, scene.concepts
        disease, drug = bound.get("disease"), bound.get("drug")
        if slot in HEAD_KINDS:
            return self._next(slot, know.of_kind(*HEAD_KINDS[slot]))
        if slot.rstrip("2") in FITTING_SLOTS:
            head, relation, end = FITTING_SLOTS[slot.rstrip("2")]
            return know.subjects(relation, bound[head]) if end == "subjects" else know.objects(bound[head], relation)
        if slot == "disease":
            diseases = know.of_kind("disease")
            if drug is not None:
                return [d for d in know.objects(drug, "may_treat") if d.kind == "disease"]
            if {"child", "child_sex"}.intersection(wanted):
                return [d for d in diseases if "children" in d.tags]
            return self._next("disease", diseases)
        if slot in ("drug", "oral_drug"):
            if disease is not None:
                found = [d for d in know.subjects("may_treat", disease) if d.kind == "drug"]
            else:
                found = self._next("drug", [d for d in know.of_kind("drug") if not know.is_vaccine(d)])
            needs_dose = slot == "oral_drug" or "dose" in wanted
            return [d for d in found if d in know.doses] if needs_dose else found
        if slot in ("other", "other2"):
            chronic = [d for d in know.of_kind("disease") if "chronic" in d.tags]
            known = set(know.objects(disease, "isa")) if disease else set()
            return [d for d in chronic if not known.intersection(know.objects(d, "isa"))]
        if slot == "procedure":
            return [p for p in know.of_kind("procedure") if know.objects(p, "has_procedure_site")]
        if slot == "part":
            return [a for a in know.of_kind("anatomy") if know.objects(a, "part_of")]
        if slot == "procedure_site":
            return know.objects(bound["procedure"], "has_procedure_site")
        if slot == "whole":
            return know.objects(bound["part"], "part_of")
        if slot == "vaccine":
            return know.subjects("may_prevent", disease) if disease else []
        if slot == "vaccine_effect":
            return know.objects(bound["vaccine"], "induces")
        if slot in ("drug_class", "effect", "effect2", "contra", "disease2", "sibling"):
            return self._of_drug(slot, drug or bound["oral_drug"])
        assert disease is not None
        return self._of_disease(slot, disease, bound)

    def _of_drug(self, slot: str, drug: Concept) -> list[Concept]:
        know = self.knowledge
        if slot == "drug_class":
            return know.objects(drug, "isa")
        if slot == "contra":
            return know.objects(drug, "contraindicated_with_disease")
        if slot == "disease2":
            return know.objects(drug, "may_treat")
        if slot == "sibling":
            return [other for parent in know.objects(drug, "isa") for other in know.subjects("isa", parent)]
        return know.objects(drug, "induces")

    def _of_disease(self, slot: str, disease: Concept, bound: dict[str, Concept]) -> list[Concept]:
        know = self.knowledge
        symptoms = know.subjects("manifestation_of", disease)
        parents = know.objects(disease, "isa")
        treating = know.subjects("may_treat", disease)
        if slot.startswith("symptom"):
            return symptoms
        if slot == "drug2":
            return [d for d in treating if d.kind == "drug"]
        if slot == "treatment":
            return [d for d in treating if d.kind == "procedure"]
        if slot in ("absent", "absent2"):
            return [s for s in know.of_kind("symptom") if s not in symptoms and not s.tags]
        if slot == "similar":
            shared = [bound["symptom"]] if "symptom" in bound else symptoms
            alike = [d for symptom in shared for d in know.objects(symptom, "manifestation_of")]
            return [d for d in alike if self._confusable(disease, d)]
        if slot == "classmate":
            return [d for d in know.subjects("isa", bound["class"]) if d.kind == "disease"]
        if slot == "tested":
            return know.objects(bound["test"], "may_diagnose")
        if slot == "samesite":
            return know.subjects("has_finding_site", bound["site"])
        return {
            "site": know.objects(disease, "has_finding_site"),
            "agent": know.subjects("causative_agent_of", disease),
            "class": [p for p in parents if p.kind == "disease_class"],
            "broader": [p for p in parents if p.kind == "disease"],
            "test": know.subjects("may_diagnose", disease),
            "complication": know.subjects("due_to", disease),
            "risk": know.objects(disease, "associated_with"),
        }[slot]

    def _confusable(self, disease: Concept, other: Concept) -> bool:
        """Whether two diseases of one class share a telling symptom (one of few diseases), or two of any kind."""
        know = self.knowledge
        if not set(know.objects(disease, "isa")).intersection(know.objects(other, "isa")):
            return False
        symptoms = set(know.subjects("manifestation_of", disease))
        common = symptoms.intersection(know.subjects("manifestation_of", other))
        return len(common) > 1 or any(len(know.objects(symptom, "manifestation_of")) <= 5 for symptom in common)

    def _bind_values(self, wanted: list[str], scene: Scene, template: str) -> bool:
        """Numbers, age and sex; False where sex or laboratory values do not fit the concepts."""
        chance, values = self.chance, scene.values
        tags = {tag for concept in scene.concepts.values() for tag in concept.tags}
        if {"women", "men"} <= tags or any(tag in tags and words.search(template) for tag, words in SEX_WORDS.items()):
            return False
        female = "women" in tags or ("men" not in tags and chance.random() < 0.5)
        if "female" in values:
            female = values["female"]["en"] == "yes"
            if ("men" in tags and female) or ("women" in tags and not female):
                return False
        values["female"] = _both("yes" if female else "no")
        if {"child", "child_sex", "child_age", "achild_age"}.intersection(wanted) and {"women", "men"} & tags:
            return False
        values.setdefault("age", _both(str(chance.randint(55, 88) if "elderly" in tags else chance.randint(18, 79))))
        values.setdefault("child_age", _both(str(chance.randint(2, 12))))
        values["patient"] = {"en": "woman" if female else "man", "zh": "女" if female else "男"}
        values["child"] = {"en": "girl" if female else "boy", "zh": "女" if female else "男"}
        values["sex"], values["child_sex"] = values["patient"], values["child"]
        for slot, low, high in (
            ("days", 2, 14), ("weeks", 2, 12), ("months", 2, 18), ("years", 2, 20), ("pulse", 62, 118),
            ("percent", 3, 48), ("percent2", 3, 48), ("small", 2, 19),
        ):  # fmt: skip
            values[slot] = _both(str(chance.randint(low, high)))
        values["n"] = _both(str(chance.randint(24, 640)))
        values["bp"] = _both(f"{chance.randint(104, 158)}/{chance.randint(62, 96)}")
        return self._bind_findings(wanted, scene)

    def _bind_findings(self, wanted: list[str], scene: Scene) -> bool:
        know, chance = self.knowledge, self.chance
        disease = scene.concepts.get("disease")
        if "temp" in wanted and disease is not None:
            feverish = know.concepts["fever"] in know.subjects("manifestation_of", disease)
            tenths = chance.randint(380, 396) if feverish else chance.randint(364, 371)
            scene.values["temp"] = _both(f"{tenths / 10:.1f}")
        if "lab" in wanted:
            fitting = know.laboratory(disease) if disease else []
            if not fitting:
                return False
            lab = chance.choice(fitting)
            value = f"{chance.uniform(lab.low, lab.high):.{lab.decimals}f}"
            scene.values["lab"] = {x: phrase.replace("{value}", value) for x, phrase in lab.phrase.items()}
        if "dose" in wanted:
            dosed = know.doses.get(scene.concepts["drug"])
            if dosed is None:
                return False
            amount, times = dosed
            scene.values["dose"] = {"en": amount, "zh": amount.replace(" ", "")}
            scene.values["freq"] = {x: FREQUENCIES[x][times] for x in FREQUENCIES}
        return True

    def write(self, template: str, scene: Scene, language: str, synonyms: float = 0.3) -> tuple[str, list[Mention]]:
        """The sentence that `scene` makes of `template`, see `sample_templates.write`."""
        return write(template, scene, language, self.chance, synonyms)


@cache
def _binding_order(wanted: tuple[str, ...]) -> list[str]:
    """The concept slots to bind for these, those that others depend on first."""
    order = ["disease"] if DISEASE_SLOTS.intersection(wanted) else []
    if DRUG_SLOTS.intersection(wanted):
        order.append("oral_drug" if "oral_drug" in wanted else "drug")
    order += [slot for slot in LEADING_SLOTS if slot in wanted]
    order += [head for head in HEAD_KINDS if any(slot.startswith(f"{head}_") for slot in wanted)]
    order += [slot for slot in wanted if slot not in order]
    return [slot for slot in order if _is_concept(slot)]


def _is_concept(slot: str) -> bool:
    return slot in CONCEPT_SLOTS or slot in HEAD_KINDS or slot.rstrip("2") in FITTING_SLOTS


def _both(value: str) -> dict[str, str]:
    return {"en": value, "zh": value}
