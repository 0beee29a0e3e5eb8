import { FormatError } from "../tensor/error.ts";
import { readCharsmap } from "./charsmap.ts";
import type { Normalizer, Pattern } from "./parts.ts";
import { byteCharacters } from "./piece.ts";
import { literalRegex, translateRegex } from "./regex.ts";
import { accents, controls, marks, normalForm, white } from "./unicode.ts";

/**
 * A text on its way to pieces, and how much of its beginning stands for the first character of the text that was given: as long as
 * that is something, Metaspace takes it for a first text.
 */
export interface Normal {
  readonly text: string;
  readonly lead: number;
}

export type Normalize = (normal: Normal) => Normal;

const encoder = new TextEncoder();

/** A text's bytes as printable characters. */
export function bytesAsCharacters(text: string): string {
  let made = "";
  for (const byte of encoder.encode(text)) made += byteCharacters[byte];
  return made;
}

/** A pattern of a tokenizer.json. Errors: FormatError naming `at` for one that has no equal in JavaScript. */
export function buildPattern(file: string, at: string, pattern: Pattern): RegExp {
  if ("String" in pattern) return literalRegex(pattern.String);
  const made = translateRegex(pattern.Regex);
  if ("regex" in made) return made.regex;
  throw new FormatError(
    `${file}: ${at}: got ${JSON.stringify(pattern.Regex).slice(0, 80)} with ${made.unknown.slice(0, 80)}, expected a pattern that can be said in JavaScript`,
  );
}

/** What makes another text, and of its beginning another beginning. */
const change =
  (make: (text: string) => string): Normalize =>
  ({ text, lead }) => ({ text: make(text), lead: lead && make(text.slice(0, lead)).length });

/** What takes characters of a class away. The class is made when it is first asked for, with Unicode's tables for it. */
function drop(set: string): Normalize {
  let all: RegExp | undefined;
  return change((text) => {
    all ??= new RegExp(set, "gv");
    return text.replace(all, "");
  });
}

/** Small letters one by one: a sigma at the end of a word is one as elsewhere. */
const lower = change((text) => text.replaceAll("\u03a3", "\u03c3").toLowerCase());

const han =
  "[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]";

/** Without whitespace at the end, in steps that do not grow with the whitespace before. */
function trimEnd(text: string): string {
  let end = text.length;
  const one = new RegExp(white, "v");
  while (end > 0 && one.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const nmtDropped = drop("[\\x01-\\x08\\x0b\\x0e-\\x1f\\x7f\\x8f\\x9f]");
const nmtBlank = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

const alone: Readonly<Record<string, Normalize>> = {
  StripAccents: drop(marks),
  NFC: change((text) => normalForm(text, "NFC")),
  NFD: change((text) => normalForm(text, "NFD")),
  NFKC: change((text) => normalForm(text, "NFKC")),
  NFKD: change((text) => normalForm(text, "NFKD")),
  Lowercase: lower,
  Nmt: (normal) => change((text) => text.replace(nmtBlank, " "))(nmtDropped(normal)),
  ByteLevel: change(bytesAsCharacters),
};

/** All steps, one after the other. */
const chain =
  (steps: readonly Normalize[]): Normalize =>
  (normal) =>
    steps.reduce((made, step) => step(made), normal);

/** The normalizer of a tokenizer.json. Errors: FormatError naming the key for a pattern or a table that cannot be read. */
export function buildNormalizer(file: string, part: Normalizer, at = "normalizer"): Normalize {
  switch (part.type) {
    case "Sequence":
      return chain(part.normalizers.map((step, i) => buildNormalizer(file, step, `${at}.normalizers.${i}`)));
    case "BertNormalizer": {
      const { clean_text, handle_chinese_chars, strip_accents, lowercase } = part;
      const steps: Normalize[] = [];
      const [whites, spaced] = [new RegExp(white, "gv"), new RegExp(han, "gv")];
      if (clean_text)
        steps.push(
          drop(controls),
          change((text) => text.replace(whites, " ")),
        );
      if (handle_chinese_chars) steps.push(change((text) => text.replace(spaced, " $& ")));
      if (strip_accents ?? lowercase) steps.push(alone.NFD!, drop(accents));
      if (lowercase) steps.push(lower);
      return chain(steps);
    }
    case "Strip": {
      const leading = new RegExp(`^${white}+`, "v");
      return ({ text, lead }) => {
        const from = part.strip_left ? (leading.exec(text)?.[0].length ?? 0) : 0;
        const left = text.slice(from);
        return { text: part.strip_right ? trimEnd(left) : left, lead: Math.max(0, lead - from) };
      };
    }
    case "Precompiled": {
      const replace = readCharsmap(part.precompiled_charsmap);
      if (replace) return change(replace);
      throw new FormatError(
        `${file}: ${at}.precompiled_charsmap: got no table, expected SentencePiece's; fetch it again`,
      );
    }
    case "Replace": {
      const regex = buildPattern(file, `${at}.pattern`, part.pattern);
      // The original then counts characters that are not there, and doubles others.
      if (new RegExp(regex.source, "v").test(""))
        throw new FormatError(
          `${file}: ${at}.pattern: got one that matches nothing at all, expected one with characters`,
        );
      return ({ text, lead }) => {
        const { made, first } = replaceMatches(regex, text, part.content);
        // What stands for several characters counts as the last of them.
        const kept = first > lead ? 0 : replaceMatches(regex, text.slice(0, lead), part.content).made.length;
        return { text: made, lead: lead && kept };
      };
    }
    case "Prepend":
      return change((text) => text && part.prepend + text);
    default:
      return alone[part.type]!;
  }
}

/** Every match of a pattern replaced; `first` characters of the text were one that it begins with. */
export function replaceMatches(regex: RegExp, text: string, content: string): { made: string; first: number } {
  let made = "";
  let at = 0;
  let first = 0;
  for (const [from, to] of findMatches(regex, text)) {
    if (from === 0) first = to;
    made += text.slice(at, from) + content;
    at = to;
  }
  return { made: made + text.slice(at), first };
}

/**
 * Where a global pattern matches, one after the other, as [from, to]. An empty match right after another one is none: the search
 * goes on a character later.
 */
export function* findMatches(regex: RegExp, text: string): Generator<readonly [from: number, to: number]> {
  let from = 0;
  let last = -1;
  // The original looks for nothing in an empty text.
  while (text && from <= text.length) {
    regex.lastIndex = from;
    const found = regex.exec(text);
    if (!found) return;
    const to = found.index + found[0].length;
    if (to === found.index && last === to) {
      from += (text.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
      continue;
    }
    from = to;
    last = to;
    yield [found.index, to];
  }
}
