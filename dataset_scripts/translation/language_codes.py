"""How each family of translation models writes the languages that are ISO 639-1 codes here."""

from __future__ import annotations

# FLORES-200 codes, which NLLB uses: language (ISO 639-3) and script (ISO 15924)
FLORES = {
    "ar": "arb_Arab",
    "cs": "ces_Latn",
    "da": "dan_Latn",
    "de": "deu_Latn",
    "el": "ell_Grek",
    "en": "eng_Latn",
    "es": "spa_Latn",
    "et": "est_Latn",
    "eu": "eus_Latn",
    "fi": "fin_Latn",
    "fr": "fra_Latn",
    "he": "heb_Hebr",
    "hr": "hrv_Latn",
    "hu": "hun_Latn",
    "it": "ita_Latn",
    "ja": "jpn_Jpan",
    "ko": "kor_Hang",
    "lv": "lvs_Latn",
    "nl": "nld_Latn",
    "no": "nob_Latn",
    "pl": "pol_Latn",
    "pt": "por_Latn",
    "ru": "rus_Cyrl",
    "sv": "swe_Latn",
    "tr": "tur_Latn",
    "uk": "ukr_Cyrl",
    "zh": "zho_Hans",
}
MBART_50 = {
    "ar": "ar_AR",
    "cs": "cs_CZ",
    "de": "de_DE",
    "en": "en_XX",
    "es": "es_XX",
    "et": "et_EE",
    "fi": "fi_FI",
    "fr": "fr_XX",
    "he": "he_IL",
    "hr": "hr_HR",
    "it": "it_IT",
    "ja": "ja_XX",
    "ko": "ko_KR",
    "lv": "lv_LV",
    "nl": "nl_XX",
    "pl": "pl_PL",
    "pt": "pt_XX",
    "ru": "ru_RU",
    "sv": "sv_SE",
    "tr": "tr_TR",
    "uk": "uk_UA",
    "zh": "zh_CN",
}
# M2M100 uses ISO 639-1 itself, without Basque
M2M_100 = {code: code for code in FLORES if code != "eu"}
# Opus-MT models write >>code<< in several ways; the first that a model knows is meant
_OPUS_FIRST = {
    "ar": ("arb", "ara"),
    "lv": ("lav", "lvs"),
    "no": ("nob", "nor", "nb"),
    "pt": ("por", "pt", "pt_PT", "pt_BR", "pt_br"),
    "zh": ("cmn_Hans", "zho_Hans", "cmn", "zho", "chi", "zh_CN", "zh_cn"),
}


def opus_codes(language: str) -> tuple[str, ...]:
    """The codes by which an Opus-MT model may know `language`, the most exact first."""
    flores = FLORES[language]
    return (*_OPUS_FIRST.get(language, ()), flores, flores.split("_")[0], language)


def script_of(language: str) -> str:
    """ISO 15924 code of the script in which `language` is written here."""
    return FLORES[language].split("_")[1]
