import type { ByteSource } from "../../src/file/bytes.ts";
import { storedBytes } from "../../src/file/dtype.ts";
import { readGguf, typeCodes } from "../../src/file/gguf.ts";
import { readSafetensors, type TensorReader } from "../../src/file/safetensors.ts";
import { blocks, isQuant } from "../../src/tensor/quant.ts";
import type { Random } from "../../src/tensor/random.ts";
import { ggufTokenizer } from "../../src/tokenizer/ggml.ts";
import { bytesOf, type Field, hurt, raw, spoilt, strange, text, u32, u64 } from "./mutate.ts";
import { check, checkRefusal, type Target } from "./target.ts";

/** Most bytes that may be fetched or allocated at once for a file of this size: a block of Q4_0 takes 18, its numbers 128. */
const budget = (size: number) => 8 * size + 4096;

function sourceOf(bytes: Uint8Array): ByteSource {
  return {
    name: "fuzzed",
    size: bytes.length,
    async read(offset, into) {
      check(into.length <= budget(bytes.length), `a read of ${into.length} bytes from a file of ${bytes.length}`);
      check(
        offset + into.length <= bytes.length,
        `a read beyond the end: ${offset} + ${into.length} of ${bytes.length}`,
      );
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}

/** Reads every tensor; each is a part of the file of its own. */
async function readTensors(reader: TensorReader, size: number): Promise<void> {
  const parts: [number, number][] = [];
  for (const name of reader.names) {
    const { dtype, shape, elements, begin, end } = reader.entry(name);
    check(elements === shape.reduce((a, b) => a * b, 1), `${elements} elements of [${shape}]`);
    check(end - begin === storedBytes(dtype, elements), `${end - begin} bytes for ${dtype} [${shape}]`);
    check(begin >= 8 && (end <= size || end === begin), `bytes ${begin} to ${end} of ${size}`);
    if (end > begin) parts.push([begin, end]);
    const values = await refusing(() => reader.read(name));
    check(values === undefined || values.length === elements, `${values?.length} numbers of ${elements}`);
    await reader.readBytes(name, 0, new Uint8Array(new SharedArrayBuffer(end - begin)));
  }
  parts.sort(([a], [b]) => a - b);
  for (let i = 1; i < parts.length; i++) check(parts[i - 1]![1] <= parts[i]![0], "two tensors overlap");
}

/** What `call` gives, or undefined for a FormatError. */
async function refusing<T>(call: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    checkRefusal(error);
    return undefined;
  }
}

const string = (s: string) => [u64(new TextEncoder().encode(s).length), text(s)];
const strings = (...all: string[]) => [u32(9), u32(8), u64(all.length), ...all.flatMap(string)];

/** A vocabulary of each kind, as small as one can be. */
function vocabulary(random: Random): Field[][] {
  const key = (name: string, ...value: Field[]) => [...string(`tokenizer.ggml.${name}`), ...value];
  const common = [key("bos_token_id", u32(4), u32(1)), key("add_bos_token", u32(7), raw(Uint8Array.of(1)))];
  if (random.integer(2))
    return [
      key("model", u32(8), ...string("gpt2")),
      key("pre", u32(8), ...string(random.pick(["default", "qwen2", "deepseek-v3", "gpt-4o"]))),
      key("tokens", ...strings("a", "b", "ab", "\u0120", "<s>")),
      key("token_type", u32(9), u32(5), u64(5), ...[1, 1, 1, 1, 3].map(u32)),
      key("merges", ...strings("a b")),
      ...common,
    ];
  return [
    key("model", u32(8), ...string("llama")),
    key("tokens", ...strings("<unk>", "<s>", "</s>", "<0x41>", "\u2581", "a", "\u2581a")),
    key("scores", u32(9), u32(6), u64(7), raw(new Uint8Array(28))),
    key("token_type", u32(9), u32(5), u64(7), ...[2, 3, 3, 6, 1, 1, 1].map(u32)),
    ...common,
  ];
}

function ggufFields(random: Random): Field[] {
  const width = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
  const singles = [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12];
  const keys: Field[][] = random.integer(2) ? vocabulary(random) : [];
  for (let n = random.integer(4); n > 0; n--) {
    const type = random.pick(singles);
    const one = () => raw(new Uint8Array(width[type]!));
    keys.push([...string(`key.${n}`), u32(type), one()]);
    const count = random.integer(4);
    keys.push([...string(`list.${n}`), u32(9), u32(type), u64(count), ...Array.from({ length: count }, one)]);
  }
  if (random.integer(3) === 0) keys.push([...string("general.alignment"), u32(4), u32(32)]);
  const tensors: Field[][] = [];
  const data: Field[] = [];
  let offset = 0;
  for (let n = random.integer(4); n > 0; n--) {
    const [dtype, code] = random.pick(Object.entries(typeCodes));
    const row = (isQuant(dtype) ? blocks[dtype].elements : 1) * (1 + random.integer(2));
    const rows = 1 + random.integer(3);
    const bytes = storedBytes(dtype as keyof typeof typeCodes, row * rows);
    tensors.push([...string(`tensor.${n}`), u32(2), u64(row), u64(rows), u32(code), u64(offset)]);
    data.push({ kind: "pad", to: 32 }, raw(new Uint8Array(bytes).fill(random.integer(256))));
    offset += Math.ceil(bytes / 32) * 32;
  }
  return [text("GGUF"), u32(3), u64(tensors.length), u64(keys.length), ...keys.flat(), ...tensors.flat(), ...data];
}

export const gguf: Target = {
  make(random) {
    let fields = ggufFields(random);
    for (let n = random.integer(4); n > 0; n--) fields = hurt(random, fields);
    const bytes = bytesOf(fields);
    return random.integer(6) ? bytes : spoilt(random, bytes);
  },
  async read(bytes) {
    const { metadata, tensors } = await readGguf(sourceOf(bytes));
    for (const found of metadata.values()) await refusing(() => found.value);
    await readTensors(tensors, bytes.length);
    if (!metadata.has("tokenizer.ggml.model")) return;
    await refusing(() => {
      const tokenizer = ggufTokenizer("fuzzed", metadata);
      const ids = tokenizer.encode("ab a\n");
      check(
        ids.every((id) => id >= 0 && id < tokenizer.vocabulary),
        "an id outside the vocabulary",
      );
      tokenizer.decode(ids);
    });
  },
};

const pieces = [..."{}[],:"].concat("null", "-1", "1e9", '""', '"a"', '"\\ud800"', '"__metadata__"', '"\\u0000"');
const dtypes =
  "F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I64 I32 I16 I8 U64 U32 U16 U8 BOOL F8_E8M0 F4 F6_E2M3 F6_E3M2 C64 Q4_0 F6".split(
    " ",
  );

function safetensorsHeader(random: Random): { header: string; data: number } {
  const members: string[] = [];
  if (random.integer(2)) members.push('"__metadata__":{"format":"pt","x":"\\u00e9"}');
  let offset = 0;
  for (let n = random.integer(5); n > 0; n--) {
    const dtype = random.pick(dtypes.slice(0, 15));
    const shape = Array.from({ length: random.integer(4) }, () => random.integer(4));
    const bytes = storedBytes(
      dtype as "F32",
      shape.reduce((a, b) => a * b, 1),
    );
    members.push(`"t${n}":{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${offset},${offset + bytes}]}`);
    offset += bytes;
  }
  return { header: `{${members.join()}}`, data: offset };
}

export const safetensors: Target = {
  make(random) {
    const { header, data } = safetensorsHeader(random);
    const tokens = header.match(/"(?:[^"\\]|\\.)*"|\d+|./gs) ?? [];
    for (let n = random.integer(4); n > 0; n--) {
      const at = random.integer(tokens.length);
      const token = tokens[at] ?? "";
      const action = random.integer(8);
      if (action === 0) tokens.splice(at, 1 + random.integer(4));
      else if (action === 1)
        tokens.splice(random.integer(tokens.length), 0, ...tokens.slice(at, at + 1 + random.integer(6)));
      else if (action === 2) tokens[at] = random.pick(pieces);
      else if (/^\d+$/.test(token)) tokens[at] = String(strange(random, BigInt(token)));
      else if (token.startsWith('"'))
        tokens[at] = `"${random.pick([...dtypes, "shape", "dtype", "t1", "data_offsets"])}"`;
    }
    const bytes = new TextEncoder().encode(tokens.join(""));
    const length = random.integer(8) ? BigInt(bytes.length) : strange(random, BigInt(bytes.length));
    const file = bytesOf([
      { kind: "u64", value: length },
      raw(bytes),
      raw(new Uint8Array(data).fill(random.integer(2) * random.integer(256))),
    ]);
    return random.integer(6) ? file : spoilt(random, file);
  },
  async read(bytes) {
    await readTensors(await readSafetensors(sourceOf(bytes)), bytes.length);
  },
};
