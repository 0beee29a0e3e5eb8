/**
 * SentencePiece's compiled table of replacements (`precompiled_charsmap`, in Base64): the length of a double array in bytes, the
 * array of 32-bit units (a Darts trie over UTF-8), and the replacements, each ended by a zero.
 *
 * Undefined where the text is no such table.
 */
export function readCharsmap(base64: string): ((text: string) => string) | undefined {
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
  if (bytes.length < 8) return undefined;
  const view = new DataView(bytes.buffer);
  const size = Math.floor(view.getUint32(0, true) / 4);
  if (size < 1 || 4 + 4 * size > bytes.length) return undefined;
  const units = Uint32Array.from({ length: size }, (_, i) => view.getUint32(4 + 4 * i, true));
  const texts = bytes.subarray(4 + 4 * size);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** What stands for a text, by the shortest of its beginnings that the table has: the original looks no farther. */
  const replace = (text: string): string | undefined => {
    let unit = units[0]!;
    let node = offset(unit);
    for (const byte of encoder.encode(text)) {
      if (byte === 0) return undefined;
      node ^= byte;
      unit = units[node] ?? 0;
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
      node ^= offset(unit);
      if ((unit >>> 8) & 1) {
        const from = (units[node] ?? 0) & 0x7fffffff;
        const end = texts.indexOf(0, from);
        return decoder.decode(texts.subarray(from, end < 0 ? texts.length : end));
      }
    }
    return undefined;
  };

  // Characters are few, whatever the text.
  const known = new Map<string, string>();
  const single = (character: string) => {
    const before = known.get(character);
    if (before !== undefined) return before;
    const made = replace(character) ?? character;
    known.set(character, made);
    return made;
  };
  // Made for a tokenizer that has a table: what finds graphemes holds 2 MiB.
  const graphemes = new Intl.Segmenter("und", { granularity: "grapheme" });
  return (text) => {
    let made = "";
    for (const [i, part] of text.split(plain).entries()) {
      if (i % 2) for (const character of part) made += single(character);
      else
        for (const { segment } of graphemes.segment(part)) {
          // A grapheme of several characters is looked up as a whole, if it is short.
          const whole = encoder.encode(segment).length < 6 ? replace(segment) : undefined;
          if (whole !== undefined) made += whole;
          else for (const character of segment) made += single(character);
        }
    }
    return made;
  };
}

/** ASCII between ASCII: a grapheme is one character there, but for line ends of two. */
const plain = /((?<=[\p{ASCII}--\r])[\p{ASCII}--\r]+(?=\p{ASCII}))/v;

const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
