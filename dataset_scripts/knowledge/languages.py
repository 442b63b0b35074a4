"""Languages: the UMLS's own codes (`LAT`) and ISO 639-1, and how a list of them is given on the command line."""

from __future__ import annotations

from kbioxlm.common.errors import InputError, shown

ISO_OF_UMLS = {
    "ARA": "ar",
    "BAQ": "eu",
    "CHI": "zh",
    "CZE": "cs",
    "DAN": "da",
    "DUT": "nl",
    "ENG": "en",
    "EST": "et",
    "FIN": "fi",
    "FRE": "fr",
    "GER": "de",
    "GRE": "el",
    "HEB": "he",
    "HUN": "hu",
    "ITA": "it",
    "JPN": "ja",
    "KOR": "ko",
    "LAV": "lv",
    "NOR": "no",
    "POL": "pl",
    "POR": "pt",
    "RUS": "ru",
    "SCR": "hr",
    "SPA": "es",
    "SWE": "sv",
    "TUR": "tr",
    "UKR": "uk",
}
UMLS_OF_ISO = {iso: umls for umls, iso in ISO_OF_UMLS.items()}
ENGLISH_NAMES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hr": "Croatian",
    "hu": "Hungarian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lv": "Latvian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "zh": "Chinese",
}


def parse_languages(value: str, option: str = "--languages", at_least: int = 1) -> tuple[str, ...]:
    """`"en,zh"` as `("en", "zh")`, in the order given.

    Raises:
        InputError: a code that is not one of the UMLS's languages, one given twice, or fewer than `at_least`.
    """
    codes = tuple(code.strip() for code in value.split(","))
    for code in codes:
        if code not in UMLS_OF_ISO:
            hint = f"write {ISO_OF_UMLS[code.upper()]!r}" if code.upper() in ISO_OF_UMLS else "give ISO 639-1 codes"
            known = ",".join(sorted(UMLS_OF_ISO))
            raise InputError(option, f"unknown language {shown(code)}", f"{hint}, separated by commas, of {known}")
    if len(set(codes)) < len(codes):
        raise InputError(option, f"a language is given twice in {shown(value)}", "give each language once")
    if len(codes) < at_least:
        raise InputError(option, f"only {shown(value)}", f"give at least {at_least} languages, such as en,zh")
    return codes
