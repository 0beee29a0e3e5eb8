import { FormatError } from "../../../tensor/error.ts";
import { type Device, sizeOf } from "../../../tensor/tensor.ts";
import { type Manifest, readManifest, readOracle, readRawConfig, tensorsOf, Unsupported } from "../case.ts";
import type { Expected, Ledger } from "../ledger.ts";
import { ruleOp } from "./delta.ts";
import { factoredOp } from "./factored.ts";
import type { OpCase, OpFamily } from "./family.ts";
import { forgetOp } from "./forget.ts";
import { sparseOp } from "./sparse.ts";
import { stickOp } from "./stick.ts";

/** Every operator; the first that knows a case runs it. */
const families: readonly OpFamily[] = [sparseOp, factoredOp, forgetOp, stickOp, ruleOp];

/** Runs one operator against its expected.safetensors; the names of the tensors there. */
export async function runOpCase(
  path: string,
  said: Manifest,
  devices: readonly Device[],
  ledger: Ledger,
): Promise<string[]> {
  const given = await readOpCase(path, said);
  for (const device of devices) await compareOp(given, device, ledger);
  return [...given.oracle.tensors.keys()];
}

/** Reads an op case. Throws FormatError. */
export async function readOpCase(path: string, manifest?: Manifest): Promise<OpCase> {
  const said = manifest ?? (await readManifest(path));
  const config = await readRawConfig(path);
  const headFirst = /^head first|^\[B, ?H/i.test(String(config.layout ?? ""));
  const inputs = await tensorsOf(path, "inputs.safetensors");
  const oracle = await readOracle(path, said, 1);
  const turned = (name: string, x: Expected) => (headFirst && !isState(name) ? tokensFirst(x) : x);
  const expected = new Map([...oracle.tensors].map(([name, x]) => [name, turned(name, x)] as const));
  return {
    config,
    said,
    oracle: { ...oracle, tensors: expected },
    has: (name) => inputs.has(name),
    input(name) {
      const x = inputs.get(name);
      if (!x) throw new FormatError(`${path}/inputs.safetensors: ${name}: got nothing, expected a tensor`);
      return turned(name, x);
    },
  };
}

/** Runs an op case on a device. Throws FormatError, and Unsupported for an operator that none here knows. */
export async function compareOp(given: OpCase, device: Device, ledger: Ledger): Promise<void> {
  const family = families.find((one) => one.knows(given.has, given.config));
  if (!family) throw new Unsupported("an operator with these inputs is not supported");
  await family.run(given, device, (name, how, got, exactly) => {
    const expected = given.oracle.tensors.get(name);
    if (!expected) return;
    const where = `${how}, ${device.kind}`;
    if (exactly) ledger.same(name, where, got, expected.values);
    else ledger.add(name, where, got, expected.values, given.oracle.tolerance(name));
  });
}

/** A state has heads and no tokens. */
function isState(name: string): boolean {
  return /state|^h0$|seq_start|left_padding/.test(name);
}

/** `[batch, heads, tokens, ...]` as `[batch, tokens, heads, ...]`; what has no such axes as it is. */
function tokensFirst({ shape, values }: Expected): Expected {
  const [batch = 1, h = 1, t = 1, ...rest] = shape;
  if (shape.length < 3) return { shape, values };
  const each = sizeOf(rest);
  const out = new Float64Array(values.length);
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < h; i++)
      for (let j = 0; j < t; j++)
        for (let k = 0; k < each; k++)
          out[((b * t + j) * h + i) * each + k] = values[((b * h + i) * t + j) * each + k]!;
  return { shape: [batch, t, h, ...rest], values: out };
}
