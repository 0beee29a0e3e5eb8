/**
 * A Llama as an ONNX file, as exports for transformers.js are: ONNX Runtime's own fused operators (GroupQueryAttention with
 * rotation inside, SkipSimplifiedLayerNormalization, MatMulNBits for blocks of 4 and 8 bits) and the names that
 * LlamaForCausalLM feeds and reads. Blocks of Q4_0 and Q8_0 carry over bit for bit, their scales as float32.
 */
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Protobuf from "protobufjs";
import type { Gguf } from "../src/file/gguf.ts";
import { blocks } from "../src/tensor/quant.ts";

/** What the graph needs of a folder's config.json. */
export interface LlamaConfig {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
}

/** The messages of onnx.proto that are used, by their numbers there. */
const schema = `syntax = "proto3";
message Attribute { string name = 1; optional float f = 2; optional int64 i = 3; int32 type = 20; }
message Node { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5; string domain = 7; }
message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
message Dimension { optional int64 dim_value = 1; optional string dim_param = 2; }
message Shape { repeated Dimension dim = 1; }
message TensorType { int32 elem_type = 1; Shape shape = 2; }
message Type { TensorType tensor_type = 1; }
message Value { string name = 1; Type type = 2; }
message Graph { repeated Node node = 1; string name = 2; repeated Tensor initializer = 5; repeated Value input = 11; repeated Value output = 12; }
message Opset { string domain = 1; int64 version = 2; }
message Model { int64 ir_version = 1; string producer_name = 2; Graph graph = 7; repeated Opset opset_import = 8; }`;

/** TensorProto.DataType. */
const types = { float: 1, uint8: 2, int32: 6, int64: 7 } as const;
type Data = Float32Array | Uint8Array | BigInt64Array;
const microsoft = "com.microsoft";

