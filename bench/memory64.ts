/**
 * What 64-bit addresses cost in wasm, beside several memories of 32 bits: the same loops in both address types, in turns.
 *
 *   node [--experimental-wasm-revectorize] bench/memory64.ts [--rounds 15]
 *
 * V8 reserves the whole 4 GiB behind a 32-bit memory, so that no access needs a check. With 64 bits it checks each access, or
 * by newer means reserves up to 16 GiB. What several memories cost instead is measured last: carrying a hidden state over.
 */
import binaryen from "binaryen";
import { readOptions } from "../scripts/options.ts";
import { interleave } from "./rounds.ts";
import { print, type Table } from "./section.ts";

const { values } = readOptions({ options: { rounds: { type: "string", default: "15" } } });
const rounds = Number(values.rounds);

/** Bytes of the array that `sum` and the two matrix-vector products stream, far beyond the caches. */
const streamed = 64 * 2 ** 20;
/** Columns of a matrix, and how deep one tile of the matrix product is: its panels stay in the first cache. */
const [columns, depth] = [2048, 256];
const pages = (streamed + 2 ** 20) / 65536;

/** The kernels for one address type; `pairs` is the width of the product's panels in vectors of 4. */
function wat(address: "i32" | "i64", pairs: 2 | 4): string {
  const a = address;
  const local = (names: string, type: string) =>
    names
      .split(" ")
      .map((name) => `(local $${name} ${type})`)
      .join(" ");
  const at = (pointer: string, step: string) =>
    `(local.set $${pointer} (${a}.add (local.get $${pointer}) (${a}.const ${step})))`;
  const loop = (body: string, pointer = "p", end = "end") =>
    `(loop $l ${body} (br_if $l (${a}.lt_u (local.get $${pointer}) (local.get $${end}))))`;
  const each = (n: number, f: (i: number) => string) => Array.from({ length: n }, (_, i) => f(i)).join("\n");
  const v = (i: number) => `$v${i}`;
  const vectors = (n: number) => local(Array.from({ length: n }, (_, i) => `v${i}`).join(" "), "v128");
  const total = (n: number) =>
    Array.from({ length: n }, (_, i) => `(local.get ${v(i)})`).reduce((x, y) => `(f32x4.add ${x} ${y})`);
  const lanes = (x: string) =>
    `(local.set $v0 ${x}) (f32.add (f32.add (f32x4.extract_lane 0 (local.get $v0)) (f32x4.extract_lane 1 (local.get $v0)))
     (f32.add (f32x4.extract_lane 2 (local.get $v0)) (f32x4.extract_lane 3 (local.get $v0))))`;
  const madd = (acc: number, x: string, y: string) =>
    `(local.set ${v(acc)} (f32x4.relaxed_madd ${x} ${y} (local.get ${v(acc)})))`;
  // Four rows at a time of a row-major matrix from p, against the vector at x. Rows are `columns` numbers apart.
  const rows = (elementBytes: number, inner: string) => `
    (loop $rows
      (local.set $q (local.get $x))
      (local.set $end (${a}.add (local.get $x) (${a}.const ${columns * elementBytes})))
      ${each(4, (i) => `(local.set ${v(i)} (v128.const i32x4 0 0 0 0))`)}
      ${loop(`${inner} ${at("p", "16")} ${at("q", "16")}`, "q")}
      ${each(4, (i) => `(local.set $v4 (local.get ${v(i)})) (local.set $sum (f32.add (local.get $sum) ${elementBytes === 4 ? "(f32x4.extract_lane 0 (local.get $v4))" : "(f32.convert_i32_s (i32x4.extract_lane 0 (local.get $v4)))"}))`)}
      ${at("p", `${3 * columns * elementBytes}`)}
      (br_if $rows (${a}.lt_u (local.get $p) (local.get $last))))
    (local.get $sum)`;
  const rowAt = (i: number, elementBytes: number) => `(v128.load offset=${i * columns * elementBytes} (local.get $p))`;
  const tile = 6 * pairs;
  return `(module
    (memory (export "memory") ${a === "i64" ? "i64 " : ""}${pages} 65536 shared)
    (func (export "sum") (param $p ${a}) (param $end ${a}) (result f32) ${vectors(4)}
      ${loop(`${each(4, (i) => `(local.set ${v(i)} (f32x4.add (local.get ${v(i)}) (v128.load offset=${16 * i} (local.get $p))))`)} ${at("p", "64")}`)}
      ${lanes(total(4))})
    (func (export "gemv") (param $p ${a}) (param $last ${a}) (param $x ${a}) (result f32)
      ${vectors(5)} ${local("q end", a)} (local $sum f32)
      ${rows(4, `(local.set $v4 (v128.load (local.get $q))) ${each(4, (i) => madd(i, rowAt(i, 4), "(local.get $v4)"))}`)})
    (func (export "gemv8") (param $p ${a}) (param $last ${a}) (param $x ${a}) (result f32)
      ${vectors(5)} ${local("q end", a)} (local $sum f32)
      ${rows(1, `(local.set $v4 (v128.load (local.get $q))) ${each(4, (i) => `(local.set ${v(i)} (i32x4.relaxed_dot_i8x16_i7x16_add_s ${rowAt(i, 1)} (local.get $v4) (local.get ${v(i)})))`)}`)})
    (func (export "tile") (param $p ${a}) (param $end ${a}) (param $x ${a}) (result f32) ${vectors(tile + 5)}
      ${loop(
        `${each(pairs, (j) => `(local.set ${v(tile + j)} (v128.load offset=${16 * j} (local.get $p)))`)}
         ${each(6, (i) => `(local.set ${v(tile + 4)} (v128.load32_splat offset=${4 * i} (local.get $x)))\n${each(pairs, (j) => madd(i * pairs + j, `(local.get ${v(tile + 4)})`, `(local.get ${v(tile + j)})`))}`)}
         ${at("p", `${16 * pairs}`)} ${at("x", "24")}`,
      )}
      ${each(tile, (i) => `(v128.store offset=${16 * i} (local.get $x) (local.get ${v(i)}))`)}
      (f32.load offset=${16 * (tile - 1)} (local.get $x))))`;
}

