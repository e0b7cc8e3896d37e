#!/usr/bin/env python3
"""Writes the tokenizer's references: what Hugging Face's `tokenizers` makes of some 300 texts.

    pip install tokenizers==0.23.3
    python tools/reference/make_tokenizer_reference.py

Into tests/data/text/:
    small_tokenizer.json   a byte-level BPE with the steps of GLM-4.5's tokenizer (its pattern, its
                           added tokens, `ignore_merges`), trained here on the texts below. Some of
                           its words have no merges, so that only `ignore_merges` leads to them.
    tokenizer_cases.json   {"texts": [...], "flags_added_tokens": added tokens of "flags",
                           "tokenizers": {"demo"|"small"|"flags": {
                             "ids": ids of each text,
                             "plain_ids": ids of each text where added tokens count as plain text,
                             "decoded": text of "ids",
                             "decoded_without_special": the same, special tokens left out,
                             "id_cases": [{"ids", "decoded", "decoded_without_special"}],
                               random ids, which need not be UTF-8}}}
The demo tokenizer is the one in models/glm4-moe-demo; "flags" is the small one with added tokens
that take white space along, want to stand alone, and so on. Random choices come from fixed seeds.
"""
import json
import pathlib
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "data" / "text"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    "<|endoftext|> [MASK] [gMASK] [sMASK] <sop> <eop> <|system|> <|user|> <|assistant|> "
    "<|observation|> <|begin_of_image|> <|end_of_image|> <|begin_of_video|> <|end_of_video|> "
    "<|begin_of_audio|> <|end_of_audio|> <|begin_of_transcription|> <|end_of_transcription|>"
).split()
NOT_SPECIAL = (
    "<|code_prefix|> <|code_middle|> <|code_suffix|> <think> </think> <tool_call> </tool_call> "
    "<tool_response> </tool_response> <arg_key> </arg_key> <arg_value> </arg_value> /nothink "
    "<|begin_of_box|> <|end_of_box|> <|image|> <|video|>"
).split()
WITHOUT_MERGES = ["Ġquixotic", "zebra", "Ġzyzzyva", "===>", "ĠĠĠĠĠĠĠĠĠ", "æ¼¢åŃĹ", "'LL", "007"]

