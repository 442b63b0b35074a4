"""All words of the interface, in English and Chinese."""

from __future__ import annotations

LANGUAGES = {"en": "English", "zh": "中文"}
TEXTS: dict[str, tuple[str, str]] = {
    "title": ("KBioXLM: biomedical entities across languages", "KBioXLM：跨语言生物医学实体识别"),
    "subtitle": (
        "One model reads English and Chinese. Research only: no medical advice.",
        "一个模型同时阅读英文和中文。仅供研究使用，不构成医疗建议。",
    ),
    "language": ("Interface language", "界面语言"),
    "tab_ner": ("Entities", "实体识别"),
    "tab_compare": ("Compare", "模型对比"),
    "tab_batch": ("Batch", "批量处理"),
    "tab_about": ("About", "说明"),
    "text": ("Text: English, Chinese, or both", "文本：英文、中文或中英混合"),
    "parallel": ("The same in another language (optional)", "另一种语言的同一内容（可选）"),
    "limit_info": ("At most {limit:,} characters.", "最多 {limit:,} 个字符。"),
    "find": ("Find entities", "识别实体"),
    "compare": ("Compare", "对比"),
    "run_batch": ("Find entities in the file", "处理文件"),
    "clear": ("Clear", "清空"),
    "examples": ("Examples", "示例"),
    "example_pair": ("A sentence and its translation", "句子及其译文"),
    "example_mixed": ("Chinese with English names", "中英混合文本"),
    "example_adverse": ("An adverse reaction", "药物不良反应"),
    "example_ambiguous": ("Names with other names", "同物异名"),
    "example_long": ("A long text", "长文本"),
    "heading_text": ("In the text", "文本中的实体"),
    "heading_parallel": ("In the parallel text", "平行文本中的实体"),
    "heading_concepts": ("What the knowledge base knows", "知识库中的信息"),
    "heading_pairs": ("Aligned entities", "对齐的实体"),
    "none_found": ("No entities were found.", "未识别到实体。"),
    "found_count": ("{count} found", "{count} 个"),
    "no_text": ("Enter a text first.", "请先输入文本。"),
    "too_long": (
        "The text has {length:,} characters; at most {limit:,} are read at once. Use the batch page, or a part of it.",
        "文本共 {length:,} 个字符，一次最多处理 {limit:,} 个字符。请截取部分内容，或使用批量处理。",
    ),
    "not_text": ("Give text, not {found}.", "请提供文本，而不是 {found}。"),
    "column_number": ("No.", "编号"),
    "column_words": ("Words", "文本"),
    "column_label": ("Type", "类型"),
    "column_score": ("Confidence", "置信度"),
    "column_concept": ("Concept", "概念"),
    "column_en": ("English name", "英文名称"),
    "column_zh": ("Chinese name", "中文名称"),
    "column_source": ("Source, licence", "来源与许可"),
    "column_pair": ("Aligned with", "对齐到"),
    "column_by": ("Why", "依据"),
    "unknown": ("not in the knowledge base", "知识库中没有"),
    "ambiguous": ("ambiguous: {count} concepts have this name", "有歧义：{count} 个概念使用此名称"),
    "by_concept": ("same concept", "同一概念"),
    "by_similarity": ("similar vectors", "向量相似"),
    "similarity": ("similarity {value:.2f}", "相似度 {value:.2f}"),
    "no_pair": ("no counterpart", "无对应实体"),
    "only_here": ("only here", "仅此模型"),
    "by_both": ("both", "两者一致"),
    "agreement": (
        "Both find {both}; only {first}: {only_first}; only {second}: {only_second}.",
        "两者一致：{both}；仅 {first}：{only_first}；仅 {second}：{only_second}。",
    ),
    "no_compare": ("No second model is configured.", "未配置第二个模型。"),
    "file": (".txt, .jsonl or .pubtator", ".txt、.jsonl 或 .pubtator 文件"),
    "file_help": (
        "`.txt`: one document a line. `.jsonl`: one `{{\"id\": …, \"text\": …}}` a line. `.pubtator`: title and "
        "abstract "
        "of each document; annotations in it are passed over. UTF-8, at most {upload:,} bytes, {documents:,} "
        "documents, "
        "{characters:,} characters a document. The file is deleted when it was read; what can be downloaded is "
        "deleted after {minutes} min.",
        "`.txt`：每行一篇文档。`.jsonl`：每行一个 `{{\"id\": …, \"text\": …}}`。`.pubtator`：每篇文档的标题和摘要，"
        "其中已有的标注会被忽略。须为 UTF-8 编码，最多 {upload:,} 字节、{documents:,} 篇文档，"
        "每篇最多 {characters:,} 个字符。"
        "文件读取后立即删除，结果文件保留 {minutes} 分钟。",
    ),
    "no_file": ("Choose a file first.", "请先选择文件。"),
    "file_address": ("Upload the file: addresses are not fetched.", "请上传文件，不会从网址下载。"),
    "file_gone": ("The file is not there any more. Upload it again.", "文件已被删除，请重新上传。"),
    "file_kind": (
        "Files of this kind are not read. Upload .txt, .jsonl or .pubtator, not packed.",
        "不支持此类文件。请上传未压缩的 .txt、.jsonl 或 .pubtator 文件。",
    ),
    "file_large": (
        "The file has {size:,} bytes; at most {limit:,} are read.", "文件共 {size:,} 字节，最多处理 {limit:,} 字节。",
    ),
    "file_empty": ("There is no document in the file.", "文件中没有文档。"),
    "file_packed": (
        "This is a packed file under another name. Unpack it first.", "这是改了扩展名的压缩文件，请先解压。",
    ),
    "file_binary": ("line {line}: this is not a text file.", "第 {line} 行：这不是文本文件。"),
    "file_encoding": (
        "line {line}: not UTF-8 text. Convert the file to UTF-8.",
        "第 {line} 行：不是 UTF-8 文本，请转换编码。",
    ),
    "file_documents": (
        "line {line}: more than {limit:,} documents. Split the file.",
        "第 {line} 行：超过 {limit:,} 篇文档，请拆分文件。",
    ),
    "file_long": (
        "line {line}: a document of {length:,} characters; at most {limit:,} are read.",
        "第 {line} 行：文档共 {length:,} 个字符，最多处理 {limit:,} 个字符。",
    ),
    "file_json": (
        'line {line}: not a JSON object. Write {{"id": …, "text": …}} on each line.',
        '第 {line} 行：不是 JSON 对象。每行应为 {{"id": …, "text": …}}。',
    ),
    "file_key": (
        'line {line}: no "{key}", or not of the right kind. Write {{"id": "1", "text": "…"}}.',
        '第 {line} 行：缺少 "{key}" 或类型不对。应为 {{"id": "1", "text": "…"}}。',
    ),
    "file_twice": ("line {line}: a second document with the id {id}.", "第 {line} 行：文档编号 {id} 重复。"),
    "file_pubtator": (
        "line {line}: not PubTator. Each document begins with ID|t|TITLE and ID|a|ABSTRACT.",
        "第 {line} 行：不是 PubTator 格式。每篇文档以 ID|t|标题 和 ID|a|摘要 开头。",
    ),
    "batch_done": ("{documents:,} documents, {entities:,} entities.", "{documents:,} 篇文档，{entities:,} 个实体。"),
    "batch_format": (
        "There is no format {format}. Choose from {choices}.", "没有 {format} 格式，请选择：{choices}。",
    ),
    "downloads": ("Download as", "下载格式"),
    "reading": ("Reading documents", "正在处理文档"),
    "failed": ("Something went wrong here; the text was not kept. Try again.", "出现内部错误，文本未被保留，请重试。"),
    "setting_number": ("{name}={value}: give a whole number above 0.", "{name}={value}：应为大于 0 的整数。"),
    "setting_model": (
        "{value}: no biomedical-ner model can be loaded there ({reason}). Set KBIOXLM_MODEL or KBIOXLM_COMPARE "
        "to a folder "
        "or Hub id of one.",
        "{value}：无法加载 biomedical-ner 模型（{reason}）。"
        "请将 KBIOXLM_MODEL 或 KBIOXLM_COMPARE 设为模型目录或 Hub 编号。",
    ),
    "setting_knowledge": (
        "{value}: no knowledge base can be read there ({reason}). Set KBIOXLM_KNOWLEDGE_BASE to a folder or Hub "
        "data set "
        "that knowledge_base.py build has written.",
        "{value}：无法读取知识库（{reason}）。"
        "请将 KBIOXLM_KNOWLEDGE_BASE 设为 knowledge_base.py build 生成的目录或 Hub 数据集。",
    ),
    "knowledge_state": (
        "Knowledge base: {version}; {concepts:,} concepts; state {digest}.",
        "知识库：{version}；{concepts:,} 个概念；状态 {digest}。",
    ),
    "no_version": ("its sources state no version", "来源未注明版本"),
    "fact_model": ("Model", "模型"),
    "fact_other_model": ("Second model", "第二个模型"),
    "fact_labels": ("Types", "实体类型"),
    "fact_knowledge": ("Knowledge base: date or version · concepts", "知识库：日期或版本 · 概念数"),
    "fact_digest": ("Its state (SHA-256 of the names)", "状态（名称表的 SHA-256）"),
    "fact_sources": ("Sources · version · licence", "来源 · 版本 · 许可"),
    "legend": ("Types", "实体类型"),
}  # fmt: skip

_LABELS = {
    "chem": "化学物质", "chemical": "化学物质", "dis": "疾病", "disease": "疾病", "drug": "药物", "symptom": "症状",
    "effect": "不良反应", "ade": "不良反应", "adverse_effect": "不良反应", "adverse effect": "不良反应",
}  # fmt: skip


def kind(language: str, label: str) -> str:
    """A type of entities as the interface calls it: in Chinese where it has a Chinese name here."""
    return _LABELS.get(label.lower(), label) if language == "zh" else label


def say(language: str, key: str, /, **values: object) -> str:
    """The text of `key` in `language`, English where the language is not known."""
    return TEXTS[key][language == "zh"].format(**values)
