import { FormatError } from "../../tensor/error.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** An array of expected numbers; axis 0 counts sequences. */
export interface Expected {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** What an oracle computed, and how far from it one may land. */
export interface Oracle {
  readonly tensors: ReadonlyMap<string, Expected>;
  /** Largest absolute difference allowed for a tensor. Throws FormatError where none is given. */
  tolerance(name: string): number;
  /** Tokens run at once before the rest goes one by one. */
  readonly prefill: number;
}

/** One tensor compared: the largest absolute difference found and the one allowed. */
export interface Finding {
  readonly subject: string;
  readonly error: number;
  readonly tolerance: number;
}

/** Collects comparisons and keeps the worst, measured against its tolerance. */
export class Ledger {
  /** The comparison with the largest error in tolerances. */
  worst: Finding | undefined;
  /** What is wrong beside numbers: other ids, numbers that are none. */
  readonly faults: string[] = [];
  readonly compared = new Set<string>();

  /** Compares `got` with `expected`, element by element. Throws FormatError where their counts differ. */
  add(name: string, where: string, got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
    const subject = `${name} (${where})`;
    if (got.length !== expected.length)
      throw new FormatError(`${subject}: got ${expected.length} expected numbers in the file, expected ${got.length}`);
    this.compared.add(name);
    let error = 0;
    for (let i = 0; i < got.length; i++) {
      const difference = Math.abs(got[i]! - expected[i]!);
      if (!Number.isFinite(difference)) {
        this.faults.push(`${subject}: got ${got[i]}, expected ${expected[i]}`);
        return;
      }
      if (difference > error) error = difference;
    }
    if (!this.worst || error * this.worst.tolerance > this.worst.error * tolerance)
      this.worst = { subject, error, tolerance };
  }

  /** Compares whole numbers, which must be the same. */
  same(name: string, where: string, got: ArrayLike<number>, expected: ArrayLike<number>): void {
    this.compared.add(name);
    const [a, b] = [Array.from(got).join(" "), Array.from(expected).join(" ")];
    if (a !== b) this.faults.push(`${name} (${where}): got ${a}, expected exactly ${b}`);
  }

  /** True where everything was within its tolerance. */
  get passed(): boolean {
    return this.faults.length === 0 && this.worst !== undefined && this.worst.error <= this.worst.tolerance;
  }

  /** Why it did not pass, in a line; undefined where it did. */
  get reason(): string | undefined {
    if (this.passed) return undefined;
    if (this.faults[0]) return this.faults[0];
    if (!this.worst) return "nothing in the case could be compared";
    const { subject, error, tolerance } = this.worst;
    return `${subject}: largest error ${error.toPrecision(3)}, tolerance ${tolerance}`;
  }
}

/** Element `item` of axis 0. */
export function part({ shape, values }: Expected, item: number): number[] {
  const each = sizeOf(shape.slice(1));
  return Array.from({ length: each }, (_, i) => values[item * each + i]!);
}
