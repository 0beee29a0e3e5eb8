import { FormatError, ShapeError } from "../tensor/error.ts";
import { buildExtract, numberAdded } from "./added.ts";
import { buildAround, readEnds } from "./around.ts";
import { buildPreTokenizer } from "./cut.ts";
import { buildDecoder } from "./decode.ts";
import { buildModel } from "./model.ts";
import { buildNormalizer, type Normal } from "./normalize.ts";
import { readParts } from "./parts.ts";
import { readPieces } from "./piece.ts";
import { checkIds, type Tokenizer } from "./tokenizer.ts";

/** Pieces that are remembered with their ids, and the longest of these; after so many the memory begins anew. */
const MEMORY = { pieces: 65_536, length: 256 } as const;

/**
 * A tokenizer from what a tokenizer.json and the tokenizer_config.json beside it hold. Texts are read as Unicode: half a pair of
 * surrogates is U+FFFD. The model's vocabulary is emptied once it is read; ids must be below `limit`.
 *
 * Ids and texts are those of the Rust tokenizers 0.23.2, whose parts are done here: added tokens, normalizer, pre-tokenizer, model,
 * post-processor, decoder. Errors: FormatError naming the key of what is not known or does not fit.
 */
export function buildTokenizer(
  file: string,
  tokenizer: object,
  config: Readonly<Record<string, unknown>>,
  limit: number,
): Tokenizer {
  try {
    return build(file, tokenizer, config, limit);
  } catch (error) {
    // Lists in lists without end: what reads them runs out of stack.
    if (!(error instanceof RangeError)) throw error;
    throw new FormatError(
      `${file}: got a tokenizer that cannot be built (${error.message.slice(0, 120)}), expected one of tokenizers`,
      {
        cause: error,
      },
    );
  }
}

function build(file: string, tokenizer: object, config: Readonly<Record<string, unknown>>, limit: number): Tokenizer {
  const model = buildModel(file, tokenizer, limit);
  const parts = readParts(file, tokenizer);
  const normalize = parts.normalizer ? buildNormalizer(file, parts.normalizer) : (normal: Normal): Normal => normal;
  const added = numberAdded(
    parts.added,
    { size: model.size, get: (token) => model.vocab.get(token) },
    (text) => normalize({ text, lead: 1 }).text,
  );
  const tokens = namesOf(model.vocab, added);
  const addedIds = new Map([...added].map(([id, { content }]) => [content, id]));
  const idOf = (token: string) => addedIds.get(token) ?? model.vocab.get(token);
  const plain = buildExtract(file, added.values(), false);
  const normalized = buildExtract(file, added.values(), true);
  const { cut, write } = buildPreTokenizer(file, parts.preTokenizer);
  const around = buildAround(file, readEnds(file, idOf, config) ?? parts.processor, (id) => tokens[id] !== undefined);
  const decode = buildDecoder(file, parts.decoder);
  const { kind, piece } = readPieces(parts.decoder);
  const memory = new Map<string, readonly number[]>();

  const encodePiece = (text: string, ids: number[]) => {
    let found = memory.get(text);
    if (!found) {
      const made: number[] = [];
      model.encode(write(text), made);
      found = made;
      if (text.length <= MEMORY.length) {
        if (memory.size >= MEMORY.pieces) memory.clear();
        // A copy: a part of a text holds on to all of it.
        memory.set(String.fromCharCode(...text.split("").map((unit) => unit.charCodeAt(0))), found);
      }
    }
    for (const id of found) ids.push(id);
  };

  const encode = (text: string, special: boolean): Int32Array => {
    const ids: number[] = [];
    for (const [i, part] of plain(text.toWellFormed()).entries()) {
      if (typeof part === "number") {
        ids.push(part);
        continue;
      }
      const normal = normalize({ text: part, lead: i === 0 ? String.fromCodePoint(part.codePointAt(0)!).length : 0 });
      for (const [j, inner] of normalized(normal.text).entries()) {
        if (typeof inner === "number") ids.push(inner);
        else for (const one of cut({ text: inner, first: normal.lead > 0 && j === 0 }).texts) encodePiece(one, ids);
      }
    }
    return Int32Array.from(around(ids, special));
  };
  const guard = (text: string, special: boolean) => {
    try {
      return encode(text, special);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new ShapeError(
        `text: got ${text.length} characters with a run that the tokenizer's pattern cannot take (${error.message.slice(0, 80)}), expected shorter runs; give the text in parts`,
        { cause: error },
      );
    }
  };

  return {
    vocabulary: tokens.length,
    encode: (text) => guard(text, false),
    prompt: (text) => guard(text, true),
    special: new Set([...added.values()].filter((token) => token.special).map(({ id }) => id)),
    id: idOf,
    kind,
    piece(id) {
      const [known] = checkIds([id], tokens.length);
      const token = tokens[known!];
      return token === undefined ? new Uint8Array() : piece(token);
    },
    decode(ids) {
      // An id that no token has is no text.
      const names = [...checkIds(ids, tokens.length)].flatMap((id) => tokens[id] ?? []);
      return decode(names).join("");
    },
  };
}

/** Tokens by their ids, as they are decoded: those that are added as they stand in normalized text. */
function namesOf(
  vocab: ReadonlyMap<string, number>,
  added: ReadonlyMap<number, { readonly normal: string }>,
): (string | undefined)[] {
  const most = [...vocab.values(), ...added.keys()].reduce((a, b) => Math.max(a, b), -1);
  const tokens = new Array<string | undefined>(most + 1).fill(undefined);
  for (const [token, id] of vocab) tokens[id] = token;
  for (const [id, { normal }] of added) tokens[id] = normal;
  return tokens;
}
