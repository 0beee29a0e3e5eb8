import type { Command } from "commander";
import { parseSpec } from "../attention/spec.ts";
import { shownSpecs } from "../cost/catalogue.ts";
import { type DeviceName, deviceText, openDevice } from "../device/open.ts";
import { ReferenceDevice } from "../device/reference.ts";
import { FormatError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";
import { type Agreement, agree, type Difference, randomSpec } from "../verify/agree.ts";
import { type GoldenCase, verifyGolden } from "../verify/golden/golden.ts";
import { deviceOption, wholeOption } from "./option.ts";

interface Options {
  random?: number | true;
  seed: number;
  width: number;
  heads: number;
  tokens: number;
  golden?: string;
  device: DeviceName;
  json?: true;
}

const examples = `
Examples:
  biform verify                         every kind of variant at width 256
  biform verify MLA GQA2-128 --width 512 --heads 8
  biform verify --random 20 --seed 7    twenty geometries that nobody chose
  biform verify --device webgpu         the same, float32 on a GPU
  biform verify --golden DIR            outputs of the variants' authors' own code
  biform verify --golden DIR --json     { cases: [{ name, kind, status, maxError, tolerance, reason? }],
                                          pass, fail, unsupported }

Differences are the largest between any two forms, prefill and step by step, relative to the largest output.
The exit code is 1 where anything fails.`;

/** `biform verify`: are the forms of a variant one function here, and do we agree with golden vectors? */
export function verifyCommand(command: Command): void {
  command
    .argument("[spec...]", "variants, such as MLA or GQA2-128; all kinds unless given")
    .option("--random [n]", "draw n geometries instead (1)", wholeOption("--random"))
    .option("--seed <n>", "seed of weights, inputs and random geometries", wholeOption("--seed", 0), 1)
    .option("--width <n>", "hidden width", wholeOption("--width"), 256)
    .option("--heads <n>", "query heads", wholeOption("--heads"), 4)
    .option("--tokens <n>", "tokens of the sequence", wholeOption("--tokens", 2), 24)
    .addOption(deviceOption("wasm", "webgpu"))
    .option("--golden <dir>", "run every golden case of a directory instead")
    .option("--json", "print JSON")
    .addHelpText("after", examples)
    .action(async (specs: string[], options: Options) => {
      if (options.golden !== undefined && (specs.length || options.random))
        throw new FormatError(
          "verify: got --golden beside variants, expected one of them; run them one after the other",
        );
      const failed =
        options.golden === undefined ? await verifySpecs(specs, options) : await golden(options.golden, options);
      if (failed) process.exitCode = 1;
    });
}

async function verifySpecs(specs: readonly string[], options: Options): Promise<number> {
  const { seed, tokens, width, heads } = options;
  if (specs.length && options.random)
    throw new FormatError("verify: got --random beside variants, expected one of them; leave one out");
  const random = new Random(seed);
  const hosted = options.random
    ? Array.from({ length: options.random === true ? 1 : options.random }, () => randomSpec(random))
    : (specs.length ? specs : shownSpecs).map((spec) => ({ spec, width, heads }));
  // All specs are read before any is run, so that a misspelt one costs no wait.
  const all = hosted.map((host) => ({ ...host, attention: parseSpec(host.spec, host) }));
  const device = await openDevice(options.device);
  const results: (Agreement & { width: number; heads: number })[] = [];
  try {
    if (!options.json) console.log(row(["variant", "form", "cache/token", "unfolded", "float64", "float32", "result"]));
    for (const { attention, ...host } of all) {
      const result = { ...(await agree(attention, { tokens, seed, device })), width: host.width, heads: host.heads };
      results.push(result);
      if (!options.json) printAgreement(result);
    }
  } finally {
    device.close();
  }
  const fail = results.filter(({ passed }) => !passed).length;
  const pass = results.length - fail;
  if (options.json)
    console.log(
      JSON.stringify({ device: deviceText(device), cases: results.map(asCase), pass, fail, unsupported: 0 }, null, 2),
    );
  else {
    console.log(
      `\n${pass} agree, ${fail} do not (${tokens} tokens, seed ${seed}; ${settings(options)}; float32 on ${deviceText(device)}).`,
    );
    console.log("cache: values kept per token and layer, bytes at float32; unfolded: values made of them on each run.");
  }
  return fail;
}

function settings({ random, width, heads }: Options): string {
  return random ? "a geometry's own width w and heads h are in its name" : `width ${width}, ${heads} heads`;
}

/** A variant's agreement under the keys that a golden case has, and all that was found beside them. */
function asCase(found: Agreement) {
  const { relative, tolerance } = worst(found);
  const { spec: name, passed, ...rest } = found;
  return { name, kind: "forms", status: passed ? "pass" : "fail", maxError: relative, tolerance, ...rest };
}

function worst({ float64, float32 }: Agreement): Difference {
  return float32 && float32.relative * float64.tolerance > float64.relative * float32.tolerance ? float32 : float64;
}

function printAgreement(found: Agreement & { width: number; heads: number }): void {
  const { spec, sizes, forms, float64, float32, passed } = found;
  const name = spec.includes(":") ? `${spec} w${sizes.d} h${sizes.h}` : spec;
  // A name that is longer than its column has a line to itself.
  if (name.length > 27) console.log(name);
  forms.forEach(({ form, values, bytes, unfoldedValues }, i) => {
    const last =
      i === 0 ? [scientific(float64.relative), scientific(float32?.relative), passed ? "agree" : "DIFFER"] : [];
    const first = i === 0 && name.length <= 27 ? name : "";
    console.log(row([first, form, `${values} (${bytes} B)`, String(unfoldedValues), ...last]));
  });
}

function row([
  name = "",
  form = "",
  cache = "",
  unfolded = "",
  float64 = "",
  float32 = "",
  result = "",
]: string[]): string {
  return `${name.padEnd(28)}${form.padEnd(10)}${cache.padStart(17)}${unfolded.padStart(11)}${float64.padStart(11)}${float32.padStart(11)}  ${result}`.trimEnd();
}

function scientific(x: number | undefined | null): string {
  return x === undefined || x === null ? "-" : x === 0 ? "0" : x.toExponential(1);
}

async function golden(dir: string, options: Options): Promise<number> {
  let shown = 0;
  const onCase = (result: GoldenCase) => {
    if (shown++ === 0)
      console.log(`${"case".padEnd(33)}${"status".padEnd(12)}${"error".padStart(8)}${"tolerance".padStart(11)}`);
    printCase(result);
  };
  const device = await openDevice(options.device);
  const devices = [new ReferenceDevice(), device];
  const report = await verifyGolden(dir, { devices, ...(options.json ? {} : { onCase }) }).finally(() =>
    device.close(),
  );
  const { pass, fail, unsupported } = report;
  if (options.json) console.log(JSON.stringify(report, null, 2));
  else console.log(`\n${pass} pass, ${fail} fail, ${unsupported} unsupported.`);
  return fail;
}

function printCase({ name, status, maxError, tolerance, reason }: GoldenCase): void {
  const numbers = `${scientific(maxError).padStart(8)}${scientific(tolerance).padStart(11)}`;
  const head = `${name.padEnd(33)}${(status === "fail" ? "FAIL" : status).padEnd(12)}${numbers}`;
  // Why a case failed is shown whole, below; why one was left out, as far as the line goes.
  const room = (process.stdout.columns ?? 100) - head.length - 2;
  const short = !reason
    ? ""
    : status === "fail"
      ? `\n    ${reason}`
      : `  ${reason.length > room ? `${reason.slice(0, Math.max(0, room - 1))}…` : reason}`;
  console.log(head + short);
}
