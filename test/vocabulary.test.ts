import { describe, expect, test } from "vitest";
import { decodeGguf } from "../src/file/gguf.ts";
import type { Value } from "../src/file/metadata.ts";
import { ggufChunks } from "../src/file/writer.ts";
import { FormatError } from "../src/tensor/error.ts";
import { describeTokenizer, ggufTokenizer } from "../src/tokenizer/ggml.ts";
import { splits } from "../src/tokenizer/split.ts";
import { parseTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { join } from "./corpus/gguf.ts";
import fixture from "./fixture/vocabularies.json" with { type: "json" };

// Two small vocabularies, trained on a little text by tokenizers and sentencepiece, and what llama.cpp makes of nasty texts.
const { texts } = fixture;
const idsOf = (all: string) => all.split(";").map((ids) => (ids ? ids.split(" ").map(Number) : []));
const bytes = { tokens: fixture.bytes.tokens.split(" "), merges: fixture.bytes.merges.split("\n") };
const cut = { tokens: fixture.cut.tokens.split(" "), merges: fixture.cut.merges.split("\n") };
const pieces = {
  tokens: fixture.pieces.tokens.split(" "),
  scores: fixture.pieces.scores.split(" ").map(Number),
  types: [...fixture.pieces.types].map(Number),
};

type Pairs = Record<string, Value | undefined>;
const keysOf = (pairs: Pairs) => {
  const all = new Map<string, Value>();
  for (const [name, value] of Object.entries(pairs)) if (value) all.set(name.replace(/^~/, "tokenizer.ggml."), value);
  return all;
};

const bytesKeys = (pre: string | undefined, more: Pairs = {}, of = bytes) =>
  keysOf({
    "~model": { type: "string", value: "gpt2" },
    "~pre": pre === undefined ? undefined : { type: "string", value: pre },
    "~tokens": { type: "string[]", value: of.tokens },
    "~token_type": { type: "i32[]", value: of.tokens.map((_, i) => (i < 3 ? 3 : 1)) },
    "~merges": { type: "string[]", value: of.merges },
    "~bos_token_id": { type: "u32", value: 0 },
    "~eos_token_id": { type: "u32", value: 1 },
    ...more,
  });

const piecesKeys = (more: Pairs = {}) =>
  keysOf({
    "~model": { type: "string", value: "llama" },
    "~tokens": { type: "string[]", value: pieces.tokens },
    "~scores": { type: "f32[]", value: pieces.scores },
    "~token_type": { type: "i32[]", value: pieces.types },
    ...more,
  });

function encodes(tokenizer: Tokenizer, expected: number[][]) {
  for (const [i, text] of texts.entries()) expect([text, ...tokenizer.encode(text)]).toEqual([text, ...expected[i]!]);
}

describe("byte-level BPE", () => {
  test.each(Object.entries(fixture.bytes.ids))("cut as %s gives llama.cpp's ids and every text back", (pre, ids) => {
    const tokenizer = ggufTokenizer("model.gguf", bytesKeys(pre));
    expect(tokenizer.vocabulary).toBe(bytes.tokens.length);
    encodes(tokenizer, idsOf(ids));
    for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test.each(Object.entries(fixture.cut.ids))("cut as %s gives what the model's own patterns give", (pre, ids) => {
    encodes(ggufTokenizer("model.gguf", bytesKeys(pre, {}, cut)), idsOf(ids));
  });

  test("the ways of cutting differ on these texts, or the tests above show little", () => {
    expect(new Set(Object.values(fixture.cut.ids)).size).toBe(Object.keys(fixture.cut.ids).length);
    expect(new Set(Object.values(fixture.bytes.ids)).size).toBeGreaterThanOrEqual(9);
  });

  // The models' own tokenizer.json has these, in the words of the hub.
  const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
  const regex = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });
  const last = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const hub: Record<string, readonly object[]> = {
    "gpt-2": [{ ...last, use_regex: true }],
    "llama-bpe": [
      regex(
        `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
      ),
      last,
    ],
    qwen2: [
      regex(
        `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
      ),
      last,
    ],
    // Of MiniCPM5-1B.
    minicpm5: [
      regex("\\p{N}{1,3}"),
      regex(
        `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
      ),
      last,
    ],
    starcoder: [
      { type: "Digits", individual_digits: true },
      { ...last, use_regex: true },
    ],
    "deepseek-coder": [
      regex("[\\r\\n]"),
      regex("\\s?\\p{L}+"),
      regex("\\s?\\p{P}+"),
      regex("[一-龥ࠀ-一가-퟿]+"),
      { type: "Digits", individual_digits: true },
      last,
    ],
  };

  test.each(Object.entries(hub))("%s is the same from tokenizer.json and from GGUF", (pre, pretokenizers) => {
    const special = (content: string, id: number) => ({
      id,
      content,
      special: true,
      normalized: false,
      single_word: false,
      lstrip: false,
      rstrip: false,
    });
    const tokenizer = parseTokenizer(
      "tokenizer.json",
      JSON.stringify({
        added_tokens: bytes.tokens.slice(0, 3).map(special),
        normalizer: null,
        pre_tokenizer: { type: "Sequence", pretokenizers },
        post_processor: null,
        decoder: last,
        model: {
          type: "BPE",
          vocab: Object.fromEntries(bytes.tokens.map((token, id) => [token, id])),
          merges: bytes.merges,
          ignore_merges: pre === "llama-bpe" || pre === "minicpm5",
        },
      }),
    );
    encodes(
      ggufTokenizer("model.gguf", bytesKeys(pre)),
      texts.map((text) => [...tokenizer.encode(text)]),
    );
  });

  test("qwen35 takes marks for letters", () => {
    // As llama.cpp v0.5.0.
    const tokenizer = ggufTokenizer("g", bytesKeys("qwen35", {}, cut));
    expect([...tokenizer.encode("\u0928\u092e\u0938\u094d\u0924\u0947")]).toEqual([1006]);
    expect([...tokenizer.encode("e\u0301te x\u0301y")]).toEqual([648, 497, 35, 123, 342, 124]);
  });

  test.each([
    ["jina-v5-nano", "llama-bpe"],
    ["f2llmv2", "qwen2"],
    ["solar-open", "qwen2"],
    ["mellum2", "starcoder"],
    ["kanana2", "gpt-4o"],
    ["talkie", "gpt-4o"],
  ])("%s is cut as %s, which llama.cpp v0.5.0 agrees with over these texts", (name, known) => {
    expect(splits.get(name)?.patterns).toEqual(splits.get(known)!.patterns);
  });

  test("unused tokens are text as others are, and a token with a blank is its own text", () => {
    // Ids as llama.cpp v0.5.0 gives them; "hello" is a whole piece, which these vocabularies look up first.
    const more = ["<|unused|>", "un used", "hello"];
    const tokenizer = ggufTokenizer(
      "g",
      bytesKeys("llama-bpe", {
        "~tokens": { type: "string[]", value: [...bytes.tokens, ...more] },
        "~token_type": {
          type: "i32[]",
          value: [...bytes.tokens, ...more].map((_, i) => (i < 3 ? 3 : i < bytes.tokens.length ? 1 : 5)),
        },
      }),
    );
    const text = "a<|unused|>b un used";
    expect([...tokenizer.encode(text)]).toEqual([67, 30, 94, 87, 80, 296, 337, 94, 32, 68, 487, 80, 500, 337]);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.decode([601, 67])).toBe("un useda");
    expect([...tokenizer.encode("hello")]).toEqual([602]);
  });

  test("a file that names no way of cutting takes the default one", () => {
    encodes(ggufTokenizer("model.gguf", bytesKeys(undefined)), idsOf(fixture.bytes.ids.default));
  });

  test("a token that is the whole piece counts before its merges, where the model has it so", () => {
    // A token that no merge makes.
    const tokens = {
      "~tokens": { type: "string[]", value: [...bytes.tokens, "hello"] },
      "~token_type": undefined,
    } as const;
    expect([...ggufTokenizer("g", bytesKeys("llama-bpe", tokens)).encode("hello")]).toEqual([bytes.tokens.length]);
    expect(ggufTokenizer("g", bytesKeys("qwen2", tokens)).encode("hello").length).toBeGreaterThan(1);
  });

  test("every way of cutting compiles and gives texts back", () => {
    for (const pre of splits.keys()) {
      const tokenizer = ggufTokenizer("model.gguf", bytesKeys(pre));
      for (const text of texts.slice(0, 40)) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  test("from a file: what the reader gives is what the tokenizer takes", async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of ggufChunks("g", bytesKeys("qwen2"), [])) chunks.push(chunk);
    const { metadata } = await decodeGguf(join(...chunks));
    encodes(ggufTokenizer("g", metadata), idsOf(fixture.bytes.ids.qwen2));
  });
});

describe("SentencePiece's BPE", () => {
  test("gives llama.cpp's ids, with and without a blank in front", () => {
    encodes(ggufTokenizer("model.gguf", piecesKeys()), idsOf(fixture.pieces.ids.prefix));
    const plain = { "~add_space_prefix": { type: "bool", value: false } } as const;
    encodes(ggufTokenizer("model.gguf", piecesKeys(plain)), idsOf(fixture.pieces.ids.plain));
  });

  test("gives texts back, but for the mark of a blank, which it cannot tell from one", () => {
    for (const value of [true, false]) {
      const tokenizer = ggufTokenizer("model.gguf", piecesKeys({ "~add_space_prefix": { type: "bool", value } }));
      for (const text of texts.filter((text) => !/[\u2581<]/.test(text)))
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  test("is what merging by score gives, done slowly: the best pair first, the leftmost of equals", () => {
    const tokenizer = ggufTokenizer("model.gguf", piecesKeys());
    const ids = new Map(pieces.tokens.map((token, id) => [token, id]));
    for (const text of texts.filter((text) => !text.includes("<"))) {
      const parts = [...`\u2581${text.replaceAll(" ", "\u2581")}`];
      for (;;) {
        let best = -1;
        for (let i = 0; i + 1 < parts.length; i++) {
          const id = ids.get(parts[i]! + parts[i + 1]!);
          if (id === undefined || pieces.types[id] !== 1) continue;
          if (best < 0 || pieces.scores[id]! > pieces.scores[ids.get(parts[best]! + parts[best + 1]!)!]!) best = i;
        }
        if (best < 0) break;
        parts.splice(best, 2, parts[best]! + parts[best + 1]!);
      }
      const expected = parts.flatMap((part) => {
        const id = ids.get(part);
        const hex = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
        return id === undefined ? [...new TextEncoder().encode(part)].map((byte) => ids.get(hex(byte))!) : [id];
      });
      expect([text, ...tokenizer.encode(text)]).toEqual([text, ...expected]);
    }
  });

  test("is the same from a tokenizer.json in Llama 2's form", () => {
    const ids = new Map(pieces.tokens.map((token, id) => [token, id]));
    const merges = pieces.tokens
      .flatMap((token, id) =>
        Array.from(
          { length: Math.max(0, token.length - 1) },
          (_, i) => [token.slice(0, i + 1), token.slice(i + 1), id] as const,
        ),
      )
      .filter(([left, right, id]) => pieces.types[id] === 1 && ids.has(left) && ids.has(right))
      .sort((a, b) => pieces.scores[b[2]]! - pieces.scores[a[2]]! || b[0].length - a[0].length);
    const tokenizer = parseTokenizer(
      "tokenizer.json",
      JSON.stringify({
        added_tokens: pieces.tokens.flatMap((content, id) =>
          [2, 3, 4].includes(pieces.types[id]!)
            ? [
                {
                  id,
                  content,
                  special: pieces.types[id] !== 4,
                  normalized: false,
                  single_word: false,
                  lstrip: false,
                  rstrip: false,
                },
              ]
            : [],
        ),
        normalizer: {
          type: "Sequence",
          normalizers: [
            { type: "Prepend", prepend: "\u2581" },
            { type: "Replace", pattern: { String: " " }, content: "\u2581" },
          ],
        },
        pre_tokenizer: null,
        post_processor: null,
        decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
        model: {
          type: "BPE",
          vocab: Object.fromEntries(ids),
          merges: merges.map(([left, right]) => `${left} ${right}`),
          byte_fallback: true,
          fuse_unk: true,
          unk_token: "<unk>",
        },
      }),
    );
    encodes(
      ggufTokenizer("model.gguf", piecesKeys()),
      texts.map((text) => [...tokenizer.encode(text)]),
    );
  });
});

describe("special tokens", () => {
  test("begin, end, ends of a turn and the template are told", () => {
    const described = describeTokenizer(
      "g",
      bytesKeys("qwen2", {
        "~padding_token_id": { type: "u32", value: 1 },
        "~eot_token_id": { type: "u32", value: 7 },
        "tokenizer.chat_template": { type: "string", value: "{{ messages }}" },
      }),
    );
    expect(described.config).toEqual({
      bos_token: "<s>",
      eos_token: "</s>",
      pad_token: "</s>",
      chat_template: "{{ messages }}",
    });
    // <|im_end|> by its name, since no key says so.
    expect(described.end).toEqual([1, 7, 2]);
    expect(describeTokenizer("g", piecesKeys()).config).toEqual({
      unk_token: "<unk>",
      bos_token: "<s>",
      eos_token: "</s>",
    });
  });

  test("which tokens go around a text: the file's word, else the kind's habit", () => {
    const around = (keys: ReadonlyMap<string, Value>) => {
      const { tokenizer } = describeTokenizer("g", keys) as { tokenizer: { post_processor?: { single: object[] } } };
      return tokenizer.post_processor!.single.map((part) => ("SpecialToken" in part ? "special" : "text")).join(" ");
    };
    const flags = (begin: boolean, end: boolean): Pairs => ({
      "~add_bos_token": { type: "bool", value: begin },
      "~add_eos_token": { type: "bool", value: end },
    });
    expect(around(bytesKeys("qwen2"))).toBe("text");
    expect(around(bytesKeys("llama-bpe"))).toBe("special text");
    expect(around(piecesKeys())).toBe("special text");
    expect(around(bytesKeys("qwen2", flags(true, true)))).toBe("special text special");
    expect(around(piecesKeys(flags(false, true)))).toBe("text special");
  });
});

describe("vocabularies that cannot be", () => {
  const list = (...value: string[]): Value => ({ type: "string[]", value });
  const id = (value: number): Value => ({ type: "u32", value });
  type Wrong = [name: string, metadata: ReadonlyMap<string, Value>, expected: RegExp];
  test.each<Wrong>([
    ["no model", bytesKeys("qwen2", { "~model": undefined }), /tokenizer\.ggml\.model: got no such key, expected text/],
    // Those of llama.cpp that are not read: WordPiece, Unigram, RWKV's, PLaMo's, Gemma 4's, none.
    ...["bert", "t5", "rwkv", "plamo2", "gemma4", "hybriddna", "whitespace", "none"].map((value): Wrong => {
      const expected = new RegExp(`tokenizer\\.ggml\\.model: got ${value}, expected gpt2 or llama; other tokenizers`);
      return [
        `a vocabulary of the kind ${value}`,
        bytesKeys("qwen2", { "~model": { type: "string", value } }),
        expected,
      ];
    }),
    // Those of llama.cpp that no model uses which is run.
    ...["afmoe", "chameleon", "exaone-moe", "gemma4", "hy_v4", "jais-2", "laguna", "sarvam-moe", "tiny_aya"].map(
      (pre): Wrong => [`the way of cutting ${pre}`, bytesKeys(pre), new RegExp(`pre: got "${pre}", expected one of`)],
    ),
    ["a way of cutting that only JavaScript knows", bytesKeys("__proto__"), /pre: got "__proto__"/],
    ["a way of cutting that is a number", bytesKeys("qwen2", { "~pre": id(1) }), /pre: got u32, expected text/],
    ["no tokens", bytesKeys("qwen2", { "~tokens": undefined }), /tokens: got no such key/],
    ["an empty list of tokens", bytesKeys("qwen2", { "~tokens": list(), "~token_type": undefined }), /got 0 tokens/],
    [
      "tokens that are numbers",
      bytesKeys("qwen2", { "~tokens": { type: "u32[]", value: [1] } }),
      /tokens: got u32\[\]/,
    ],
    [
      "a token twice",
      bytesKeys("qwen2", { "~tokens": list("a", "b", "a"), "~token_type": undefined }),
      /tokens: got token 0 \("a"\) twice/,
    ],
    [
      "too few types",
      bytesKeys("qwen2", { "~token_type": { type: "i32[]", value: [1] } }),
      /token_type: got 1 numbers/,
    ],
    ["types that are texts", bytesKeys("qwen2", { "~token_type": list("a") }), /token_type: got string\[\]/],
    ["no merges", bytesKeys("qwen2", { "~merges": undefined }), /merges: got no such key/],
    [
      "a merge of one token",
      bytesKeys("qwen2", { "~merges": list("a b", "ab") }),
      /merges: got "ab" at 1, expected two/,
    ],
    [
      "an id beyond the vocabulary",
      bytesKeys("qwen2", { "~eos_token_id": id(5000) }),
      /eos_token_id: got 5000, expected/,
    ],
    [
      "a negative id",
      bytesKeys("qwen2", { "~eos_token_id": { type: "i32", value: -1 } }),
      /eos_token_id: got -1, expected an id/,
    ],
    [
      "an id that is text",
      bytesKeys("qwen2", { "~bos_token_id": { type: "string", value: "1" } }),
      /bos_token_id: got string/,
    ],
    [
      "a token to begin with, and none such",
      bytesKeys("llama-bpe", { "~bos_token_id": undefined }),
      /bos_token_id: got no such key, expected an id/,
    ],
    [
      "a flag that is a number",
      bytesKeys("qwen2", { "~add_bos_token": id(1) }),
      /add_bos_token: got u32, expected a bool/,
    ],
    ["a template that is no text", bytesKeys("qwen2", { "tokenizer.chat_template": id(1) }), /chat_template: got u32/],
    ["no scores", piecesKeys({ "~scores": undefined }), /scores: got no such key/],
    [
      "too many scores",
      piecesKeys({ "~scores": { type: "f32[]", value: Array(601).fill(0) } }),
      /scores: got 601 numbers/,
    ],
    ...["<0x-1>", "<0x100>", "<0xGG>", "<0x>", "byte", "<0x0a>"].map(
      (token): [string, ReadonlyMap<string, Value>, RegExp] => [
        `${token} as a byte`,
        piecesKeys({ "~tokens": list(...pieces.tokens.map((own, i) => (i === 5 ? token : own))) }),
        /tokens: got ".*" as a byte, expected bytes as <0x00> to <0xFF>/,
      ],
    ),
    [
      "tokens so long that looking at them takes for ever",
      piecesKeys({
        "~tokens": list("a", "x".repeat(60_000)),
        "~scores": { type: "f32[]", value: [0, 0] },
        "~token_type": undefined,
      }),
      /tokens of such lengths/,
    ],
  ])("%s is a FormatError that names file and key", (_, keys, says) => {
    expect(() => ggufTokenizer("bad.gguf", keys)).toThrow(FormatError);
    expect(() => ggufTokenizer("bad.gguf", keys)).toThrow(/^bad\.gguf: tokenizer\./);
    expect(() => ggufTokenizer("bad.gguf", keys)).toThrow(says);
  });

  test("the byte of the key in the file is named where it is known", async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of ggufChunks("g", bytesKeys("telepathy"), [])) chunks.push(chunk);
    const { metadata } = await decodeGguf(join(...chunks));
    expect(() => ggufTokenizer("g", metadata)).toThrow(/^g: byte \d+: tokenizer\.ggml\.pre: got "telepathy"/);
  });

  test("tokens that are nothing have a name all the same, as in llama.cpp", () => {
    const tokenizer = ggufTokenizer("g", bytesKeys("qwen2", { "~tokens": list(...bytes.tokens.slice(0, -1), "") }));
    expect(tokenizer.vocabulary).toBe(bytes.tokens.length);
  });

  test("names that JavaScript takes for something else are plain tokens", () => {
    const tokens = [...bytes.tokens, "__proto__", "constructor"];
    const tokenizer = ggufTokenizer(
      "g",
      bytesKeys("qwen2", {
        "~tokens": list(...tokens),
        "~token_type": { type: "i32[]", value: tokens.map((_, i) => (i < bytes.tokens.length ? 1 : 4)) },
      }),
    );
    expect([...tokenizer.encode("__proto__constructor")]).toEqual([tokens.length - 2, tokens.length - 1]);
    expect(tokenizer.decode([tokens.length - 2])).toBe("__proto__");
  });
});
