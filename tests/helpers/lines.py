"""Generated captions in ten scripts, with what tokenizers stumble over; the same everywhere."""

import random

# Words of each script; the ranges give letters for words that nobody has seen.
WORDS = {
    "latin": "a dog dogs running on the grass café naïve Straße ÅNGSTRÖM İstanbul don't we'll "
    "it's they're I'd bœuf Łódź señor über garçon smörgåsbord façade Tiếng Việt",
    "cyrillic": "собака бежит по траве красный дом ёлка объезд Киев їжак Ўзбекистон ЩУКА кот",
    "greek": "σκύλος τρέχει στο γρασίδι ΣΟΦΟΣ ΟΔΟΣ άνθρωπος ὕδωρ καὶ ψυχή Ἀθῆναι γάτα",
    "arabic": "كلب يجري على العشب الأحمر بَيْتٌ مُحَمَّد ﷺ لا گربه چهار پنج آب ١٢٣",
    "hebrew": "כלב רץ על הדשא האדום שָׁלוֹם בַּיִת חתול ילדים בְּרֵאשִׁית ירושלים",
    "devanagari": "कुत्ता घास पर दौड़ रहा है लाल घर क्षत्रिय हिन्दी ज़मीन विद्या १२३४५६ बिल्ली",
    "thai": "สุนัขวิ่งบนหญ้า บ้านสีแดง น้ำ กำลัง แมวนอน เด็กเล่น ภาษาไทย ๑๒๓ ที่นี่",
    "chinese": "一只狗在草地上奔跑 红色的房子 两个孩子 貓 漢字 這隻狗 ２０２４年 北京市 㐂",
    "japanese": "犬が芝生を走る 赤い家 ねこ カタカナ ﾊﾝｶｸ 東京都 パーティー 「こんにちは」 ㍿ 々",
    "korean": "개가 잔디 위를 달린다 빨간 집 고양이 한국어 한글 두 아이가 놀고 있다",
}
RANGES = {
    "latin": (0x61, 0x17F),
    "cyrillic": (0x410, 0x45F),
    "greek": (0x391, 0x3CE),
    "arabic": (0x621, 0x64A),
    "hebrew": (0x5D0, 0x5EA),
    "devanagari": (0x905, 0x939),
    "thai": (0xE01, 0xE30),
    "chinese": (0x4E00, 0x9FA5),
    "japanese": (0x3041, 0x3096),
    "korean": (0xAC00, 0xD7A3),
}
OTHERS = [
    *("🐶", "👩‍👩‍👧‍👦", "👍🏽", "🇯🇵", "❤️", "☃", "🏳️‍🌈", "1️⃣"),  # Emoji of one and of several parts.
    *(
        "e\u0301",
        "n\u0303o",
        "A\u030a",
        "o\u0302\u0323",
        "か\u3099",
        "क\u093c",
        "\u1112\u1161\u11ab",
    ),
    *("ＦＵＬＬ", "ｗｉｄｔｈ！", "（１２）", "￥５００", "ﾊﾟ"),
    *("ﬁne", "½", "Ⅳ", "①", "x²", "℃", "㎏", "ﬀ", "Ǆ", "™"),
    *("…", "—", "“quoted”", "¿qué?", "¡", "«oui»", "、", "。", "؟", "।", "–", "·", "'s", "‘tis’"),
    *(
        "3.14",
        "1,000",
        "#tag",
        "@me",
        "50%",
        "C++",
        "a/b",
        "e-mail",
        "$5",
        "~",
        "^_^",
        "<b>",
        "\\n",
    ),
    *("co\u00adop", "zero\u200bwidth", "می\u200cخواهم", "\ufeffbom", "\u2060", "tab\u0008s"),
    *("UPPER", "CamelCase", "x" * 30, "ab" * 40, "ЁЖ", "ǅ", "ẞ"),
]
SPACES = [" "] * 24 + ["  ", "   ", "\t", "\n", " \n ", "\u00a0", "\u2009", "\u3000", "\u2028", ""]


def lines(count: int, seed: int = 0, invented: bool = True) -> list[str]:
    """Returns captions of 1 to 12 words; each is mostly of one script, and all take turns.

    Args:
        count: How many.
        seed: Decides them.
        invented: Whether letters in any order are among the words.
    """
    rng = random.Random(seed)
    scripts = sorted(WORDS)
    return [_line(rng, scripts[place % len(scripts)], invented) for place in range(count)]


def _line(rng: random.Random, script: str, invented: bool) -> str:
    parts = []
    for _ in range(rng.randrange(1, 13)):
        parts += [_word(rng, script, invented), SPACES[rng.randrange(len(SPACES))]]
    line = "".join(parts)
    kind = rng.randrange(12)
    if kind == 0:
        return line.upper()
    if kind == 1:
        return rng.choice([" ", "  ", "\t", "\n"]) + line
    return line if kind == 2 else line.strip()


def _word(rng: random.Random, script: str, invented: bool) -> str:
    kind = rng.randrange(20)
    if kind < 15 and not (invented and kind >= 12):
        return rng.choice(WORDS[script].split())
    if kind < 15:
        low, high = RANGES[script]
        return "".join(chr(rng.randrange(low, high + 1)) for _ in range(rng.randrange(1, 9)))
    if kind < 18:
        return rng.choice(OTHERS)
    return rng.choice(WORDS[rng.choice(sorted(WORDS))].split()) + rng.choice(".,!?;:")
