/** Numbers by pairs of numbers (all from 0, below 2^31): open addressing, at most half full. */
export class Pairs {
  #keys: Int32Array;
  #values: Int32Array;
  #mask: number;
  size = 0;

  constructor(expected: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(expected, 4) * 2));
    this.#keys = new Int32Array(2 * slots).fill(-1);
    this.#values = new Int32Array(slots);
    this.#mask = slots - 1;
  }

  /** The pair's number, -1 if it has none. */
  get(a: number, b: number): number {
    const slot = this.#find(a, b);
    return this.#keys[2 * slot] === -1 ? -1 : this.#values[slot]!;
  }

  set(a: number, b: number, value: number): void {
    if (2 * (this.size + 1) > this.#mask + 1) this.#grow();
    const slot = this.#find(a, b);
    if (this.#keys[2 * slot] === -1) this.size++;
    this.#keys[2 * slot] = a;
    this.#keys[2 * slot + 1] = b;
    this.#values[slot] = value;
  }

  /** Where the pair is, or would be. */
  #find(a: number, b: number): number {
    const keys = this.#keys;
    let slot = (Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b)) >>> 0;
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    while (keys[2 * slot] !== -1 && (keys[2 * slot] !== a || keys[2 * slot + 1] !== b)) slot = (slot + 1) & this.#mask;
    return slot;
  }

  #grow(): void {
    const larger = new Pairs(this.#mask + 1);
    for (let slot = 0; slot <= this.#mask; slot++)
      if (this.#keys[2 * slot] !== -1)
        larger.set(this.#keys[2 * slot]!, this.#keys[2 * slot + 1]!, this.#values[slot]!);
    this.#keys = larger.#keys;
    this.#values = larger.#values;
    this.#mask = larger.#mask;
  }
}
