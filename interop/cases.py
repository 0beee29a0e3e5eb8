"""tokenizer.json files of every kind of part, small enough to make anew: dictionaries by name."""
import base64
import copy
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from texts import TEXTS

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
# The last texts are whole blocks of Unicode.
CORPUS = TEXTS[:-3] * 2 + ["The quick brown fox jumps over the lazy dog, again and again; 12345 times it can't."] * 20
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
REGEXES = [GPT4, CL100K, O200K, r"\w+|[^\w\s]+", r"\s+$", r"^\s+", r"\b", r"(?>a+)a|b", r"\h+", r"[[:alpha:]]+|[[:^alpha:]&&[^\s]]+", r"[^[:space:]]+", r"\p{^L}+",
           r"\P{Han}+", r"(?<=\d)(?=(?:\d{3})+\b)", r"\A.|.\z", r".\Z", r"(?m:.)+", r"a{,2}|x{2}?|y{1,2}+", r"[a-z&&[^aeiou]]+", r"\x41|\u0042|\x{43}", r"(?i)the|A(?-i)B",
           r"\s*", r"", r"[\w'-]+", r"\p{Punct}|\p{Emoji}", r"(?:ab|a)(?!c)", r"(?#note)x|\.|\(|\[|\\", r"[\p{L}\p{M}]+(?:['\u2019][\p{L}]+)?", r"\d", r"[一-龥぀-ゟ゠-ヿ]+",
           r"\p{Alnum}|\p{Graph}{2}", r"\p{Print}", r"\p{Word}", r"\p{Lower}|\p{Blank}", r"\p{Cntrl}|\p{XDigit}", r"[\p{Upper}\p{Space}]", r"[\w]", r"[^\w\s]", r"\W", r"\p{Punct}", r"[[:punct:]]",
           r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]


def train(model, trainer, pre=None, norm=None):
    made = Tokenizer(model)
    if pre is not None:
        made.pre_tokenizer = pre
    if norm is not None:
        made.normalizer = norm
    made.train_from_iterator(CORPUS, trainer)
    return json.loads(made.to_str())


def part(made):
    """A part as tokenizer.json has it."""
    return json.loads(made.__getstate__())


def charsmap():
    """A small table of SentencePiece's: a Darts double array by hand is made for these replacements."""
    rules = {"\u00bd": "1/2", "e\u0301": "\u00e9", "\uff21": "A", "\u3000": " ", "\t": " ", "\u200b": ""}
    texts, at = b"", {}
    for key, value in rules.items():
        at[key] = len(texts)
        texts += value.encode() + b"\0"
    root = {}
    for key in rules:
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = at[key]
    units, used = {0: 0}, {0}

    def place(node, where):
        labels = [0 if key is None else key for key in node]
        base = 256
        while any((base ^ label) in used for label in labels) or ((base ^ where) >= 1 << 21):
            base += 1
        for label in labels:
            used.add(base ^ label)
        units[where] = units.get(where, 0) | ((base ^ where) << 10) | (0x100 if None in node else 0)
        for key, child in node.items():
            if key is None:
                units[base] = child | 1 << 31
            else:
                units[base ^ key] = key
                place(child, base ^ key)

    place(root, 0)
    array = b"".join(units.get(i, 0).to_bytes(4, "little") for i in range(max(units) + 256))
    return base64.b64encode(len(array).to_bytes(4, "little") + array + texts).decode()


