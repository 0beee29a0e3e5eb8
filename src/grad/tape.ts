import { combine, update } from "../ops/add/index.ts";
import { copy } from "../ops/move/index.ts";
import { ShapeError } from "../tensor/error.ts";
import { type Recorder, scope, type TapeNode, Tensor, tensor } from "../tensor/tensor.ts";

/** The value of a scalar function and its gradient for each parameter, in the order given. */
export interface Gradients {
  readonly value: Tensor;
  readonly gradients: readonly Tensor[];
}

/**
 * Runs `forward` once, recording, then walks back through the record. What the walk has passed is freed at once, so memory
 * falls while gradients grow. `forward` returns `[1]`. Parameters it does not use get a gradient of zeros.
 * Throws ShapeError for an op that has no gradient.
 */
export function gradients(parameters: readonly Tensor[], forward: () => Tensor): Gradients {
  const device = parameters[0]!.device;
  return scope(device, () => {
    const tape = new Tape(parameters);
    for (const p of parameters) p.recorder = tape;
    try {
      const value = forward();
      const found = tape.backward(value, new Set(parameters));
      return {
        value,
        gradients: parameters.map((p) => found.get(p) ?? tensor(device, p.shape, new Float64Array(p.size))),
      };
    } finally {
      for (const p of parameters) p.recorder = undefined;
    }
  });
}

/** What ran, in order. */
class Tape implements Recorder {
  readonly #nodes: TapeNode[] = [];
  /** Parameters and recorded results: where a gradient can go on from. */
  readonly #reached: WeakSet<Tensor>;

  constructor(parameters: readonly Tensor[]) {
    this.#reached = new WeakSet(parameters);
  }

  /** Throws ShapeError at a view that no op made (`tensor.rows`): its gradient would be lost without a word. */
  record(node: TapeNode): void {
    for (const t of node.inputs)
      if (t?.recorder === this && !this.#reached.has(t))
        throw new ShapeError(
          `${node.name}: got a bare view [${t.shape}], expected what an op recorded; use ops/add's reshape`,
        );
    this.#reached.add(node.output);
    node.output.recorder = this;
    this.#nodes.push(node);
  }

  /** Gradients of `value` (`[1]`) for the tensors in `wanted`. Frees every recorded tensor but `value`. */
  backward(value: Tensor, wanted: ReadonlySet<Tensor>): Map<Tensor, Tensor> {
    const sums = new Sums();
    sums.set(value, tensor(value.device, value.shape, new Float64Array(value.size).fill(1)));
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const { inputs, output, saved } = node;
      const g = sums.take(output);
      if (g) {
        const needed = inputs.map((t) => t?.recorder === this);
        const into = inputs.map((t, i) => (needed[i] ? sums.own(t!) : undefined));
        const found = node.backward(g, needed, into);
        found.forEach((gradient, i) => {
          if (gradient && needed[i] && gradient !== into[i]) sums.add(inputs[i]!, gradient);
          else if (gradient && !needed[i] && gradient.origin !== g.origin) gradient.free();
        });
        sums.release(g);
      }
      for (const t of saved) t.free();
      if (output !== value) output.free();
      output.recorder = undefined;
    }
    return sums.keep(wanted);
  }
}

/** Sums of gradients per tensor. Two may share memory (both sides of an addition); such a one is copied before it grows. */
class Sums {
  readonly #sums = new Map<Tensor, Tensor>();
  readonly #uses = new Map<Tensor, number>();

  set(t: Tensor, gradient: Tensor): void {
    this.#sums.set(t, gradient);
    this.#use(gradient, 1);
  }

  /** Removes and returns the sum for `t`; the caller releases it. */
  take(t: Tensor): Tensor | undefined {
    const g = this.#sums.get(t);
    this.#sums.delete(t);
    return g;
  }

  release(gradient: Tensor): void {
    this.#use(gradient, -1);
  }

  /** The sum for `t` if its memory belongs to it alone. */
  own(t: Tensor): Tensor | undefined {
    const g = this.#sums.get(t);
    return g && this.#uses.get(g.origin) === 1 ? g : undefined;
  }

  add(t: Tensor, gradient: Tensor): void {
    const known = this.#sums.get(t);
    if (!known) {
      this.set(t, gradient);
      return;
    }
    if (this.own(t)) update(known, 1, 1, gradient);
    else {
      const sum = new Tensor(t.device, t.shape);
      combine(1, known, 1, gradient, sum);
      this.set(t, sum);
      this.release(known);
    }
    // Its memory goes, unless another sum still stands on it.
    if (!this.#uses.get(gradient.origin)) gradient.origin.free();
  }

  /** The sums for `wanted`, each with memory of its own, so that the caller can free it; a view or a shared one is copied. */
  keep(wanted: ReadonlySet<Tensor>): Map<Tensor, Tensor> {
    const kept = new Map<Tensor, Tensor>();
    for (const [t, g] of this.#sums) {
      const alone = g.origin === g && this.#uses.get(g) === 1;
      if (wanted.has(t)) kept.set(t, alone ? g : new Tensor(t.device, t.shape));
      if (wanted.has(t) && !alone) copy(g, kept.get(t)!);
      if (!wanted.has(t) || !alone) this.release(g);
    }
    return kept;
  }

  #use(gradient: Tensor, change: 1 | -1): void {
    const { origin } = gradient;
    const uses = (this.#uses.get(origin) ?? 0) + change;
    this.#uses.set(origin, uses);
    if (uses === 0) origin.free();
  }
}
