import { dataOf } from "../../src/device/float.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { gradients } from "../../src/grad/tape.ts";
import { reshape } from "../../src/ops/add/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { Random } from "../../src/tensor/random.ts";
import { type Recorder, type TapeNode, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { compare } from "./check.ts";
import { leanChoices } from "./leaning.ts";
import { backwardErrors, type Errors, forwardErrors, unit } from "./rounding.ts";
import { onto, type Program } from "./subject.ts";

// The bound on what float32 does to a whole program, derived for its very numbers: the program runs in float64 with every
// op's result moved at random by about the op's own error (rounding.ts), which carries each error through all that
// follows, exactly as the program carries it. What the result moves by, over a few runs, times a margin for runs that
// happened to move little, is the bound. (Monte Carlo arithmetic; Parker, 1997.) What chooses leans one way in half of the runs and the
// other way in the others (leaning.ts).

const RUNS = 4;
const MARGIN = 2;

/** The exact numbers and how far float32 may be from them. */
export interface Bounded {
  readonly exact: Float64Array;
  readonly bound: number;
}

/** A program's output in float64, and its float32 bound. */
export function boundedOutput(program: Program): Bounded {
  return bounded(program, (shake) => [outputOf(program, shake)])[0]!;
}

/** Its output, then the gradient of `probe(output)` for each input, in float64, with float32 bounds. */
export function boundedGradients(program: Program): Bounded[] {
  return bounded(program, (shake) => gradientsOf(program, shake));
}

/** A scalar `[1]` that weighs every number of an output: with fixed random weights no error can hide from its gradient. */
export function probe(output: Tensor): Tensor {
  const n = output.size;
  const weights = tensor(output.device, [n], new Random(n).normals(n).map(Math.fround));
  return einsum("u a, a -> u", reshape(output, [1, n]), weights);
}

/** The errors of a run's results, in the order in which they are made: listed in an exact run, then used to move others. */
class Shake {
  readonly errors: Errors[];
  readonly #random: Random | undefined;
  /** Which way an indexer's choices lean, in runs that are moved. */
  readonly #way: 1 | -1 | undefined;
  #next = 0;

  constructor(errors: Errors[], run?: number) {
    this.errors = errors;
    if (run === undefined) return;
    this.#random = new Random(run + 1);
    this.#way = run % 2 ? 1 : -1;
  }

  /** The device of a run. */
  open(): ReferenceDevice {
    const device = new ReferenceDevice();
    if (this.#way) leanChoices(device, this.#way);
    return device;
  }

  /** Lists the errors of some results, or moves the results by them. */
  pass(results: readonly (Tensor | undefined)[], errors: () => readonly Errors[]): void {
    const random = this.#random;
    if (!random) {
      const found = errors();
      results.forEach((_, i) => {
        this.errors.push(found[i] ?? 0);
      });
      return;
    }
    for (const t of results) {
      const error = this.errors[this.#next++]!;
      if (!t || error === 0) continue;
      const data = dataOf(t);
      // Of any size up to twice the error, about the error in the mean: equal ones would cancel to nothing too often.
      for (let i = 0; i < data.length; i++)
        data[i]! += (4 * random.uniform() - 2) * (typeof error === "number" ? error : error[i]!);
    }
  }
}

function bounded(program: Program, run: (shake: Shake) => Float64Array[]): Bounded[] {
  const listing = new Shake([]);
  const results = run(listing);
  const shaken = Array.from({ length: RUNS }, (_, i) => run(new Shake(listing.errors, i)));
  return results.map((exact, i) => {
    const moved = Math.max(...shaken.map((list) => compare(exact, list[i]!).error));
    return { exact, bound: MARGIN * (moved + (program.steps ?? 1) * unit * compare(exact, exact).size) };
  });
}

function outputOf(program: Program, shake: Shake): Float64Array {
  const device = shake.open();
  const inputs = program.inputs.map((input) => onto(device, input));
  const recorder: Recorder = {
    record(node) {
      shake.pass([node.output], () => [forwardErrors(node, program.scale ?? 1)]);
      node.output.recorder = recorder;
    },
  };
  for (const t of inputs) t.recorder = recorder;
  return dataOf(program.run(inputs)).slice();
}

function gradientsOf(program: Program, shake: Shake): Float64Array[] {
  const device = shake.open();
  const inputs = program.inputs.map((input) => onto(device, input));
  const results: Float64Array[] = [];
  const found = gradients(inputs, () => {
    const tape = inputs[0]!.recorder!;
    tape.record = shakenRecord(tape, shake, program.scale ?? 1);
    const output = program.run(inputs);
    results.push(dataOf(output).slice());
    return probe(output);
  });
  return [...results, ...found.gradients.map((t) => dataOf(t).slice())];
}

/** A tape's own `record`, with results and gradients moved. */
function shakenRecord(tape: Recorder, shake: Shake, scale: number): (node: TapeNode) => void {
  const record = tape.record.bind(tape);
  return (node) => {
    shake.pass([node.output], () => [forwardErrors(node, scale)]);
    record({
      ...node,
      backward(g, wanted, into) {
        const found = node.backward(g, wanted, into);
        // A gradient that is g itself under another name is exact.
        const moved = found.map((t, i) => (t && wanted[i] && t.origin !== g.origin ? t : undefined));
        shake.pass(moved, () => backwardErrors(node, g, scale, found));
        return found;
      },
    });
  };
}
