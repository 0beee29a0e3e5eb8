/**
 * A seeded source of numbers (splitmix32 for the state, xoshiro128** for the stream): the same seed gives the same
 * numbers on every machine, which is what "one seed, one loss curve" rests on.
 * Source: Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators" (2018).
 */
export class Random {
  // Signed, since V8 keeps whole numbers of 32 bits apart from those of doubles only so.
  #s: Int32Array;
  #spare: number | undefined;

  constructor(seed: number) {
    let z = seed >>> 0;
    this.#s = Int32Array.from({ length: 4 }, () => {
      z = (z + 0x9e3779b9) >>> 0;
      let x = z;
      x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
      x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
      return x ^ (x >>> 15);
    });
  }

  /** 32 uniform bits. */
  bits(): number {
    const s = this.#s;
    const [s0, s1] = [s[0]!, s[1]!];
    const [s2, s3] = [s[2]! ^ s0, s[3]! ^ s1];
    s[0] = s0 ^ s3;
    s[1] = s1 ^ s2;
    s[2] = s2 ^ (s1 << 9);
    s[3] = (s3 << 11) | (s3 >>> 21);
    const x = Math.imul(s1, 5);
    return Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.bits() / 2 ** 32;
  }

  /** A whole number in [0, n). */
  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal (Box and Muller). */
  normal(): number {
    if (this.#spare !== undefined) {
      const spare = this.#spare;
      this.#spare = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** `n` normal numbers of the given standard deviation. */
  normals(n: number, deviation = 1): Float64Array {
    const numbers = new Float64Array(n);
    for (let i = 0; i < n; i++) numbers[i] = this.normal() * deviation;
    return numbers;
  }

  /** One of `items`. */
  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)]!;
  }

  /** The state as five numbers, to go on later exactly from here. */
  save(): number[] {
    return [...Uint32Array.from(this.#s), this.#spare ?? Number.NaN];
  }

  /** A source that goes on from a saved state. */
  static restore(state: readonly number[]): Random {
    const random = new Random(0);
    random.#s = Int32Array.from(Uint32Array.from(state.slice(0, 4)));
    random.#spare = Number.isNaN(state[4] ?? Number.NaN) ? undefined : state[4];
    return random;
  }
}
