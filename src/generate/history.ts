/** Token ids in the order they came, in one array that doubles: 4 bytes each, and no object of their own. */
export class History {
  #ids: Int32Array;
  #length: number;

  constructor(ids: Int32Array = new Int32Array()) {
    this.#ids = ids.slice();
    this.#length = ids.length;
  }

  get length(): number {
    return this.#length;
  }

  /** The ids where they lie: good until the history changes. */
  get ids(): Int32Array {
    return this.#ids.subarray(0, this.#length);
  }

  push(ids: Int32Array): void {
    const length = this.#length + ids.length;
    if (length > this.#ids.length) {
      const more = new Int32Array(Math.max(length, 2 * this.#ids.length));
      more.set(this.ids);
      this.#ids = more;
    }
    this.#ids.set(ids, this.#length);
    this.#length = length;
  }

  /** Forgets all ids from `length` on. */
  cut(length: number): void {
    this.#length = length;
  }
}
