import { FormatError } from "../tensor/error.ts";
import type { Processor } from "./parts.ts";

/** A token that goes before or after a text. */
export interface End {
  readonly text: string;
  readonly id: number;
}

/** A post-processor of tokenizer.json that puts `begin` and `end` around a text, each where it is given. */
export function aroundText(begin: End | undefined, end: End | undefined): Processor {
  const token = (of: End | undefined) => (of === undefined ? [] : [{ SpecialToken: { id: of.text, type_id: 0 } }]);
  const single = [...token(begin), { Sequence: { id: "A" as const, type_id: 0 } }, ...token(end)];
  const ends = [begin, end].filter((of) => of !== undefined);
  const special = ends.map(({ text, id }): [string, { id: string; ids: number[]; tokens: string[] }] => [
    text,
    { id: text, ids: [id], tokens: [text] },
  ]);
  return { type: "TemplateProcessing", single, pair: [], special_tokens: Object.fromEntries(special) };
}

/** Puts special tokens around a text's ids, if `special` says so; what else it does, it does anyway. */
export type Around = (ids: readonly number[], special: boolean) => readonly number[];

/**
 * The post-processor of a tokenizer.json, for a text alone. Errors: FormatError for a template with a token that it does not list,
 * with a second text, or with ids that no token has.
 */
export function buildAround(
  file: string,
  part: Processor | undefined,
  known: (id: number) => boolean,
  at = "post_processor",
): Around {
  const check = (ids: readonly number[], key: string) => {
    const wrong = ids.find((id) => !known(id));
    if (wrong === undefined) return ids;
    throw new FormatError(`${file}: ${at}.${key}: got the id ${wrong}, expected a token's; correct the file`);
  };
  switch (part?.type) {
    case undefined:
    case "ByteLevel":
      return (ids) => ids;
    case "Sequence": {
      // What comes after a template is given its parts as so many texts; nobody means that.
      if (part.processors.filter(({ type }) => type !== "ByteLevel").length > 1)
        throw new FormatError(
          `${file}: ${at}.processors: got several that put tokens around a text, expected one; correct the file`,
        );
      const steps = part.processors.map((step, i) => buildAround(file, step, known, `${at}.processors.${i}`));
      return (ids, special) => steps.reduce((made, step) => step(made, special), ids);
    }
    case "BertProcessing":
    case "RobertaProcessing": {
      const [begin] = check([part.cls[1]], "cls");
      const [end] = check([part.sep[1]], "sep");
      return (ids, special) => (special ? [begin!, ...ids, end!] : ids);
    }
    case "TemplateProcessing": {
      const parts = part.single.map((piece, i) => {
        if ("Sequence" in piece) {
          if (piece.Sequence.id === "A") return undefined;
          throw new FormatError(
            `${file}: ${at}.single.${i}: got a second text, expected one text alone; correct the file`,
          );
        }
        const { id } = piece.SpecialToken;
        if (Object.hasOwn(part.special_tokens, id))
          return check(part.special_tokens[id]!.ids, `special_tokens.${id.slice(0, 80)}.ids`);
        throw new FormatError(
          `${file}: ${at}.special_tokens: got none called ${JSON.stringify(id).slice(0, 80)}, expected those of the template; correct the file`,
        );
      });
      return (ids, special) => parts.flatMap((token) => (token === undefined ? ids : special ? token : []));
    }
  }
}

/**
 * Classes of tokenizers for which `add_bos_token` and `add_eos_token` decide, whatever tokenizer.json says; others do not know
 * these keys. The fast ones of transformers 4 have the same names with "Fast" (`update_post_processor`); since version 5 it
 * leaves the keys aside, so that DeepSeek's models lose the token they were trained with.
 */
const deciding = ["LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer", "GPTNeoXTokenizer"];

/**
 * What tokenizer_config.json says of the begin and the end of a text, which tokenizer.json is beside: a post-processor where its
 * class is one for which these keys decide, or is not named, and it has one of them. `id` finds a token.
 *
 * Errors: FormatError where a token is to be added that the config or the vocabulary lacks.
 */
export function readEnds(
  file: string,
  id: (token: string) => number | undefined,
  config: Readonly<Record<string, unknown>>,
): Processor | undefined {
  const { tokenizer_class: kind, add_bos_token: begin, add_eos_token: end } = config;
  if (typeof begin !== "boolean" && typeof end !== "boolean") return undefined;
  if (typeof kind === "string" && !deciding.includes(kind.replace(/Fast$/, ""))) return undefined;
  const [bos, eos] = [config.bos_token, config.eos_token].map(textOf);
  const usual = bos !== undefined && kind !== "GPTNeoXTokenizerFast" && kind !== "GPTNeoXTokenizer";
  const token = (name: "bos" | "eos", text: string | undefined): End => {
    const found = text === undefined ? undefined : id(text);
    if (found !== undefined) return { text: text!, id: found };
    throw new FormatError(
      `${file}: add_${name}_token: got true, and ${name}_token ${JSON.stringify(text ?? null).slice(0, 80)}, ` +
        "expected a token of the vocabulary; correct the tokenizer_config.json",
    );
  };
  return aroundText(
    (typeof begin === "boolean" ? begin : usual) ? token("bos", bos) : undefined,
    end === true ? token("eos", eos) : undefined,
  );
}

/** A token's text, which stands alone or in an object. */
function textOf(token: unknown): string | undefined {
  const text = typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return typeof text === "string" ? text : undefined;
}