type Kernel = (p: number | bigint, end: number | bigint, x: number | bigint) => number;
interface Built {
  readonly memory: WebAssembly.Memory;
  readonly sum: Kernel;
  readonly gemv: Kernel;
  readonly gemv8: Kernel;
  readonly tile: Kernel;
}

function build(address: "i32" | "i64", pairs: 2 | 4): Built {
  const module = binaryen.parseText(wat(address, pairs));
  module.setFeatures(binaryen.Features.All);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.emitBinary() as Uint8Array<ArrayBuffer>));
  module.dispose();
  return instance.exports as unknown as Built;
}

const revectorised = process.execArgv.some((flag) => flag.includes("revectorize"));
const pairs = revectorised ? 4 : 2;
const built = { i32: build("i32", pairs), i64: build("i64", pairs) };
for (const { memory } of Object.values(built)) {
  const numbers = new Float32Array(memory.buffer, 0, (pages * 65536) / 4);
  for (let i = 0; i < numbers.length; i++) numbers[i] = (((i * 2654435761) >>> 0) % 2048) / 1024 - 1;
}

const panel = depth * 16 * pairs;
const kernels = [
  { name: "sum of 64 MiB", of: "sum" as const, end: streamed, amount: streamed, unit: "GB/s", calls: 1 },
  { name: "float32 matrix-vector", of: "gemv" as const, end: streamed, amount: streamed, unit: "GB/s", calls: 1 },
  { name: "8-bit matrix-vector", of: "gemv8" as const, end: streamed, amount: streamed, unit: "GB/s", calls: 1 },
  {
    name: `product's tile 6 x ${4 * pairs}`,
    of: "tile" as const,
    end: panel,
    amount: 2 * 6 * 4 * pairs * depth * 2000,
    unit: "GFLOP/s",
    calls: 2000,
  },
];
console.log(`Node ${process.version}${revectorised ? ", revectorised" : ""}, ${rounds} rounds, 1 thread\n`);
for (const { name, of, end, amount, unit, calls } of kernels) {
  const results: number[] = [];
  const contestants = (["i32", "i64"] as const).map((address) => {
    const pointer = address === "i64" ? BigInt : Number;
    const [p, e, x] = [pointer(0), pointer(end), pointer(streamed)];
    const run = () => {
      let last = 0;
      for (let i = 0; i < calls; i++) last = built[address][of](p, e, x);
      return last;
    };
    // V8 compiles a hot function a second time.
    const until = performance.now() + 500;
    do results[address === "i32" ? 0 : 1] = run();
    while (performance.now() < until);
    return {
      name: address,
      async turn() {
        const times = Array.from({ length: 5 }, () => {
          const start = performance.now();
          run();
          return (performance.now() - start) / 1000;
        }).sort((a, b) => a - b);
        return { median: times[2]!, best: times[0]! };
      },
    };
  });
  if (results[0] !== results[1])
    throw new Error(`memory64: ${name}: got ${results[1]} with i64, expected ${results[0]}`);
  const [narrow, wide] = await interleave(rounds, contestants);
  const line = (result: { name: string; median: number; best: number }) => ({
    engine: `${name}, ${result.name}`,
    median: amount / result.median / 1e9,
    best: amount / result.best / 1e9,
  });
  const table: Table = {
    title: name,
    unit,
    lines: [
      line(narrow!),
      {
        ...line(wide!),
        ratios: [{ to: "i32", median: narrow!.median / wide!.median, best: narrow!.best / wide!.best }],
      },
    ],
  };
  console.log(`${print(table)}\n`);
}

// Several memories: what a forward pass pays at each border is one copy of its hidden state and one more call.
for (const kib of [4, 16, 64]) {
  const [from, to] = Object.values(built).map(({ memory }) => new Float32Array(memory.buffer, 0, kib * 256));
  const count = 20000;
  const samples = Array.from({ length: rounds }, () => {
    const start = performance.now();
    for (let i = 0; i < count; i++) to!.set(from!);
    return ((performance.now() - start) / count) * 1e6;
  }).sort((a, b) => a - b);
  console.log(
    `copy of ${kib} KiB from one memory to another: ${samples[Math.floor(rounds / 2)]!.toFixed(0)} ns (median)`,
  );
}
