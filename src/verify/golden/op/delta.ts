import { z } from "zod";
import { type Course, delta, type Rule } from "../../../ops/delta/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { type Device, scope, sizeOf, Tensor } from "../../../tensor/tensor.ts";
import { readCaseConfig } from "../case.ts";
import { type Compare, type OpCase, type OpFamily, scaleOf, sequenceOf, sizeKeys } from "./family.ts";

const schema = z.object({ ...sizeKeys, scale: z.unknown().optional() });
const initial = ["initial_state", "state", "h0"];

/**
 * The delta rule on `q, k [b, t, g, n]`, `v [b, t, h, v]`, `beta [b, t, h]` and the logarithm of the decay, `g [b, t, h]` per head,
 * `g [b, t, h, n]` per channel, or none; from zeros, or from a state `[b, h, n, v]`.
 */
export const ruleOp: OpFamily = {
  knows: (has) => ["q", "k", "v", "beta"].every(has),
  async run(given, device, compare) {
    const config = readCaseConfig(given.config, schema);
    const [batch = 1, t = 1] = given.input("q").shape;
    const scale = scaleOf(config.scale, given.input("q").shape[3]!);
    const prefix = prefixOf(given, t);
    const ones = Array.from({ length: t }, () => 1);
    const cut = prefix && prefix < t ? [prefix, t - prefix] : [t];
    for (const by of ["chunked", "recurrent"] as const)
      for (const chunks of by === "recurrent" ? [[t], cut, ones] : [[t], cut]) {
        const how = `${by}, ${chunks.length === 1 ? "at once" : chunks.length === t ? "step by step" : `cut at ${prefix}`}`;
        const found = { out: [] as number[], after: [] as number[], final: [] as number[] };
        for (let item = 0; item < batch; item++) {
          const one = await through(given, device, item, chunks, prefix, { scale, by });
          for (const key of ["out", "after", "final"] as const) found[key].push(...one[key]);
        }
        report(compare, how, found, chunks.length === t);
      }
  },
};

function report(
  compare: Compare,
  how: string,
  found: Record<"out" | "after" | "final", number[]>,
  steps: boolean,
): void {
  compare("out", how, found.out);
  if (steps) compare("out_decode", how, found.out);
  compare("final_state", how, found.final);
  if (found.after.length) compare("state_after_prefix", how, found.after);
}

/** One sequence piece by piece: its outputs, and its state after the prefix, if a piece ends there, and in the end. */
async function through(
  given: OpCase,
  device: Device,
  item: number,
  chunks: readonly number[],
  prefix: number | undefined,
  course: Pick<Course, "scale" | "by">,
) {
  const read = (name: string) => sequenceOf(device, given.input(name), item);
  const rule: Rule = {
    q: read("q"),
    k: read("k"),
    v: read("v"),
    beta: read("beta"),
    ...(given.has("g") && { decay: read("g") }),
  };
  const [, h = 1, width = 1] = rule.v.shape;
  const shape = [1, h, rule.k.shape[2]!, width];
  const name = initial.find((one) => given.has(one));
  const start = name ? read(name) : undefined;
  const state = new Tensor(device, shape).write(start ? await start.read() : new Float64Array(sizeOf(shape)));
  const found = { out: [] as number[], after: [] as number[], final: [] as number[] };
  let from = 0;
  for (const n of chunks) {
    const to = from + n;
    const out = scope(device, () => {
      const piece = Object.fromEntries(Object.entries(rule).map(([key, x]) => [key, (x as Tensor).rows(from, to)]));
      return delta(piece as unknown as Rule, { ...course, state, final: state });
    });
    found.out.push(...Array.from(await out.read()));
    out.free();
    from = to;
    if (from === prefix) found.after = Array.from(await state.read());
  }
  found.final = Array.from(await state.read());
  for (const x of [...Object.values(rule), start, state]) (x as Tensor | undefined)?.free();
  return found;
}

/** How many tokens the prefix has that a state is given after: the manifest says it in words ("first 9 tokens"). */
function prefixOf(given: OpCase, t: number): number | undefined {
  if (!given.oracle.tensors.has("state_after_prefix")) return undefined;
  const text = String(given.said.meaning?.state_after_prefix ?? "");
  const n = Number(/first (\d+) tokens?/.exec(text)?.[1]);
  if (!(n >= 1 && n <= t))
    throw new FormatError(
      `manifest.json: meaning.state_after_prefix: got ${JSON.stringify(text)}, expected "first N tokens" with N up to ${t}`,
    );
  return n;
}
