import { buildPattern, replaceMatches } from "./normalize.ts";
import type { Decoder } from "./parts.ts";
import { bytesOfToken } from "./piece.ts";

/** Makes of a list of tokens another one; put together, the last one is the text. */
export type Decode = (tokens: readonly string[]) => readonly string[];

const each =
  (make: (token: string, i: number) => string): Decode =>
  (tokens) =>
    tokens.map(make);

/** What spaces before signs and short forms become where a decoder cleans up, in this order. */
const tidy = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" do not", " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
] as const;
const cleanUp = (text: string) => tidy.reduce((made, [from, to]) => made.replaceAll(from, to), text);

/** The decoder of a tokenizer.json. Errors: FormatError naming the key for a pattern that has no equal in JavaScript. */
export function buildDecoder(file: string, part: Decoder | undefined, at = "decoder"): Decode {
  // Without one, tokens stand apart.
  if (!part) return (tokens) => [tokens.join(" ")];
  switch (part.type) {
    case "Sequence": {
      const steps = part.decoders.map((step, i) => buildDecoder(file, step, `${at}.decoders.${i}`));
      return (tokens) => steps.reduce((made, step) => step(made), tokens);
    }
    case "ByteLevel":
      return (tokens) => [text(tokens.map(bytesOfToken))];
    case "ByteFallback":
      return joinBytes;
    case "Fuse":
      return (tokens) => [tokens.join("")];
    case "Metaspace":
      return each((token, i) =>
        token.replaceAll(part.replacement, i === 0 && part.prepend_scheme !== "never" ? "" : " "),
      );
    case "Replace": {
      const regex = buildPattern(file, `${at}.pattern`, part.pattern);
      return each((token) => replaceMatches(regex, token, part.content).made);
    }
    case "Strip":
      return each((token) => strip(token, part));
    case "WordPiece":
      return each((token, i) => {
        const joined = token.startsWith(part.prefix) ? token.slice(part.prefix.length) : ` ${token}`;
        const made = i === 0 ? token : joined;
        return part.cleanup ? cleanUp(made) : made;
      });
    case "BPEDecoder":
      return (tokens) => tokens.map((token, i) => replaceText(token, part.suffix, i === tokens.length - 1 ? "" : " "));
    case "CTC":
      return (tokens) =>
        tokens
          .filter((token, i) => token !== tokens[i - 1])
          .map((token) => {
            const made = replaceText(token, part.pad_token, "");
            return part.cleanup ? replaceText(cleanUp(made), part.word_delimiter_token, " ") : made;
          })
          .filter((token) => token !== "");
  }
}

/** As Rust replaces: an empty text stands between all characters, code points here as there. */
function replaceText(text: string, from: string, to: string): string {
  if (from) return text.replaceAll(from, () => to);
  return to + Array.from(text, (character) => character + to).join("");
}

function strip(token: string, { content, start, stop }: Extract<Decoder, { type: "Strip" }>): string {
  const characters = [...token];
  let from = 0;
  while (from < Math.min(start, characters.length) && characters[from] === content) from++;
  let to = characters.length;
  while (characters.length - to < stop && characters[to - 1] === content) to--;
  return characters.slice(from, Math.max(from, to)).join("");
}

/** Bytes written as tokens in a row become the text that they are, or as many replacement characters if they are none. */
function joinBytes(tokens: readonly string[]): string[] {
  const made: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (!bytes.length) return;
    try {
      made.push(strict.decode(Uint8Array.from(bytes)));
    } catch {
      made.push("\ufffd".repeat(bytes.length));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const hex = /^<0x(\+[0-9A-Fa-f]|[0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (hex) bytes.push(Number.parseInt(hex, 16));
    else {
      flush();
      made.push(token);
    }
  }
  flush();
  return made;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

function text(parts: readonly Uint8Array[]): string {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return lenient.decode(all);
}
