import { buildPattern, bytesAsCharacters, findMatches } from "./normalize.ts";
import type { Behavior, PreTokenizer } from "./parts.ts";
import { literalRegex, translateRegex } from "./regex.ts";
import { numeric, punctuation, rustWord, white } from "./unicode.ts";

/** A text to be cut; `first` if it begins where the text that was given did. */
interface Normal {
  readonly text: string;
  readonly first: boolean;
}

/** Pieces of a text, none of them empty; `first` if the first one begins where the whole text did. */
export interface Pieces {
  readonly texts: readonly string[];
  readonly first: boolean;
}

/** A step on the way from a text to pieces: it cuts, or writes each piece in other characters. */
type Step = { readonly cut: (normal: Normal) => Pieces } | { readonly write: (text: string) => string };

/** How a text becomes pieces, and what a model is then to see of each. */
export interface PreTokenize {
  cut(normal: Normal): Pieces;
  write(piece: string): string;
}

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function regexOf(source: string): RegExp {
  const made = translateRegex(source);
  if ("unknown" in made) throw new Error(made.unknown);
  return made.regex;
}

/** Made where a tokenizer asks: tables of Unicode for the classes of all kinds would be held by every one, 1 MiB. */
const classRegex = (set: string) => new RegExp(set, "gv");

/** The parts of a text by a pattern: [from, to, matched], without gaps. */
type Span = [from: number, to: number, matched: boolean];

function spansOf(regex: RegExp, text: string, invert: boolean): Span[] {
  const spans: Span[] = [];
  let at = 0;
  for (const [from, to] of findMatches(regex, text)) {
    if (at !== from) spans.push([at, from, invert]);
    spans.push([from, to, !invert]);
    at = to;
  }
  if (at !== text.length) spans.push([at, text.length, invert]);
  return spans;
}

/** What becomes of matched spans. */
const behaviors: Readonly<Record<Behavior, (spans: readonly Span[]) => readonly Span[]>> = {
  Isolated: (spans) => spans,
  Removed: (spans) => spans.filter(([, , matched]) => !matched),
  Contiguous: (spans) => join(spans, (matched, before) => matched === before),
  MergedWithPrevious: (spans) => join(spans, (matched, before) => matched && !before),
  MergedWithNext(spans) {
    const mirrored = spans.map(([from, to, matched]): Span => [-to, -from, matched]).reverse();
    return join(mirrored, (matched, before) => matched && !before)
      .map(([from, to, matched]): Span => [-to, -from, matched])
      .reverse();
  },
};

/** Joins a span to the one before it where `joins` says so of both; before the first stands one that has not matched. */
function join(spans: readonly Span[], joins: (matched: boolean, before: boolean) => boolean): Span[] {
  const made: Span[] = [];
  let before = false;
  for (const [from, to, matched] of spans) {
    const last = made.at(-1);
    if (last && joins(matched, before)) last[1] = to;
    else made.push([from, to, matched]);
    before = matched;
  }
  return made;
}

function cutBy(regex: RegExp, behavior: Behavior, invert = false): Step {
  const choose = behaviors[behavior];
  return {
    cut({ text, first }) {
      const spans = choose(spansOf(regex, text, invert)).filter(([from, to]) => to > from);
      return { texts: spans.map(([from, to]) => text.slice(from, to)), first: first && spans[0]?.[0] === 0 };
    },
  };
}

/** A step that changes a text, and then cuts it. */
const after = (make: (normal: Normal) => string, step: Step | undefined): Step => ({
  cut(normal) {
    const made = { text: make(normal), first: normal.first };
    return step && "cut" in step ? step.cut(made) : { texts: made.text ? [made.text] : [], first: made.first };
  },
});

function stepsOf(file: string, part: PreTokenizer, at: string): Step[] {
  switch (part.type) {
    case "Sequence":
      return part.pretokenizers.flatMap((step, i) => stepsOf(file, step, `${at}.pretokenizers.${i}`));
    case "ByteLevel": {
      const cut = part.use_regex ? cutBy(regexOf(gpt2), "Isolated") : undefined;
      const spaced = ({ text }: Normal) => (text.startsWith(" ") ? text : ` ${text}`);
      const begin = part.add_prefix_space ? after(spaced, cut) : cut;
      return [...(begin ? [begin] : []), { write: bytesAsCharacters }];
    }
    case "Metaspace": {
      const { replacement, prepend_scheme: scheme, split } = part;
      const spaced = ({ text, first }: Normal) => {
        const marked = text.replaceAll(" ", () => replacement);
        const wanted = scheme === "always" || (scheme === "first" && first);
        return wanted && !marked.startsWith(replacement) ? replacement + marked : marked;
      };
      return [after(spaced, split ? cutBy(literalRegex(replacement), "MergedWithNext") : undefined)];
    }
    case "Split":
      return [cutBy(buildPattern(file, `${at}.pattern`, part.pattern), part.behavior, part.invert)];
    case "Punctuation":
      return [cutBy(classRegex(punctuation), part.behavior)];
    case "Digits":
      return [cutBy(classRegex(numeric), part.individual_digits ? "Isolated" : "Contiguous")];
    case "Whitespace":
      return [cutBy(classRegex(`${rustWord}+|[^${rustWord}${white}]+`), "Removed", true)];
    case "WhitespaceSplit":
      return [cutBy(classRegex(white), "Removed")];
    case "BertPreTokenizer":
      return [cutBy(classRegex(white), "Removed"), cutBy(classRegex(punctuation), "Isolated")];
    case "CharDelimiterSplit":
      return [cutBy(literalRegex(part.delimiter), "Removed")];
    case "FixedLength":
      return [cutBy(new RegExp(`[^]{1,${part.length}}`, "gv"), "Isolated")];
  }
}

/** The pre-tokenizer of a tokenizer.json. Errors: FormatError naming the key for a pattern that has no equal in JavaScript. */
export function buildPreTokenizer(file: string, part: PreTokenizer | undefined): PreTokenize {
  const steps = part ? stepsOf(file, part, "pre_tokenizer") : [];
  // Writing that nothing comes after is done for a piece once, when the model first sees it.
  let count = steps.length;
  while (count > 0 && "write" in steps[count - 1]!) count--;
  const before = steps.slice(0, count);
  const last = steps.slice(count).flatMap((step) => ("write" in step ? [step.write] : []));
  return {
    cut(normal) {
      let pieces: Pieces = { texts: normal.text ? [normal.text] : [], first: normal.first };
      for (const step of before) pieces = runStep(step, pieces);
      return pieces;
    },
    write: (piece) => last.reduce((text, write) => write(text), piece),
  };
}

function runStep(step: Step, { texts, first }: Pieces): Pieces {
  if ("write" in step) return { texts: texts.map(step.write), first };
  const made: string[] = [];
  let begins = false;
  for (const [i, text] of texts.entries()) {
    const pieces = step.cut({ text, first: first && i === 0 });
    if (i === 0) begins = pieces.first;
    for (const piece of pieces.texts) made.push(piece);
  }
  return { texts: made, first: begins };
}