def cases():
    made = {}
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_bpe = train(models.BPE(), trainers.BpeTrainer(vocab_size=700, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], initial_alphabet=alphabet, show_progress=False), level)
    bytes_bpe["decoder"] = part(decoders.ByteLevel())
    bpe = train(models.BPE(unk_token="<unk>"), trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, limit_alphabet=60, show_progress=False), pre_tokenizers.Whitespace())
    unigram = train(models.Unigram(), trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False), pre_tokenizers.Metaspace())
    pieces = train(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=80, show_progress=False), pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer())
    level_words = train(models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False), pre_tokenizers.Whitespace())

    def put(name, base, **changes):
        copied = copy.deepcopy(base)
        for key, value in changes.items():
            if key == "model":
                copied["model"].update(value)
            else:
                copied[key] = value
        made[name] = copied

    for name, base in {"bytes": bytes_bpe, "bpe": bpe, "unigram": unigram, "wordpiece": pieces, "wordlevel": level_words}.items():
        put(name, base)
        put(name + ", nothing else", base, pre_tokenizer=None, normalizer=None, decoder=None)
    split = lambda pattern, behavior="Isolated", invert=False: {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    bare = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    for regex in REGEXES:
        for invert in [False, True]:
            put(f"regex {regex} {invert}", bytes_bpe, pre_tokenizer={"type": "Sequence", "pretokenizers": [split({"Regex": regex}, "Isolated" if not invert else "Removed", invert), bare]})
    every = {"string": {"String": " "}, "letter": {"String": "a"}, "stops": {"String": "..."}, "blank": {"Regex": r"\s"}, "words": {"Regex": r"\w+"}}
    for key, pattern in every.items():
        for behavior in BEHAVIORS:
            for invert in [False, True]:
                put(f"split {key} {behavior} {invert}", bytes_bpe, pre_tokenizer={"type": "Sequence", "pretokenizers": [split(pattern, behavior, invert), bare]})
                put(f"split words {key} {behavior} {invert}", bpe, pre_tokenizer=split(pattern, behavior, invert))
    for behavior in BEHAVIORS:
        put(f"punctuation {behavior}", bpe, pre_tokenizer={"type": "Punctuation", "behavior": behavior})
    others = [{"type": "Punctuation"}, {"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"},
              {"type": "CharDelimiterSplit", "delimiter": "a"}, {"type": "FixedLength", "length": 3}, {"type": "FixedLength"}, {"type": "UnicodeScripts"}]
    for other in others:
        put(f"pre {json.dumps(other)}", bpe, pre_tokenizer=other)
        put(f"pre bytes {json.dumps(other)}", bytes_bpe, pre_tokenizer={"type": "Sequence", "pretokenizers": [other, bare]})
        put(f"pre unigram {json.dumps(other)}", unigram, pre_tokenizer={"type": "Sequence", "pretokenizers": [other, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}]})
    for prefix in [False, True]:
        for regex in [False, True]:
            one = {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}
            put(f"level {prefix} {regex}", bytes_bpe, pre_tokenizer=one)
            put(f"level twice {prefix} {regex}", bytes_bpe, pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, one]})
            put(f"level first {prefix} {regex}", bytes_bpe, pre_tokenizer={"type": "Sequence", "pretokenizers": [one, split({"String": "\u0120"}, "MergedWithNext")]})
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    for scheme in ["first", "always", "never"]:
        for cut in [False, True]:
            space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": cut}
            put(f"metaspace {scheme} {cut}", unigram, pre_tokenizer=space, decoder=space)
            put(f"metaspace bpe {scheme} {cut}", bpe, pre_tokenizer=space, decoder=space)
            put(f"metaspace strip {scheme} {cut}", unigram, normalizer=strip, pre_tokenizer=space, decoder=space)
            put(f"metaspace replace {scheme} {cut}", unigram, normalizer={"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, pre_tokenizer=space)
    put("metaspace old", unigram, pre_tokenizer={"type": "Metaspace", "replacement": "_", "str_rep": "_", "add_prefix_space": True})
    put("metaspace old never", unigram, pre_tokenizer={"type": "Metaspace", "replacement": "_", "add_prefix_space": False, "prepend_scheme": "never"})
    norms = [{"type": name} for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]]
    norms += [{"type": "Strip", "strip_left": left, "strip_right": right} for left in [False, True] for right in [False, True]]
    norms += [{"type": "BertNormalizer", "clean_text": a, "handle_chinese_chars": b, "strip_accents": c, "lowercase": d} for a in [False, True] for b in [False, True] for c in [None, False, True] for d in [False, True]]
    norms += [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Prepend", "prepend": ""}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " $& "},
              {"type": "Replace", "pattern": {"Regex": r"a*"}, "content": "-"}, {"type": "Replace", "pattern": {"String": "a"}, "content": ""}, {"type": "Replace", "pattern": {"String": ""}, "content": "-"}, {"type": "Precompiled", "precompiled_charsmap": charsmap()},
              {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "x"}]}, {"type": "Sequence", "normalizers": []}]
    for norm in norms:
        name = json.dumps(norm)[:150]
        put(f"norm {name}", bytes_bpe, normalizer=norm)
        put(f"norm words {name}", bpe, normalizer=norm)
        put(f"norm unigram {name}", unigram, normalizer=norm, pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True})
    # Added tokens, with every flag.
    contents = ["<mask>", "<think>", "</think>", "  ", "\n", "yesterday", "the", "Hello", "a", "[MASK]", "x<"]
    for flags in range(32):
        single, left, right, normal, special = [bool(flags >> i & 1) for i in range(5)]
        for name, base in {"bytes": bytes_bpe, "unigram": unigram}.items():
            more = [{"id": 5000 + i, "content": content, "single_word": single, "lstrip": left, "rstrip": right, "normalized": normal, "special": special} for i, content in enumerate(contents)]
            put(f"added {name} {flags:05b}", base, added_tokens=base["added_tokens"] + more, normalizer={"type": "Lowercase"} if flags % 3 else {"type": "Prepend", "prepend": "\u2581"})
    # Models.
    hexes = {f"<0x{byte:02X}>": 1000 + byte for byte in range(256)}
    for fuse in [False, True]:
        for fallback in [False, True]:
            for whole in [False, True]:
                vocab = {**bpe["model"]["vocab"], **hexes}
                put(f"bpe fuse {fuse} fallback {fallback} whole {whole}", bpe, model={"fuse_unk": fuse, "byte_fallback": fallback, "ignore_merges": whole, "vocab": vocab}, pre_tokenizer=None,
                    decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
        few = {key: value for key, value in {**bpe["model"]["vocab"], **hexes}.items() if key != "<0xE4>"}
        put(f"bpe few bytes {fuse}", bpe, model={"fuse_unk": fuse, "byte_fallback": True, "vocab": few}, pre_tokenizer=None)
    put("bpe no unknown", bpe, model={"unk_token": None})
    put("bpe null flags", bpe, model={"fuse_unk": None, "byte_fallback": None, "ignore_merges": None, "dropout": 0.0})
    put("bpe merges as texts", bytes_bpe, model={"merges": ["#version: 0.2"] + [" ".join(pair) for pair in bytes_bpe["model"]["merges"]]})
    put("bpe, no type", {**bpe, "model": {key: value for key, value in bpe["model"].items() if key != "type"}})
    put("bpe suffix", train(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, end_of_word_suffix="</w>", limit_alphabet=60, show_progress=False), pre_tokenizers.Whitespace()), decoder={"type": "BPEDecoder", "suffix": "</w>"})
    put("bpe prefix", train(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"), trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, continuing_subword_prefix="##", limit_alphabet=60, show_progress=False), pre_tokenizers.Whitespace()), decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
    put("bpe prefix and fallback", made["bpe prefix"], model={"byte_fallback": True, "vocab": {**made["bpe prefix"]["model"]["vocab"], **hexes}})
    scored = unigram["model"]["vocab"]
    put("unigram fallback", unigram, model={"vocab": scored + [[token, 0.0] for token in hexes], "byte_fallback": True})
    put("unigram few bytes", unigram, model={"vocab": scored + [[token, -20.0] for token in list(hexes)[:200]], "byte_fallback": True})
    put("unigram no unknown", unigram, model={"unk_id": None})
    put("unigram twice", unigram, model={"vocab": scored + [["the", -1.0], ["th", -2.0], ["e", -2.0], ["the", -30.0], ["\u4e2d\u6587", -1.0]]})
    put("wordpiece short", pieces, model={"max_input_chars_per_word": 4})
    put("wordpiece prefix", pieces, model={"continuing_subword_prefix": ""})
    put("wordlevel, no unknown", level_words, model={"unk_token": "nothing"})
    # Decoders.
    many = [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "WordPiece", "prefix": "##", "cleanup": False}, {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "BPEDecoder", "suffix": "e"},
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}, {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}, {"type": "CTC", "pad_token": "a", "word_delimiter_token": "t", "cleanup": False}, {"type": "Fuse"}, {"type": "ByteFallback"},
            {"type": "Strip", "content": "t", "start": 1, "stop": 0}, {"type": "Replace", "pattern": {"Regex": r"[aeiou]+"}, "content": "$1"}, {"type": "Replace", "pattern": {"String": "\u0120"}, "content": " "}, {"type": "Sequence", "decoders": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}]},
            {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]}, {"type": "Sequence", "decoders": []}]
    for decoder in many:
        for name, base in {"bytes": bytes_bpe, "bpe": bpe, "wordpiece": pieces, "unigram": made["unigram fallback"]}.items():
            put(f"decoder {name} {json.dumps(decoder)[:120]}", base, decoder=decoder)
    # What goes around a text.
    template = lambda single, special: {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": special}
    token, text = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    specials = {name: {"id": name, "ids": ids, "tokens": [str(i) for i in ids]} for name, ids in {"<s>": [1], "long": [1, 2, 40, 41, 2], "none": []}.items()}
    trim = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    arounds = [template([token("<s>"), text, token("long")], specials), template([token("long"), token("none"), text], specials), template([text, token("<s>"), text], specials), template([token("<s>")], specials), trim,
               {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}, {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True, "add_prefix_space": False}]
    arounds.append({"type": "Sequence", "processors": [trim, arounds[0]]})
    arounds.append({"type": "Sequence", "processors": [arounds[0], arounds[5]]})
    for i, processor in enumerate(arounds):
        put(f"around {i}", bpe, post_processor=processor)
    put("around words", bytes_bpe, post_processor=arounds[7])
    for key, value in {"truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
                       "padding": {"strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"}}.items():
        put(key, bpe, **{key: value})
    put("padding to the longest", bpe, padding={"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"})
    return made