PROSE = [
    "The lighthouse keeper climbed the winding stairs, and the lamp's light swept over the sea.",
    "She said: \"I don't know; we'll see what they've done, and I'd rather wait.\"",
    "In 1984, 12345 people (about 3.7%) paid $1,299.99 or €1.000,50 - isn't that odd?",
    "Large models read a few thousand tokens and write one more. Then they begin again.",
    "A quixotic zebra met a zyzzyva; the zebra's stripes were 007 and its name was zebras.",
    "Sentence one.Sentence two!Sentence three?No space,here;or:there",
    "UPPER lower MiXeD camelCase PascalCase snake_case kebab-case SCREAMING_CASE x2y3z",
    "e-mail: someone@example.org, https://example.org/path?query=1&other=%20#part",
    "naïve café résumé Zürich Straße Łódź Dvořák señor façade Ångström œuvre",
]
CODE = [
    "def f(x, *args, **kwargs):\n    if x is None:\n\t\treturn [i**2 for i in range(10)]\n",
    "int main(void) {\r\n  printf(\"%d\\n\", 0xFF);\r\n  return 0;\r\n}\r\n",
    "for (auto& [key, value] : map) { std::cout << key << \"->\" << value; }",
    "SELECT * FROM t WHERE a = 'it''s' AND b <> \"x\" -- comment\n;",
    "{\"key\": [1, 2.5e-10, null, true], \"nested\": {\"a\": \"\\u00e9\\n\"}}",
    "<html><body class=\"a b\">&nbsp;&amp;</body></html>\n<!-- x -->",
    "#!/bin/sh\nset -eu; x=$((1+2)); echo \"${x:-none}\" | sed 's/a/b/g' > /dev/null 2>&1\n",
    "fn main() -> Result<(), Box<dyn Error>> { let v: Vec<u8> = vec![0; 16]; Ok(()) }",
    "\\begin{equation} E = mc^2 \\quad \\alpha_{ij} \\leq \\sum_{k=1}^{n} x_k \\end{equation}",
    "a===>b ===> c ==> d ====> e\n\n\n### Heading ###\n- item\n  - item\n\t* item",
]
SCRIPTS = [
    "你好，世界！这是一个测试。", "漢字かな交じり文、カタカナと半角ｶﾀｶﾅ。", " 漢字 漢字漢字", "한국어 문장입니다. 안녕하세요?",
    "中文English混排123数字，以及 space。", "مرحبا بالعالم، كيف حالك؟ ١٢٣٤٥٦", "שלום עולם, מה שלומך? תודה־רבה",
    "سَلَامٌ عَلَيْكُمْ", "สวัสดีชาวโลก ๑๒๓๔ ภาษาไทยไม่มีช่องว่าง", "नमस्ते दुनिया, कैसे हैं आप? १२३४५",
    "বাংলা ভাষা", "தமிழ் மொழி", "ქართული ენა", "Հայերեն լեզու", "Привет, мир! Съешь ещё этих булок",
    "Ελληνικά: Καλημέρα κόσμε", "አማርኛ ቋንቋ", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛𝟜𝟝 𐍈𐌰𐌽", "Tiếng Việt có dấu",
    "e\u0301a\u0300o\u0302\u0323 combining", "Z\u0335\u0321a\u0334\u0322l\u0336g\u0337o\u0338", "\u0301leading mark",
    "a\u200db\u200cc\u200bd\ufeffe", "ﬁ ﬂ ﬆ Ǆ ǅ ǆ", "½ ² ³ ¹ Ⅷ ⅷ ① ㊿ 〇 ๒ ٣ 〹",
]  # fmt: skip
EMOJI = [
    "😀😃😄", "👨‍👩‍👧‍👦 family", "👩🏽‍💻👨🏿‍🚀", "🏳️‍🌈🏴‍☠️", "🇩🇪🇫🇷🇯🇵", "1️⃣2️⃣#️⃣*️⃣", "❤️‍🔥 ☺️ ☺ ✈︎",
    "text😀text 😀 text", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "♠♥♦♣ ←↑→↓ ∀∃∈∉ ≤≥≠", "¯\\_(ツ)_/¯ (╯°□°)╯︵ ┻━┻",
]
SPACES = [
    "", " ", "  ", "   ", "\n", "\r\n", "\r", "\t", " \n", "\n ", " \n ", "\n\n", "\n\n\n ", "  \n  \n  ",
    "a b", "a  b", "a   b", " a", "  a", "a ", "a  ", "a\n", "a\nb", "a\n\nb", "a \n b", "a  \n  b", "a\r\nb\r\n",
    "a\r\n\r\n  b", "a\t\tb", "\ta", " \ta", "\t a", "a \t\n \t b", "x\n   \n   y", "9 spaces:         end", "!\n", "! \n",
    "!\r\n\r\nx", " !\n\n", "?!  \n?!", "\u00a0", "\u00a0a", "a\u00a0b", "a \u00a0b", "a\u00a0 b", "a\u3000b",
    "\u3000\u3000a", "\u2003\u2003x", "a\u2028b", "a\u2029\u2029b", "a\u0085b", "\u0085\n", "a\u000bb", "a\u000c\u000cb",
    "\u180ea", "a\u180e b", "\u1680a", "\u200b a", "\u202f1", "\u205f!", "a\u001cb", "a \u001c\u001d\u001e\u001f b",
    "1 \n2", "1\u00a0000\u00a0000", " \u3000 \n", "\u2000\u2001 \n\u2002x",
]  # fmt: skip
CONTROL = [
    "\x00", "a\x00b", "\x01\x02\x03", "\x1b[31mred\x1b[0m", "\x7f", "\x7f\x80\x9f", "\u00ad", "\ue000\uf8ff", "\ufffd\ufffd",
    "\uffff\ufffe", "\U0010ffff", "\u202eRTL\u202c", "\ufeffBOM", "\u2066x\u2069", "\U000e0001",
]  # fmt: skip
CONTRACTIONS = [
    "it's IT'S It'S it'ſ", "don't DON'T Don'T", "we're WE'RE We'Re we'rE", "I've I'VE I'vE", "I'm I'M", "I'll I'LL I'lL",
    "I'd I'D", "'s", "'S", "'ſ", "'ſt", "'st", "'tis 'twas", "rock'n'roll", "O'Brien's", "''s", " 's", "'\n's", "'re'", "'r",
    "'l", "'v", "'lx", "'LLama", "y'all'd've", "’s it’s", "'1", "a'", "'é", "'K \u212a'K", "'T\u0301", "x'ss'tt",
]  # fmt: skip
NUMBERS = [
    "1", "12", "123", "1234", "1234567890", "3.14159265358979", "1,000,000", "0x1F 0b101 1e10", "٠١٢٣٤٥٦٧٨٩", "१२३४", "１２３４５",
    "1a2b3c", "a1", "1 2 3", " 123", "  1234", "²³¹⁴", "ⅧⅨⅩⅪ", "1²3½", "007 0070 1007", "2024-11-24T05:06:07Z",
    "+49 (0)30 1234-5678", "192.168.0.1:8080", "𝟘𝟙𝟚𝟛", "①②③④⑤", "12\n34", "1'000'000",
]  # fmt: skip
TOKENS = [
    "[gMASK]<sop><|system|>\nBe brief.<|user|>\nHi<|assistant|>\n<think></think>\n", "<|user|>", " <|user|>", "<|user|> ",
    "<|user|><|user|>", "a<|user|>b", "<|user", "|user|>", "<<|user|>>", "<|USER|>", "<| user |>", "say <think>hm</think> ok",
    " \t\u00a0<sop>\u3000 \n<eop>\r\n x", "x<think>", "<think>x", "1<think> 2", "_<tool_call>_", "é<arg_key>", "\u0301<arg_key> .",
    " ".join(SPECIAL + NOT_SPECIAL), "  ".join(NOT_SPECIAL), "a ".join(SPECIAL + NOT_SPECIAL), " \x1c<sop>\x1f ", "-".join(SPECIAL + NOT_SPECIAL),
    "</think>", "<think", "<think><think>", "/nothink", "a/nothink", "//nothink", "/nothinking", "/no think",
    "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>  b </arg_value>\n</tool_call>", "<arg_key><arg_key",
    "<tool_response>\nx</tool_response>", "text   <|endoftext|>   text", "\n\n<|endoftext|>\n\n", "[MASK] [gMASK] [sMASK]",
    "[gMASK", "[[MASK]]", "<sop><eop>", "it<sop>'s", "12<eop>34", "漢<|user|>字", "e<sop>\u0301", "<|begin_of_image|><|end_of_image|>",
    "<|code_prefix|>a<|code_middle|>b", "<|begin_of_box|>42<|end_of_box|>", "<tool_call", "<|<|user|>|>", "don<think>'t",
]  # fmt: skip
LONG = [
    "a" * 300, "ab" * 200, " " * 200 + "x", "\n" * 150, "=" * 257, "1" * 100, "漢字" * 60, "😀" * 40, "é" * 100, " a" * 100,
    "the " * 60, "\t" * 70 + "x", "-" * 31, "-" * 32, "-" * 33, "x" * 31, "x" * 32, "x" * 33, "y" * 63, "y" * 64, "y" * 65,
    "abcdefghijklmnopqrstuvwxyz" * 8, "\u0301" * 50, " \n" * 50, "\u3000" * 40, "antidisestablishmentarianism" * 5,
]  # fmt: skip
ALPHABET = (
    list(" \n\r\t'\"<>|/[]!?.,-=_aabbeeSsTtMmDdLlRrVv0123456789")
    + list("éßſñÅжЖ漢字かカ한ไนमि\u0301\u0640عש\u00a0\u3000\u2003\u200d\u0085\u180e😀🏽½²Ⅷ٣\x00\x1c\u212a𝟙𐍈")
    + ["'s", "'ll", "  ", "\r\n", "the", " the", "<|user|>", "<think>", "</think>", "[gMASK]", "/nothink"]
)


