/** How the tokens of a vocabulary are written: bytes as printable characters, text with `<0x00>` for bytes, or text alone. */
export type TokenKind = "byte-level" | "byte-fallback" | "plain";

/** GPT-2's way to write bytes as characters: those that print stand for themselves, the others from U+0100 on in order. */
export const byteCharacters: readonly string[] = (() => {
  const prints = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(prints(byte) ? byte : next++));
})();

const characterBytes = new Map(byteCharacters.map((character, byte) => [character, byte]));

/** The bytes that a token of a byte-level vocabulary stands for; one with other characters in it is its own text. */
export function bytesOfToken(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = characterBytes.get(token[i]!);
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}

const encoder = new TextEncoder();

/** What a step of a tokenizer.json's `decoder` makes of one token that stands inside a text; bytes are final. */
type Step = (token: string) => string | Uint8Array;

interface Description {
  readonly type?: unknown;
  readonly decoders?: unknown;
  readonly pattern?: { readonly String?: unknown; readonly Regex?: unknown };
  readonly content?: unknown;
  readonly replacement?: unknown;
  readonly prefix?: unknown;
  readonly suffix?: unknown;
}

const textOf = (value: unknown, usual: string) => (typeof value === "string" ? value : usual);

/** Steps by their names; those that are missing change a text's beginning or end alone, or nothing. */
const steps: Readonly<Record<string, (step: Description) => Step>> = {
  ByteLevel: () => bytesOfToken,
  ByteFallback: () => (token) =>
    /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Uint8Array.of(Number(token.slice(1, 5))) : token,
  Metaspace:
    ({ replacement }) =>
    (token) =>
      token.replaceAll(textOf(replacement, "\u2581"), " "),
  Replace:
    ({ pattern, content }) =>
    (token) =>
      typeof pattern?.String === "string" ? token.replaceAll(pattern.String, () => textOf(content, "")) : token,
  WordPiece({ prefix }) {
    const inner = textOf(prefix, "##");
    return (token) => (token.startsWith(inner) ? token.slice(inner.length) : ` ${token}`);
  },
  BPEDecoder:
    ({ suffix }) =>
    (token) =>
      token.replaceAll(textOf(suffix, "</w>"), " "),
};

/** The steps of a `decoder` that a single token sees. */
function stepsOf(decoder: unknown): readonly Description[] {
  const step = (typeof decoder === "object" && decoder !== null ? decoder : {}) as Description;
  return step.type === "Sequence" && Array.isArray(step.decoders) ? step.decoders.flatMap(stepsOf) : [step];
}

/** How a vocabulary with this `decoder` writes its tokens, and the bytes that a token adds to a text which goes before it. */
export function readPieces(decoder: unknown): { readonly kind: TokenKind; piece(token: string): Uint8Array } {
  const described = stepsOf(decoder);
  const has = (type: string) => described.some((step) => step.type === type);
  const chain = described.flatMap((step) => {
    const type = typeof step.type === "string" ? step.type : "";
    return Object.hasOwn(steps, type) ? [steps[type]!(step)] : [];
  });
  return {
    kind: has("ByteLevel") ? "byte-level" : has("ByteFallback") ? "byte-fallback" : "plain",
    piece(token) {
      let text = token;
      for (const step of chain) {
        const made = step(text);
        if (typeof made !== "string") return made;
        text = made;
      }
      return encoder.encode(text);
    },
  };
}