/** Writes the Llama of a GGUF file (F32, Q4_0 or Q8_0) as ONNX. */
export async function writeOnnx({ tensors }: Gguf, config: LlamaConfig, path: string): Promise<void> {
  const { num_attention_heads: h, num_key_value_heads: g, head_dim: e, rms_norm_eps: epsilon } = config;
  const nodes: object[] = [];
  const initializers: object[] = [];

  /** Adds a node; its outputs are those named, or one named after their count. @returns the first output's name. */
  const node = (op: string, input: string[], attributes: Record<string, number> = {}, own?: string[], domain = "") => {
    const output = own ?? [`${op}_${nodes.length}`];
    const attribute = Object.entries(attributes).map(([name, x]) =>
      Number.isInteger(x) ? { name, type: 2, i: x } : { name, type: 1, f: x },
    );
    nodes.push({ op_type: op, input, output, attribute, domain });
    return output[0]!;
  };
  const constant = (name: string, dims: number[], data: Data) => {
    const type = data instanceof Float32Array ? types.float : data instanceof Uint8Array ? types.uint8 : types.int64;
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    initializers.push({ name, dims, data_type: type, raw_data: raw });
    return name;
  };
  const integers = (name: string, ...values: number[]) =>
    constant(name, [values.length], BigInt64Array.from(values.map(BigInt)));
  const floats = async (name: string) => Float32Array.from((await tensors.read(name)) as Float32Array);

  /** x times the transpose of a matrix of the file, whose rotary pairs come from neighbours back to halves for `heads` heads. */
  const product = async (x: string, name: string, heads?: number) => {
    const { dtype, shape, begin, end } = tensors.entry(name);
    const [n = 0, k = 0] = shape;
    const order = Array.from({ length: n }, (_, row) => (heads ? neighbour(row, n / heads) : row));
    if (dtype === "F32") {
      const w = (await tensors.read(name)) as Float32Array;
      const turned = new Float32Array(n * k);
      for (let i = 0; i < n; i++) for (let from = order[i]! * k, j = 0; j < k; j++) turned[j * n + i] = w[from + j]!;
      return node("MatMul", [x, constant(name, [k, n], turned)]);
    }
    if (dtype !== "Q4_0" && dtype !== "Q8_0")
      throw new Error(`bench: ${name}: got ${dtype}, expected F32, Q4_0 or Q8_0`);
    const bytes = new Uint8Array(end - begin);
    await tensors.readBytes(name, 0, bytes);
    const { packed, scales } = nBits(dtype, bytes, order, k);
    const bits = dtype === "Q4_0" ? 4 : 8;
    const inputs = [constant(name, [n, k / 32, packed.length / (n * (k / 32))], packed)];
    inputs.push(constant(`${name}.scales`, [n, k / 32], scales));
    // Level 4: the other operand is rounded to 8 bits too, the fastest that ONNX Runtime has.
    return node(
      "MatMulNBits",
      [x, ...inputs],
      { K: k, N: n, bits, block_size: 32, accuracy_level: 4 },
      undefined,
      microsoft,
    );
  };

  // A sequence's length before its last token, and the length of all, are read off the mask.
  const [one, first] = [integers("one", 1), constant("first", [], BigInt64Array.of(1n))];
  const last = node("Sub", [node("ReduceSum", ["attention_mask", one], { keepdims: 0 }), one]);
  const lengths = node("Cast", [last], { to: types.int32 });
  const total = node("Cast", [node("Gather", [node("Shape", ["attention_mask"]), first])], { to: types.int32 });
  const positions = config.max_position_embeddings;
  const angle = (i: number) => Math.floor(i / (e / 2)) * config.rope_theta ** ((-2 * (i % (e / 2))) / e);
  const table = (f: (angle: number) => number) =>
    Float32Array.from({ length: (positions * e) / 2 }, (_, i) => f(angle(i)));
  const cos = constant("cos", [positions, e / 2], table(Math.cos));
  const sin = constant("sin", [positions, e / 2], table(Math.sin));

  const gain = async (name: string) => constant(name, [config.hidden_size], await floats(name));
  /** The stream with `y` added, and its norm. */
  const skip = async (x: string, y: string, name: string) => {
    const outputs = [`${name}.normed`, "", "", `${name}.stream`];
    node("SkipSimplifiedLayerNormalization", [x, y, await gain(name)], { epsilon }, outputs, microsoft);
    return [outputs[0]!, outputs[3]!] as const;
  };
  const embedding = constant("embedding", [config.vocab_size, config.hidden_size], await floats("token_embd.weight"));
  let stream = node("Gather", [embedding, "input_ids"]);
  let normed = node("SimplifiedLayerNormalization", [stream, await gain("blk.0.attn_norm.weight")], {
    epsilon,
    axis: -1,
  });
  const cached: string[] = [];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = (name: string) => `blk.${layer}.${name}.weight`;
    const q = await product(normed, at("attn_q"), h);
    const k = await product(normed, at("attn_k"), g);
    const v = await product(normed, at("attn_v"));
    const [key, value] = [`${layer}.key`, `${layer}.value`];
    const attended = node(
      "GroupQueryAttention",
      [q, k, v, `past_key_values.${key}`, `past_key_values.${value}`, lengths, total, cos, sin],
      { num_heads: h, kv_num_heads: g, do_rotary: 1 },
      [`attended.${layer}`, `present.${key}`, `present.${value}`],
      microsoft,
    );
    cached.push(key, value);
    [normed, stream] = await skip(stream, await product(attended, at("attn_output")), at("ffn_norm"));
    const gate = await product(normed, at("ffn_gate"));
    const hidden = node("Mul", [node("Mul", [gate, node("Sigmoid", [gate])]), await product(normed, at("ffn_up"))]);
    const next = layer + 1 < config.num_hidden_layers ? `blk.${layer + 1}.attn_norm.weight` : "output_norm.weight";
    [normed, stream] = await skip(stream, await product(hidden, at("ffn_down")), next);
  }
  // The last so many positions; all of them where the number is 0.
  const start = node("Neg", [node("Reshape", ["num_logits_to_keep", one])]);
  const kept = node("Slice", [normed, start, integers("end", Number.MAX_SAFE_INTEGER), one]);
  node("Identity", [await product(kept, "output.weight")], {}, ["logits"]);

  const value = (name: string, type: number, ...dims: (number | string)[]) => ({
    name,
    type: {
      tensor_type: {
        elem_type: type,
        shape: { dim: dims.map((d) => (typeof d === "string" ? { dim_param: d } : { dim_value: d })) },
      },
    },
  });
  const cache = (prefix: string, length: string) =>
    cached.map((name) => value(`${prefix}.${name}`, types.float, "batch_size", g, length, e));
  const graph = {
    node: nodes,
    name: "llama",
    initializer: initializers,
    input: [
      value("input_ids", types.int64, "batch_size", "sequence_length"),
      value("attention_mask", types.int64, "batch_size", "total_sequence_length"),
      value("num_logits_to_keep", types.int64),
      ...cache("past_key_values", "past_sequence_length"),
    ],
    output: [
      value("logits", types.float, "batch_size", "kept_length", config.vocab_size),
      ...cache("present", "total_sequence_length"),
    ],
  };
  const opset_import = [
    { domain: "", version: 21 },
    { domain: microsoft, version: 1 },
  ];
  // Installed with the peers, so not at the top: the other sections run without.
  const { parse } = createRequire(import.meta.url)("protobufjs") as typeof Protobuf;
  const model = parse(schema, { keepCase: true }).root.lookupType("Model");
  writeFileSync(path, model.encode({ ir_version: 10, producer_name: "biform bench", graph, opset_import }).finish());
}

/** The row of a GGUF file where row `row` of a folder's file lies: pairs are neighbours there and halves of a head here. */
function neighbour(row: number, e: number): number {
  const [head, i] = [Math.floor(row / e), row % e];
  return head * e + (i < e / 2 ? 2 * i : 2 * (i - e / 2) + 1);
}

/** GGUF's blocks as MatMulNBits has them: neighbours in one byte, 8 bits without a sign, and scales apart. */
function nBits(type: "Q4_0" | "Q8_0", bytes: Uint8Array, order: readonly number[], k: number) {
  const size = blocks[type].bytes;
  const count = (order.length * k) / 32;
  const [view, scales] = [new DataView(bytes.buffer), new Float32Array(count)];
  const packed = new Uint8Array(count * (size - 2));
  for (let block = 0; block < count; block++) {
    const row = Math.floor(block / (k / 32));
    const from = (order[row]! * (k / 32) + (block % (k / 32))) * size;
    const to = block * (size - 2);
    scales[block] = view.getFloat16(from, true);
    if (type === "Q8_0") for (let j = 0; j < 32; j++) packed[to + j] = bytes[from + 2 + j]! ^ 128;
    else
      for (let j = 0; j < 8; j++) {
        const [x, y] = [bytes[from + 2 + 2 * j]!, bytes[from + 3 + 2 * j]!];
        packed[to + j] = (x & 15) | ((y & 15) << 4);
        packed[to + j + 8] = (x >> 4) | (y & 240);
      }
  }
  return { packed, scales };
}
