"""Writes test/fixture/rust.json: what the Rust tokenizers make of single parts, for tests that run without them.

    python interop/fixture.py > test/fixture/rust.json      (with tokenizers==0.23.2)
"""
import json
import sys

import tokenizers
from tokenizers import Tokenizer

from cases import BEHAVIORS, REGEXES, charsmap

PLAIN = ["a b  c", " ab!! 'll x1234 \u00b2\n\n y\r\n", "ab...12 \u4e2d\u6587 caf\u00e9 e\u0301\u2003\u0295\u088f \U0001f600\U0001f44d\U0001f3fd\u00a0"]
HARD = ["", "\u03a3\u0391\u03a3 \u0130 \u1e9e", "e\u0301\ufb01\u00bd\uff21\u3000 \u0f71\u0f72 \U000105d2\u0307", "\t\x00a\x85\u200b\ufeff\ufffd \u2581", " \u4e2d e\u0301\u0cf3 x ", "a\u0897\u1cf2 \u1734"]


def of(**parts):
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    return Tokenizer.from_str(json.dumps({**whole, "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"}, **parts}))


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


cuts = [split({"Regex": regex}) for regex in REGEXES]
cuts += [split(pattern, behavior, invert) for pattern in [{"String": " "}, {"Regex": r"\w+"}] for behavior in BEHAVIORS for invert in [False, True]]
cuts += [{"type": "Punctuation", "behavior": behavior} for behavior in BEHAVIORS]
cuts += [{"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": cut} for scheme in ["first", "always", "never"] for cut in [True, False]]
cuts += [{"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex} for prefix in [True, False] for regex in [True, False]]
cuts += [{"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False}, {"type": "CharDelimiterSplit", "delimiter": "b"}, {"type": "FixedLength", "length": 2}]
cuts += [{"type": name} for name in ["Whitespace", "WhitespaceSplit", "BertPreTokenizer"]]
cuts.append({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}]})
norms = [{"type": name} for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]]
norms += [{"type": "Strip", "strip_left": left, "strip_right": right} for left in [False, True] for right in [False, True]]
norms += [{"type": "BertNormalizer", "clean_text": a, "handle_chinese_chars": b, "strip_accents": c, "lowercase": d} for a, b, c, d in [(True, False, False, False), (False, True, False, False), (False, False, True, False), (False, False, None, True)]]
norms += [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "$&"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": ""}, {"type": "Precompiled", "precompiled_charsmap": charsmap()}]
norms.append({"type": "Sequence", "normalizers": norms[3:5]})
decoders = [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "Strip", "content": "a", "start": 2, "stop": 0}, {"type": "Strip", "content": "b", "start": 0, "stop": 1},
            {"type": "Replace", "pattern": {"Regex": "[ab]+"}, "content": "$1"}, {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}]
decoders += [{"type": "WordPiece", "prefix": "##", "cleanup": clean} for clean in [True, False]]
decoders += [{"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": clean} for clean in [True, False]]
decoders += [{"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": True} for scheme in ["always", "never"]]
decoders.append({"type": "Sequence", "decoders": [decoders[7], decoders[1], decoders[2], {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
tokens = [["\u2581ab", "\u2581\u2581", "aab", "##c", ".", "do", "not", "n't", "low</w>", "er</w>"], ["<0xE4>", "<0xB8>", "<0xAD>", "x", "<0xE4>", "<0x0a>", "<0x+A>", "<end of>"], ["a", "a", "<pad>", "a", "|", "b"], ["\u0120the", "\u00c3", "\u00a9", "\u00c3", "\u0120", "<a b>", "\u4e2d"], []]
flagged = [{"single_word": single, "lstrip": left, "rstrip": right, "normalized": normal} for single in [False, True] for left in [False, True] for right in [False, True] for normal in [False, True]]
texts = ["a<m>b <m>  <m>\n\n<M> y  the them the", "  <m>\u00e9 <m>", " the\u3000<m>"]


def added(flags):
    many = [{"id": 90 + i, "content": content, "special": i == 0, **flags} for i, content in enumerate(["<m>", "<m>b", "  ", "\n", "the", "M>"])]
    return {"added_tokens": many, "normalizer": {"type": "Lowercase"}, "model": {"type": "BPE", "vocab": {chr(c): c - 32 for c in range(32, 127)} | {"\u00e9": 100}, "merges": [], "unk_token": None}}


hexes = {f"<0x{byte:02X}>": 20 + byte for byte in range(256)}
letters = {letter: i for i, letter in enumerate(["<unk>", "a", "b", "##a", "##b", "ab", "a##", "##ab", "b</w>", "aab", "\u00e9", "##b</w>"])}
merges = [["a", "b"], ["a", "ab"]]
pieces = [["<unk>", 0.0], ["a", -1.0], ["b", -1.0], ["ab", -1.5], ["aab", -3.0], ["ba", -2.0], ["\u00e9", -4.0]]
models = [{"type": "BPE", "vocab": {**letters, **hexes}, "merges": merges, "unk_token": unknown, "fuse_unk": fuse, "byte_fallback": fallback} for unknown in ["<unk>", None] for fuse in [False, True] for fallback in [False, True]]
models += [{"type": "BPE", "vocab": {key: value for key, value in {**letters, **hexes}.items() if key != "<0xE4>"}, "merges": merges, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}]
models += [{"type": "BPE", "vocab": letters, "merges": [["a", "##b"]], "unk_token": "<unk>", "continuing_subword_prefix": "##"}, {"type": "BPE", "vocab": letters, "merges": ["#version: 0.2", "a b"], "unk_token": "<unk>", "end_of_word_suffix": "</w>"}]
models += [{"type": "BPE", "vocab": letters, "merges": [], "ignore_merges": True}, {"type": "BPE", "vocab": letters, "merges": merges[:1], "ignore_merges": True, "dropout": 0.0}]
models += [{"type": "Unigram", "unk_id": 0, "vocab": pieces}, {"type": "Unigram", "unk_id": 0, "vocab": pieces + [[token, -9.0] for token in hexes], "byte_fallback": True}, {"type": "Unigram", "unk_id": 0, "vocab": pieces + [["ab", -0.1], ["\u4e2d\u4e2d", -1.0]]}]
models += [{"type": "WordPiece", "vocab": letters, "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": most} for most in [100, 3]]
models += [{"type": "WordLevel", "vocab": letters, "unk_token": "<unk>"}]
words = ["ab", "aab", "aabb", "baab", "\u4e2d\u4e2da\u00e9", "a\u00e4\u4e2db\u0007", "abab" * 9, "<unk>a", "a##"]
template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "long", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "ab", "type_id": 0}}], "pair": [], "special_tokens": {"long": {"id": "long", "ids": [1, 2, 5], "tokens": ["a", "b", "ab"]}, "ab": {"id": "ab", "ids": [5], "tokens": ["ab"]}}}
arounds = [template, {"type": "BertProcessing", "sep": ["b", 2], "cls": ["a", 1]}, {"type": "RobertaProcessing", "sep": ["b", 2], "cls": ["a", 1], "trim_offsets": True, "add_prefix_space": True}, {"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, template]}]


def decoded(part, list_of_tokens):
    vocab = {"<unk>": 0}
    for token in list_of_tokens:
        vocab.setdefault(token, len(vocab))
    return of(decoder=part, model={"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}).decode([vocab[token] for token in list_of_tokens], skip_special_tokens=False)


made = {
    "version": tokenizers.__version__,
    "cuts": [[part, [[text, [piece for piece, _ in of(pre_tokenizer=part).pre_tokenizer.pre_tokenize_str(text)]] for text in PLAIN]] for part in cuts],
    "norms": [[part, [[text, of(normalizer=part).normalizer.normalize_str(text)] for text in HARD]] for part in norms],
    "decoders": [[part, [[each, decoded(part, each)] for each in tokens]] for part in decoders],
    "added": [[added(flags), [[text, of(**added(flags)).encode(text).ids] for text in texts]] for flags in flagged],
    "models": [[part, [[word, of(model=part).encode(word).ids] for word in words]] for part in models],
    "arounds": [[part, of(model=models[-1], post_processor=part).encode("ab").ids, of(model=models[-1], post_processor=part).encode("ab", add_special_tokens=False).ids] for part in arounds],
}
# A row is a line: the file is for machines, and formatted as others are.
lines = {key: rows if key == "version" else [json.dumps(row, separators=(",", ":")) for row in rows] for key, rows in made.items()}
json.dump(lines, sys.stdout, indent=2)
print()
