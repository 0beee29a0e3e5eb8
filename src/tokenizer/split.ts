/** How a byte-level BPE cuts text before it merges, by the names that GGUF files give (`tokenizer.ggml.pre`). */
export interface Split {
  /** Regular expressions, one after the other: each cuts what the ones before left; what it does not match stays a piece. */
  readonly patterns: readonly string[];
  /** A piece that is a token as a whole is that token, whatever its merges say. */
  readonly whole?: true;
  /** A text begins with the begin-of-sequence token unless the file says otherwise. */
  readonly begin?: true;
}

const contractions = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";

/** GPT-2's: contractions, letters, digits and other signs with the blank before them, blanks. */
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** GPT-4's: one sign may lead a word, `ends` may end a run of signs, line ends end a piece; numbers are cut as `digits` says. */
const gpt4 = (digits: string, word = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+`, ends = "[\\r\\n]*") =>
  `${word}|${digits}| ?[^\\s\\p{L}\\p{N}]+${ends}|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** GPT-4o's words: capitals first, then small letters, then perhaps a contraction; of no letter that `not` looks ahead to. */
const cased = (ending = `(?:${contractions})?`, not = "") => {
  const capital = `(?:${not}[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])`;
  const small = `(?:${not}[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])`;
  const lead = "[^\\r\\n\\p{L}\\p{N}]?";
  return `${lead}${capital}*${small}+${ending}|${lead}${capital}+${small}*${ending}`;
};

/** What BLOOM, Poro and Viking take for words: all that is neither blank nor one of these signs, with the blank before. */
const unsigned = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+";

/** Chinese, Korean, and what lies between in Unicode, as DeepSeek's first tokenizers took them together. */
const han = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
const hanAndKana = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
/** Hangul, punctuation of Chinese and Japanese, Bopomofo. */
const eastAsian =
  "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+|" +
  `[\u3105-\u312f]+|${hanAndKana}`;

/** Letters of alphabets with capitals, as DeepSeek LLM lists them (not all: Armenian small letters are missing). */
const casedLetters =
  "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af" +
  "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5" +
  "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba" +
  "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45" +
  "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe" +
  "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102" +
  "\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139" +
  "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3" +
  "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06" +
  "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}" +
  "\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}";

const alike = (names: string, split: Split) => names.split(" ").map((name) => [name, split] as const);

const threeDigits = gpt4("\\p{N}{1,3}");

/** After llama.cpp's table (llama-vocab.cpp) and the models' own tokenizer.json, where the two differ only for the first's sake. */
export const splits: ReadonlyMap<string, Split> = new Map<string, Split>([
  ["default", { patterns: ["[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"] }],
  ...alike("gpt-2 phi-2 mpt olmo jais trillion gigachat exaone4 mellum a.x-4.0 granite-docling modern-bert", {
    patterns: [gpt2],
  }),
  ...alike("jina-es jina-de jina-v2-es jina-v2-de", { patterns: [gpt2] }),
  ...alike("starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", { patterns: ["\\p{N}", gpt2] }),
  ...alike("llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", {
    patterns: [threeDigits],
    whole: true,
    begin: true,
  }),
  ["minicpm5", { patterns: ["\\p{N}{1,3}", gpt4("\\p{N}+")], whole: true }],
  ...alike("dbrx smaug-bpe glm4 chatglm-bpe", { patterns: [threeDigits] }),
  ...alike(
    "qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan kormo grok-2 bailingmoe bailingmoe2 llada-moe f2llmv2 solar-open",
    {
      patterns: [gpt4("\\p{N}")],
    },
  ),
  ...alike("gpt-4o llama4 minimax-m2 kanana2 talkie", { patterns: [gpt4("\\p{N}{1,3}", cased(), "[\\r\\n/]*")] }),
  // Marks are letters here.
  [
    "qwen35",
    {
      patterns: [
        `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
      ],
    },
  ],
  ["tekken", { patterns: [gpt4("\\p{N}", cased(""), "[\\r\\n/]*")], whole: true, begin: true }],
  ["youtu", { patterns: [eastAsian, gpt4("\\p{N}", cased(), "[\\r\\n/]*")], whole: true }],
  ["kimi-k2", { patterns: [`\\p{Han}+|${gpt4("\\p{N}{1,3}", cased(undefined, "(?!\\p{Han})"))}`] }],
  ["seed-coder", { patterns: [gpt4("\\p{N}", undefined, "")] }],
  // A number is cut into threes from its end; words are not cut at all.
  ["superbpe", { patterns: ["\\p{N}+", "\\d{1,3}(?=(?:\\d{3})*(?!\\d))"] }],
  ...alike("poro-chat bloom gpt3-finnish", { patterns: [unsigned] }),
  ["viking", { patterns: [unsigned, "\\p{N}"] }],
  ["falcon", { patterns: ["[\\p{P}\\$\\+<=>\\^~\\|`]+", gpt2, "[0-9][0-9][0-9]"] }],
  ["deepseek-coder", { patterns: ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", han, "\\p{N}"] }],
  [
    "deepseek-llm",
    {
      patterns: [
        "[\\r\\n]",
        `\\s?[${casedLetters}]+`,
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        "(?<!\\s)\\s+$",
        han,
        "\\p{N}+",
      ],
    },
  ],
  ...alike("deepseek-v3 hunyuan-dense joyai-llm", {
    patterns: [
      "\\p{N}{1,3}",
      hanAndKana,
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" +
        " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ],
  }),
]);