def all_texts():
    rng = random.Random(20240915)
    texts = PROSE + CODE + SCRIPTS + EMOJI + SPACES + CONTROL + CONTRACTIONS + NUMBERS + TOKENS + LONG
    for i in range(60):
        texts.append("".join(rng.choice(ALPHABET) for _ in range(4 + i)))
    texts.append(" ".join(PROSE) + "\n" + "\n".join(CODE))
    return list(dict.fromkeys(texts))


def make_small(path):
    """Trains the small tokenizer and writes it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    prose = [text for text in PROSE if "zyzzyva" not in text]
    tokenizer.train_from_iterator(prose * 2 + CODE + SCRIPTS + EMOJI + LONG[-1:], trainer)
    data = json.loads(tokenizer.to_str())
    data["model"]["ignore_merges"] = True
    vocab = data["model"]["vocab"]
    for word in WITHOUT_MERGES:
        vocab.setdefault(word, len(vocab))
    data["added_tokens"] = [
        {"id": len(vocab) + i, "content": content, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": i < len(SPECIAL)}
        for i, content in enumerate(SPECIAL + NOT_SPECIAL)
    ]  # fmt: skip
    path.write_text(json.dumps(data, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def odd_flags(tokens):
    """The same added tokens with all combinations of flags that published ones lack."""
    return [
        token | {"lstrip": i % 2 == 0, "rstrip": i % 3 == 0, "single_word": i % 4 == 1,
                 "normalized": i % 5 == 0}
        for i, token in enumerate(tokens)
    ]  # fmt: skip


def reference(data, texts, seed):
    tokenizer = Tokenizer.from_str(json.dumps(data))
    plain = Tokenizer.from_str(json.dumps(data | {"added_tokens": []}))

    def encode(which, text):
        return which.encode(text, add_special_tokens=False).ids

    def decoded(ids):
        return [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True)]

    rng = random.Random(seed)
    size = tokenizer.get_vocab_size()
    id_cases = []
    for i in range(60):
        # Single bytes in half of the cases: little of that is UTF-8.
        limit = 256 if i % 2 else size
        ids = [rng.randrange(limit) for _ in range(1 + i // 2)]
        if i % 3 == 0:
            ids.append(rng.randrange(size - 20, size))
        whole, without = decoded(ids)
        id_cases.append({"ids": ids, "decoded": whole, "decoded_without_special": without})
    ids = [encode(tokenizer, text) for text in texts]
    return {
        "ids": ids,
        "plain_ids": [encode(plain, text) for text in texts],
        "decoded": [decoded(x)[0] for x in ids],
        "decoded_without_special": [decoded(x)[1] for x in ids],
        "id_cases": id_cases,
    }


def dump(value, depth=4):
    """JSON with one line for each text, so that changes can be read."""
    if isinstance(value, dict) and depth > 1:
        items = [f"{json.dumps(k)}:{dump(v, depth - 1)}" for k, v in value.items()]
        return "{" + ",\n".join(items) + "}"
    if isinstance(value, list) and depth > 0:
        return "[\n" + ",\n".join(json.dumps(v, separators=(",", ":")) for v in value) + "]"
    return json.dumps(value, separators=(",", ":"))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    small = FOLDER / "small_tokenizer.json"
    make_small(small)
    texts = all_texts()
    demo = ROOT / "models" / "glm4-moe-demo" / "tokenizer.json"
    files = {name: json.loads(path.read_text(encoding="utf-8"))
             for name, path in (("demo", demo), ("small", small))}  # fmt: skip
    flags = files["small"] | {"added_tokens": odd_flags(files["small"]["added_tokens"])}
    cases = {
        "texts": texts,
        "flags_added_tokens": flags["added_tokens"],
        "tokenizers": {
            "demo": reference(files["demo"], texts, 1),
            "small": reference(files["small"], texts, 2),
            "flags": reference(flags, texts, 3),
        },
    }
    text = dump(cases) + "\n"
    (FOLDER / "tokenizer_cases.json").write_text(text)
    print(f"{len(texts)} texts, {len(text)} bytes")


if __name__ == "__main__":
    main()
