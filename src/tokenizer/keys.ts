import { FormatError } from "../tensor/error.ts";

/** The metadata of a GGUF file, as far as a tokenizer needs to know it. */
export type Metadata = ReadonlyMap<
  string,
  { readonly type: string; readonly value: unknown; readonly at?: number | undefined }
>;

/** Looks keys up and checks what they hold. Names are without `tokenizer.ggml.`. */
export class Keys {
  readonly #file: string;
  readonly #metadata: Metadata;

  constructor(file: string, metadata: Metadata) {
    this.#file = file;
    this.#metadata = metadata;
  }

  has(name: string): boolean {
    return this.#metadata.has(`tokenizer.ggml.${name}`);
  }

  fail(name: string, got: string, expected: string): never {
    const at = this.#metadata.get(`tokenizer.ggml.${name}`)?.at;
    throw new FormatError(
      `${this.#file}: ${at === undefined ? "" : `byte ${at}: `}tokenizer.ggml.${name}: got ${got}, expected ${expected}`,
    );
  }

  text(name: string): string {
    return this.#typed(name, "text", (value) => typeof value === "string") as string;
  }

  texts(name: string): readonly string[] {
    return this.#typed(
      name,
      "a list of texts",
      (value, type) => type === "string[]" && Array.isArray(value),
    ) as string[];
  }

  /** A list of `count` numbers; undefined where there is no such key. */
  numbers(name: string, count: number): ArrayLike<number> | undefined {
    if (!this.has(name)) return undefined;
    const numeric = (value: unknown, type: string) => /^[uif]\d+\[\]$/.test(type) && typeof value === "object";
    const list = this.#typed(name, "a list of numbers", numeric) as ArrayLike<number>;
    if (list.length !== count) this.fail(name, `${list.length} numbers`, `${count}, one for each token`);
    return list;
  }

  flag(name: string): boolean | undefined {
    return this.has(name) ? (this.#typed(name, "a bool", (value) => typeof value === "boolean") as boolean) : undefined;
  }

  /** An id below `count`; undefined where there is no such key. */
  id(name: string, count: number): number | undefined {
    if (!this.has(name)) return undefined;
    const id = this.#typed(name, "an id", (value) => Number.isSafeInteger(value)) as number;
    if (id < 0 || id >= count) this.fail(name, String(id), `an id in [0, ${count})`);
    return id;
  }

  template(): string | undefined {
    const found = this.#metadata.get("tokenizer.chat_template");
    if (found && typeof found.value !== "string")
      throw new FormatError(`${this.#file}: tokenizer.chat_template: got ${found.type}, expected text`);
    return found?.value as string | undefined;
  }

  #typed(name: string, expected: string, fits: (value: unknown, type: string) => boolean): unknown {
    const found = this.#metadata.get(`tokenizer.ggml.${name}`);
    if (!found || !fits(found.value, found.type)) return this.fail(name, found?.type ?? "no such key", expected);
    return found.value;
  }
}
