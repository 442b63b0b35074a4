"""Texts that show what the model does, written for this Space. Patients and values are invented."""

from __future__ import annotations

_LONG_ENGLISH = (
    "A 64-year-old woman with type 2 diabetes mellitus, hypertension and atrial fibrillation came to the clinic. She "
    "took metformin, losartan and warfarin. Last week she was given clarithromycin for pneumonia, and two days later "
    "she noticed bruises, nausea and dizziness. Warfarin was stopped and vitamin K was given. Because of heartburn she "
    "had also been taking omeprazole. After the antibiotic ended, the nausea was gone.",
    "Her brother, 70 years old, has Parkinson disease and chronic kidney disease. Levodopa relieved the tremor, but he "
    "developed constipation and hypotension. He was treated with lactulose. Ibuprofen, which he took for back pain, "
    "made the kidney failure worse and was replaced by acetaminophen. His potassium rose, so spironolactone was ended.",
    "Their mother had died of breast cancer. She had been treated with doxorubicin and cyclophosphamide, and then with "
    "tamoxifen. Heart failure and anemia were seen after the second cycle; fever and leukopenia followed. Morphine "
    "eased the pain and caused vomiting, which ondansetron prevented.",
)
_LONG_CHINESE = (
    "一名64岁女性，患有2型糖尿病、高血压和心房颤动，前来就诊。她服用二甲双胍、氯沙坦和华法林。上周因肺炎使用克拉霉素，"
    "两天后出现瘀斑、恶心和头晕。停用华法林并给予维生素K。因胃灼热，她还在服用奥美拉唑。停用抗生素后，恶心消失。",
    "她的哥哥70岁，患有帕金森病和慢性肾脏病。左旋多巴缓解了震颤，但他出现便秘和低血压，用乳果糖治疗。他因背痛服用布洛芬，"
    "肾衰竭加重，改用对乙酰氨基酚。由于血钾升高，停用螺内酯。",
    "他们的母亲因乳腺癌去世。她曾接受多柔比星和环磷酰胺治疗，之后服用他莫昔芬。第二个疗程后出现心力衰竭和贫血，"
    "随后出现发热和白细胞减少。吗啡减轻了疼痛，但引起呕吐，昂丹司琼可以预防。",
)
EXAMPLES: dict[str, tuple[str, str]] = {
    "example_pair": (
        "The patient took aspirin for coronary heart disease and developed nausea and headache.",
        "患者因冠心病服用阿司匹林，出现恶心和头痛。",
    ),
    "example_mixed": ("患者有高血压病史，长期服用 losartan，近日出现 headache 和恶心，加用 ibuprofen 后缓解。", ""),
    "example_adverse": (
        "Severe hyponatremia was observed after treatment with carbamazepine for epilepsy.",
        "使用卡马西平治疗癫痫后出现严重低钠血症。",
    ),
    "example_ambiguous": (
        "High blood pressure was treated with amlodipine; acetaminophen was given for fever.",
        "高血压用氨氯地平治疗；发热时给予对乙酰氨基酚。",
    ),
    "example_long": ("\n\n".join(_LONG_ENGLISH), "\n\n".join(_LONG_CHINESE)),
}
