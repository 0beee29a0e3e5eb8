/** One damaged or lying safetensors file, and what the error must say. */
export interface Hostile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly says: RegExp;
}

/** A file from the text of its header, whatever that text is. `length` overrides the header length it declares. */
export function fileOf(header: string | Uint8Array, data = 0, length?: bigint): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (shape: string, offsets: string, dtype = '"F32"') =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;
const one = (shape: string, offsets: string, dtype?: string) => `{"a":${entry(shape, offsets, dtype)}}`;

/**
 * The attacks on weight files that became public, on this format, and the damage that transfers do. Where a number
 * overflowed somewhere, the same number is here.
 */
export const hostile: readonly Hostile[] = [
  { name: "an empty file", bytes: new Uint8Array(), says: /0 bytes, expected 8/ },
  { name: "a file of 7 bytes", bytes: new Uint8Array(7), says: /7 bytes, expected 8/ },
  { name: "a header length of zero", bytes: fileOf("", 64, 0n), says: /header length of 0, expected at least 2/ },
  {
    name: "a header of 2^63 bytes",
    bytes: fileOf("{}", 0, 2n ** 63n),
    says: /9223372036854775808, expected at most 2 /,
  },
  { name: "a header of 2^64 - 1 bytes", bytes: fileOf("{}", 0, 2n ** 64n - 1n), says: /expected at most 2 / },
  {
    name: "a header one byte beyond the file",
    bytes: fileOf("{}", 0, 3n),
    says: /got a header length of 3, expected at most 2/,
  },
  { name: "a header that is no object", bytes: fileOf("[]"), says: /byte 8: .*expected '\{'/ },
  { name: "a header that begins with a blank", bytes: fileOf(" {}"), says: /byte 8: / },
  { name: "an object that never ends", bytes: fileOf('{"a":'), says: /byte 13: got the end of the header/ },
  { name: "a string that never ends", bytes: fileOf('{"a'), says: /end of a string/ },
  { name: "a string that ends in an escape", bytes: fileOf('{"a\\'), says: /end of a string/ },
  { name: "rubbish after the header", bytes: fileOf("{}x"), says: /only blanks/ },
  { name: "two headers", bytes: fileOf("{}{}"), says: /only blanks/ },
  { name: "a name that is no UTF-8", bytes: fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a)), says: /valid UTF-8/ },
  {
    name: "half a surrogate pair as a name",
    bytes: fileOf(`{"\\ud800":${entry("[0]", "[0,0]")}}`),
    says: /valid UTF-8/,
  },
  { name: "a zero byte in a name", bytes: fileOf('{"a\0":1}'), says: /end of a string/ },
  { name: "an unknown escape", bytes: fileOf('{"\\q":1}'), says: /valid UTF-8 and escapes/ },
  { name: "nesting 100,000 deep", bytes: fileOf(`{"a":${"[".repeat(100_000)}`), says: /byte 13: / },
  { name: "objects 100,000 deep", bytes: fileOf('{"a":'.repeat(100_000)), says: /byte 1\d: / },
  { name: "a tensor that is a number", bytes: fileOf('{"a":1}'), says: /byte 13: got "1}", expected '\{'/ },
  {
    name: "a tensor without a shape",
    bytes: fileOf('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4),
    says: /dtype, shape and/,
  },
  {
    name: "an unknown key",
    bytes: fileOf(`{"a":{"stride":[1],${entry("[1]", "[0,4]").slice(1)}}`, 4),
    says: /once each/,
  },
  { name: "a key twice", bytes: fileOf(`{"a":{"shape":[1],${entry("[1]", "[0,4]").slice(1)}}`, 4), says: /once each/ },
  {
    name: "a name twice",
    bytes: fileOf(`{"a":${entry("[1]", "[0,4]")},"a":${entry("[1]", "[4,8]")}}`, 8),
    says: /the tensor a once only/,
  },
  {
    name: "a name twice, once escaped",
    bytes: fileOf(`{"a":${entry("[1]", "[0,4]")},"\\u0061":${entry("[1]", "[4,8]")}}`, 8),
    says: /the tensor a once only/,
  },
  { name: "metadata twice", bytes: fileOf('{"__metadata__":{},"__metadata__":{}}'), says: /__metadata__ once only/ },
  { name: "a metadata key twice", bytes: fileOf('{"__metadata__":{"a":"1","a":"2"}}'), says: /metadata key a once/ },
  { name: "metadata that is a number", bytes: fileOf('{"__metadata__":{"a":1}}'), says: /expected a string/ },
  { name: "an unknown dtype", bytes: fileOf(one("[1]", "[0,4]", '"F31"'), 4), says: /as dtype, not F31/ },
  {
    name: "a dtype that every object has",
    bytes: fileOf(one("[1]", "[0,4]", '"constructor"'), 4),
    says: /not constructor/,
  },
  { name: "a dtype that is a number", bytes: fileOf(one("[1]", "[0,4]", "7"), 4), says: /expected a string/ },
  { name: "a negative size", bytes: fileOf(one("[-1]", "[0,4]"), 4), says: /not negative/ },
  { name: "a fraction as a size", bytes: fileOf(one("[1.5]", "[0,6]"), 6), says: /expected a whole number/ },
  { name: "a size with an exponent", bytes: fileOf(one("[1e0]", "[0,4]"), 4), says: /expected a whole number/ },
  { name: "a size with a leading zero", bytes: fileOf(one("[01]", "[0,4]"), 4), says: /whole number/ },
  { name: "a size that is a string", bytes: fileOf(one('["1"]', "[0,4]"), 4), says: /whole number/ },
  { name: "a size of 2^53", bytes: fileOf(one("[9007199254740992]", "[0,4]"), 4), says: /below 2\^53/ },
  { name: "a size of 400 digits", bytes: fileOf(one(`[${"9".repeat(400)}]`, "[0,4]"), 4), says: /below 2\^53/ },
  {
    name: "a shape whose product is 2^64",
    bytes: fileOf(one("[4294967296,4294967296]", "[0,0]")),
    says: /below 2\^53 bytes/,
  },
  {
    name: "a shape whose product wraps to 4",
    bytes: fileOf(one("[4294967297,4294967297]", "[0,4]"), 4),
    says: /below 2\^53/,
  },
  {
    name: "a shape of a million axes",
    bytes: fileOf(one(`[${"1,".repeat(999_999)}1]`, "[0,4]"), 4),
    says: /at most 64/,
  },
  { name: "nested shapes", bytes: fileOf(one("[[1]]", "[0,4]"), 4), says: /whole number/ },
  { name: "offsets beyond the file", bytes: fileOf(one("[2]", "[0,8]"), 4), says: /within the 4 bytes of data/ },
  {
    name: "offsets far beyond the file",
    bytes: fileOf(one("[1]", "[4294967296,4294967300]"), 4),
    says: /within the 4 bytes/,
  },
  { name: "a negative offset", bytes: fileOf(one("[1]", "[-4,0]"), 4), says: /not negative/ },
  { name: "offsets in the wrong order", bytes: fileOf(one("[1]", "[4,0]"), 4), says: /begin <= end/ },
  { name: "three offsets", bytes: fileOf(one("[1]", "[0,4,8]"), 8), says: /as \[begin, end\]/ },
  { name: "no offsets", bytes: fileOf(one("[1]", "[]"), 4), says: /as \[begin, end\]/ },
  { name: "a shape smaller than its offsets", bytes: fileOf(one("[1]", "[0,8]"), 8), says: /4 bytes for F32 \[1\]/ },
  { name: "a shape larger than its offsets", bytes: fileOf(one("[3]", "[0,8]"), 8), says: /12 bytes for F32 \[3\]/ },
  {
    name: "overlapping tensors",
    bytes: fileOf(`{"a":${entry("[2]", "[0,8]")},"b":${entry("[2]", "[4,12]")}}`, 12),
    says: /overlap/,
  },
  {
    name: "two tensors on the same bytes",
    bytes: fileOf(`{"a":${entry("[2]", "[0,8]")},"b":${entry("[2]", "[0,8]")}}`, 8),
    says: /overlap/,
  },
  { name: "a hole", bytes: fileOf(`{"a":${entry("[1]", "[0,4]")},"b":${entry("[1]", "[8,12]")}}`, 12), says: /hole/ },
  { name: "a hole at the front", bytes: fileOf(one("[1]", "[4,8]"), 8), says: /hole/ },
  {
    name: "bytes that belong to no tensor",
    bytes: fileOf(one("[1]", "[0,4]"), 5),
    says: /1 bytes that belong to no tensor/,
  },
  { name: "data without a header for it", bytes: fileOf("{}", 1), says: /1 bytes that belong to no tensor/ },
];
