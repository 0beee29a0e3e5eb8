import type { Parameter } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { type AdamwStep, adamw, squares } from "../ops/optimise/index.ts";
import { type Device, Tensor, tensor } from "../tensor/tensor.ts";
import { kindOf } from "./initial.ts";
import { muon } from "./muon.ts";

/** Which rule updates matrices (embedding, head, gains and biases always take AdamW), and its constants. */
export interface OptimiserSettings {
  readonly kind: "adamw" | "muon";
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly decay: number;
  readonly momentum: number;
  /** Gradients are scaled down to this global norm. */
  readonly clip: number;
}

/** AdamW as most small language models are trained (Loshchilov and Hutter, arXiv 1711.05101), clipped at a gradient norm of 1. */
export const optimiserDefaults: OptimiserSettings = {
  kind: "adamw",
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  decay: 0.1,
  momentum: 0.95,
  clip: 1,
};

/** Moments of every parameter, and the step that uses them. */
export class Optimiser {
  readonly settings: OptimiserSettings;
  readonly #parameters: readonly Parameter[];
  /** By parameter name: first moment (or momentum) and, where AdamW rules, second moment. */
  readonly moments = new Map<string, { readonly m: Tensor; readonly v?: Tensor }>();
  readonly #sums: Tensor;
  steps = 0;

  constructor(device: Device, parameters: readonly Parameter[], settings: OptimiserSettings) {
    this.settings = settings;
    this.#parameters = parameters;
    const zeros = ({ shape }: Parameter) =>
      tensor(device, shape, new Float64Array(shape.reduce((product, n) => product * n, 1)));
    for (const p of parameters)
      this.moments.set(
        p.name,
        settings.kind === "muon" && kindOf(p) === "matrix" ? { m: zeros(p) } : { m: zeros(p), v: zeros(p) },
      );
    this.#sums = new Tensor(device, [parameters.length]);
  }

  /** One step in place, at this learning rate; `gradients` in the parameters' order. Nothing is read back. */
  step(weights: Weights, gradients: readonly Tensor[], rate: number): void {
    this.steps++;
    const { beta1, beta2, eps, decay, momentum, clip } = this.settings;
    gradients.forEach((g, i) => {
      squares(g, this.#sums, i);
    });
    this.#parameters.forEach((parameter, i) => {
      const p = weights.get(parameter.name)!;
      const { m, v } = this.moments.get(parameter.name)!;
      const kind = kindOf(parameter);
      if (!v) {
        muon(p, gradients[i]!, m, parameter.axes, { rate, beta: momentum, decay });
        return;
      }
      const step: AdamwStep = {
        rate,
        beta1,
        beta2,
        eps,
        // Vectors are not decayed.
        decay: kind === "matrix" || kind === "table" ? decay : 0,
        correction1: 1 - beta1 ** this.steps,
        correction2: 1 - beta2 ** this.steps,
        maxNorm: clip,
      };
      adamw(p, gradients[i]!, m, v, this.#sums, step);
    });
  }

  /** Norm of the last step's gradient before clipping. */
  async norm(): Promise<number> {
    return Math.sqrt(Array.from(await this.#sums.read()).reduce((a, b) => a + b, 0));
  }

  free(): void {
    for (const { m, v } of this.moments.values()) {
      m.free();
      v?.free();
    }
    this.#sums.free();
  }
}
