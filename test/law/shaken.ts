import { ReferenceDevice } from "../../src/device/reference.ts";
import { gradients } from "../../src/grad/tape.ts";
import { reshape } from "../../src/ops/add/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { Random } from "../../src/tensor/random.ts";
import { type Recorder, scope, type TapeNode, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { compare } from "./check.ts";
import { backwardErrors, type Errors, forwardErrors, unit } from "./rounding.ts";
import { onto, type Program } from "./subject.ts";

// The bound on what float32 does to a whole program, derived for its very numbers: the program runs in float64 with every
// op's result moved at random by about the op's own error (rounding.ts), which carries each error through all that
// follows, exactly as the program carries it. What the result moves by, over a few runs, times a margin for runs that
// happened to move little, is the bound. (Monte Carlo arithmetic; Parker, 1997.)

const RUNS = 4;
const MARGIN = 2;

/** The exact numbers and how far float32 may be from them. */
export interface Bounded {
  readonly exact: Float64Array;
  readonly bound: number;
}

/** A program's output in float64, and its float32 bound. */
export function boundedOutput(program: Program): Bounded {
  const exact = outputOf(program);
  const shaken = Array.from({ length: RUNS }, (_, run) => outputOf(program, new Random(run + 1)));
  return bounded(exact, shaken);
}

/** The gradient of `probe(output)` for each input in float64, with float32 bounds. */
export function boundedGradients(program: Program): Bounded[] {
  const exact = gradientsOf(program);
  const shaken = Array.from({ length: RUNS }, (_, run) => gradientsOf(program, new Random(run + 1)));
  return exact.map((values, i) =>
    bounded(
      values,
      shaken.map((run) => run[i]!),
    ),
  );
}

/** A scalar `[1]` that weighs every number of an output: with fixed random weights no error can hide from its gradient. */
export function probe(output: Tensor): Tensor {
  const n = output.size;
  const weights = tensor(output.device, [n], new Random(n).normals(n).map(Math.fround));
  return einsum("u a, a -> u", reshape(output, [1, n]), weights);
}

function bounded(exact: Float64Array, shaken: readonly Float64Array[]): Bounded {
  const moved = Math.max(...shaken.map((values) => compare(exact, values).error));
  return { exact, bound: MARGIN * (moved + unit * compare(exact, exact).size) };
}

function outputOf(program: Program, random?: Random): Float64Array {
  const device = new ReferenceDevice();
  const inputs = program.inputs.map((input) => onto(device, input));
  if (random) {
    const recorder: Recorder = {
      record(node) {
        move(node.output, forwardErrors(node, program.scale ?? 1), random);
        node.output.recorder = recorder;
      },
    };
    for (const t of inputs) t.recorder = recorder;
  }
  return program.run(inputs).data.slice();
}

function gradientsOf(program: Program, random?: Random): Float64Array[] {
  const device = new ReferenceDevice();
  return scope(device, () => {
    const inputs = program.inputs.map((input) => onto(device, input));
    const found = gradients(inputs, () => {
      const tape = inputs[0]!.recorder!;
      if (random) tape.record = shakenRecord(tape, program.scale ?? 1, random);
      return probe(program.run(inputs));
    });
    return found.gradients.map((t) => t.data.slice());
  });
}

/** A tape's own `record`, with results and gradients moved. */
function shakenRecord(tape: Recorder, scale: number, random: Random): (node: TapeNode) => void {
  const record = tape.record.bind(tape);
  return (node) => {
    move(node.output, forwardErrors(node, scale), random);
    record({
      ...node,
      backward(g, wanted, into) {
        const errors = backwardErrors(node, g, scale);
        const found = node.backward(g, wanted, into);
        found.forEach((t, i) => {
          // A gradient that is g itself under another name is exact.
          if (t && wanted[i] && t.origin !== g.origin) move(t, errors[i] ?? 0, random);
        });
        return found;
      },
    });
  };
}

function move(t: Tensor, errors: Errors, random: Random): void {
  const { data } = t;
  for (let i = 0; i < data.length; i++) {
    const error = typeof errors === "number" ? errors : errors[i]!;
    // Of any size up to twice the error, about the error in the mean: equal ones would cancel to nothing too often.
    data[i]! += (4 * random.uniform() - 2) * error;
  }
}
