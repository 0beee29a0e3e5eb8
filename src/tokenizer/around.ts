import { FormatError } from "../tensor/error.ts";

/** A post-processor of tokenizer.json that puts `begin` and `end` around a text, each where it is given. */
export function aroundText(begin: string | undefined, end: string | undefined): object {
  const token = (id: string | undefined) => (id === undefined ? [] : [{ SpecialToken: { id, type_id: 0 } }]);
  const single = [...token(begin), { Sequence: { id: "A", type_id: 0 } }, ...token(end)];
  return { type: "TemplateProcessing", single, pair: [], special_tokens: {} };
}

/**
 * Classes of tokenizers for which `add_bos_token` and `add_eos_token` decide, whatever tokenizer.json says; others do not know
 * these keys. The fast ones of transformers 4 have the same names with "Fast" (`update_post_processor`); since version 5 it
 * leaves the keys aside, so that DeepSeek's models lose the token they were trained with.
 */
const deciding = ["LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer", "GPTNeoXTokenizer"];

/**
 * A tokenizer.json with the begin and the end of a text as the tokenizer_config.json beside it says: where its class is one for
 * which these keys decide, or is not named, and it has one of them.
 *
 * Errors: FormatError where a token is to be added that the config or the vocabulary lacks.
 */
export function withEnds(file: string, tokenizer: object, config: Readonly<Record<string, unknown>>): object {
  const { tokenizer_class: kind, add_bos_token: begin, add_eos_token: end } = config;
  if (typeof begin !== "boolean" && typeof end !== "boolean") return tokenizer;
  if (typeof kind === "string" && !deciding.includes(kind.replace(/Fast$/, ""))) return tokenizer;
  const [bos, eos] = [config.bos_token, config.eos_token].map(textOf);
  const usual = bos !== undefined && kind !== "GPTNeoXTokenizerFast" && kind !== "GPTNeoXTokenizer";
  const token = (name: "bos" | "eos", text: string | undefined) => {
    if (text !== undefined && isKnown(tokenizer, text)) return text;
    throw new FormatError(
      `${file}: add_${name}_token: got true, and ${name}_token ${JSON.stringify(text ?? null).slice(0, 80)}, ` +
        "expected a token of the vocabulary; correct the tokenizer_config.json",
    );
  };
  const around = aroundText(
    (typeof begin === "boolean" ? begin : usual) ? token("bos", bos) : undefined,
    end === true ? token("eos", eos) : undefined,
  );
  return { ...tokenizer, post_processor: around };
}

/** A token's text, which stands alone or in an object. */
function textOf(token: unknown): string | undefined {
  const text = typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return typeof text === "string" ? text : undefined;
}

/** Whether a tokenizer.json has a token of this text: added, or among those of its model, a record of ids or a list of pairs. */
function isKnown(tokenizer: object, text: string): boolean {
  const { added_tokens: added, model } = tokenizer as { added_tokens?: unknown; model?: { vocab?: unknown } | null };
  const vocab = model?.vocab;
  return (
    (Array.isArray(added) && added.some((token) => token?.content === text)) ||
    (Array.isArray(vocab)
      ? vocab.some((pair) => pair?.[0] === text)
      : typeof vocab === "object" && vocab !== null && Object.hasOwn(vocab, text))
  );
}
