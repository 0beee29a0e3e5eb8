import { property, white } from "./unicode.ts";

/** Oniguruma's `\w` outside of brackets has six signs of Latin-1 beside the letters, marks and digits. */
const word = `${property("Alphabetic")}${property("M")}${property("Nd")}${property("Pc")}`;
export const looseWord = `[${word}\\u{b2}\\u{b3}\\u{b9}\\u{bc}\\u{bd}\\u{be}]`;

/** Classes in brackets as POSIX names them, as classes for the `v` flag. */
export const posix: Readonly<Record<string, string>> = {
  alnum: `[${property("Alphabetic")}${property("Nd")}]`,
  alpha: property("Alphabetic"),
  ascii: "[\\0-\\x7f]",
  blank: "[\\t\\p{Zs}]",
  cntrl: "[\\p{Cc}]",
  digit: property("Nd"),
  graph: `[^\\p{White_Space}\\p{Cc}${property("Cn")}\\p{Cs}]`,
  lower: property("Lowercase"),
  print: `[^\\p{Cc}${property("Cn")}\\p{Cs}\\p{Zl}\\p{Zp}]`,
  punct: `[${property("P")}${property("S")}]`,
  space: white,
  upper: property("Uppercase"),
  xdigit: "[0-9A-Fa-f]",
  word: `[${word}]`,
};

/** Properties by their short names and their long ones; scripts and binary properties have one name here and there. */
const long: Readonly<Record<string, string>> = Object.fromEntries(
  (
    "L=letter Lu=uppercaseletter Ll=lowercaseletter Lt=titlecaseletter Lm=modifierletter Lo=otherletter M=mark " +
    "Mn=nonspacingmark Mc=spacingmark Me=enclosingmark N=number Nd=decimalnumber Nl=letternumber No=othernumber " +
    "P=punctuation Pc=connectorpunctuation Pd=dashpunctuation Ps=openpunctuation Pe=closepunctuation Pi=initialpunctuation " +
    "Pf=finalpunctuation Po=otherpunctuation S=symbol Sm=mathsymbol Sc=currencysymbol Sk=modifiersymbol So=othersymbol " +
    "Z=separator Zs=spaceseparator Zl=lineseparator Zp=paragraphseparator C=other Cc=control Cf=format Co=privateuse " +
    "Cn=unassigned"
  )
    .split(" ")
    .flatMap((pair) => {
      const [short, name] = pair.split("=") as [string, string];
      return [[short.toLowerCase(), short] as const, [name, short] as const];
    }),
);

const scripts =
  "Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Sinhala Tamil Telugu Thai Tibetan".split(
    " ",
  );
const binary =
  "Alphabetic Uppercase Lowercase White_Space Emoji Ideographic Extended_Pictographic Emoji_Presentation".split(" ");

/** A property's class by the name that Oniguruma knows it by, which minds neither case nor blanks, "-" and "_". */
export function propertyOf(name: string): string | undefined {
  const plain = name.replaceAll(/[\s_-]/g, "").toLowerCase();
  // In brackets this name has symbols too, and `word` lacks six signs.
  if (plain === "punct") return property("P");
  if (plain === "word") return looseWord;
  if (Object.hasOwn(posix, plain)) return posix[plain]!;
  if (Object.hasOwn(long, plain)) return property(long[plain]!);
  if (plain === "any") return "[^]";
  const same = (known: string) => known.replaceAll("_", "").toLowerCase() === plain;
  const script = scripts.find(same);
  if (script) return property(`Script=${script}`);
  const found = binary.find(same);
  return found && property(found);
}
