import { FormatError } from "../tensor/error.ts";
import { buildBpe, type Encode, type Merge } from "./bpe.ts";
import { readModel } from "./parts.ts";
import { buildUnigram } from "./unigram.ts";
import { buildWordLevel, buildWordPiece } from "./words.ts";

/** A model of a tokenizer.json, ready to work. */
export interface Built {
  readonly encode: Encode;
  /** All tokens, by their texts. Of two with one text the later one counts. */
  readonly vocab: ReadonlyMap<string, number>;
  /** How many tokens the model counts, from where those that are added go on. */
  readonly size: number;
}

const kinds = ["BPE", "WordPiece", "WordLevel", "Unigram"] as const;
type Kind = (typeof kinds)[number];

/**
 * Builds the model of a tokenizer.json; its vocabulary and merges are emptied once they are read, since they are half of all that
 * is held. Ids must be below `limit`, which sizes tables.
 *
 * Errors: FormatError naming the key of what is missing, unknown or does not fit.
 */
export function buildModel(file: string, tokenizer: object, limit: number): Built {
  const { model } = tokenizer as { model?: Record<string, unknown> | null };
  if (typeof model !== "object" || model === null || typeof model.vocab !== "object" || model.vocab === null)
    throw new FormatError(`${file}: got no model with a vocab, expected a tokenizer.json; check the path`);
  const { type, vocab, merges, ...rest } = model;
  const kind = kindOf(file, model);
  if ("merges" in model && kind !== "BPE") fail(file, "model.merges", "merges of a model without any", "none");
  const settings = readModel(file, kind, rest);
  const built =
    settings.type === "Unigram"
      ? buildPieces(file, settings, vocab)
      : buildRecord(file, settings, vocab as object, merges, limit);
  model.vocab = {};
  if (merges) model.merges = [];
  return built;
}

/** Files from before the kinds had names are told by their keys. */
function kindOf(file: string, model: Readonly<Record<string, unknown>>): Kind {
  const { type } = model;
  if (type === undefined || type === null) {
    if (Array.isArray(model.vocab)) return "Unigram";
    if ("merges" in model) return "BPE";
    return "max_input_chars_per_word" in model ? "WordPiece" : "WordLevel";
  }
  const known = kinds.find((kind) => kind === type);
  if (known) return known;
  throw new FormatError(
    `${file}: got a model of type ${typeof type === "string" ? type.slice(0, 40) : typeof type}, expected ${kinds.join(", ")}`,
  );
}

function fail(file: string, key: string, got: string, expected: string): never {
  throw new FormatError(`${file}: ${key}: got ${got}, expected ${expected}; fetch the file again`);
}

function buildPieces(file: string, settings: Parameters<typeof buildUnigram>[1], vocab: unknown): Built {
  if (!Array.isArray(vocab)) fail(file, "model.vocab", "no list", "tokens with their scores");
  if (!vocab.length) fail(file, "model.vocab", "an empty vocabulary", "tokens");
  const wrong = vocab.findIndex(
    (pair) => !(Array.isArray(pair) && pair.length === 2 && typeof pair[0] === "string" && Number.isFinite(pair[1])),
  );
  if (wrong >= 0) fail(file, `model.vocab.${wrong}`, "something else", "a token and its score");
  const pieces = vocab as [string, number][];
  return {
    encode: buildUnigram(file, settings, pieces),
    vocab: new Map(pieces.map(([token], id) => [token, id])),
    size: pieces.length,
  };
}

function buildRecord(
  file: string,
  settings: Exclude<ReturnType<typeof readModel>, { type: "Unigram" }>,
  record: object,
  merges: unknown,
  limit: number,
): Built {
  const entries: [string, unknown][] = Array.isArray(record) ? [] : Object.entries(record);
  if (!entries.length) fail(file, "model.vocab", "an empty vocabulary", "tokens");
  const vocab = new Map<string, number>();
  for (const [token, id] of entries) {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0 || id >= limit)
      fail(
        file,
        "model.vocab",
        `the token id ${typeof id === "object" ? "of no number" : String(id).slice(0, 40)}`,
        `a whole number in [0, ${limit})`,
      );
    vocab.set(token, id);
  }
  const build = (): Encode => {
    if (settings.type === "WordPiece") return buildWordPiece(file, settings, vocab);
    if (settings.type === "WordLevel") return buildWordLevel(file, settings, vocab);
    if (!Array.isArray(merges)) return fail(file, "model.merges", typeof merges, "a list of merges");
    return buildBpe(file, settings, vocab, mergesOf(file, merges), merges.length);
  };
  return { encode: build(), vocab, size: vocab.size };
}

/** Merges as pairs, or as texts with one blank between, where lines that begin with #version are none. */
function* mergesOf(file: string, merges: readonly unknown[]): Generator<Merge> {
  for (const [i, merge] of merges.entries()) {
    if (typeof merge === "string" && merge.startsWith("#version")) continue;
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!(Array.isArray(pair) && pair.length === 2 && pair.every((token) => typeof token === "string")))
      fail(file, `model.merges.${i}`, (JSON.stringify(merge) ?? "nothing").slice(0, 60), "two tokens");
    yield pair as [string, string];
  }
}
