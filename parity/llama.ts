/**
 * llama.cpp on the CPU, over the addon inside node-llama-cpp. Its public classes queue and batch for several users and give
 * probabilities as numbers of a JavaScript map; the addon below them takes a batch and gives every logit in float32, which is
 * what a comparison needs and what a fair timing needs too. The addon is internal to the package, so its version is pinned.
 */

/** Element types of the cache, by GGML's numbers; llama.cpp's own default is f16. */
const cacheTypes = { f32: 0, f16: 1 } as const;

export interface LlamaOptions {
  /** Most tokens that a sequence may hold. */
  readonly context: number;
  readonly threads?: number;
  readonly cache?: keyof typeof cacheTypes;
  /** Rounds keys and values to 16 bits whatever the cache holds, so comparisons leave it off. */
  readonly flash?: boolean;
  /** Most tokens of one pass; 512 is llama.cpp's default. */
  readonly batch?: number;
  /** Sequences in the context, 1 unless given; `context` is of each. */
  readonly sequences?: number;
}

/** A model with one sequence of tokens, or several. What names no sequence is about the first. */
export interface Llama {
  /** Seconds from the file's name to a model that can run, without the context's allocation. */
  readonly loadSeconds: number;
  /** Tokens that the sequence holds. */
  readonly length: number;
  /** Runs `ids` after those it holds. @returns logits of each of them, `[ids.length, vocabulary]`. */
  logits(ids: readonly number[]): Promise<Float32Array>;
  /** Runs `ids` after those it holds, computing logits of the last alone. @returns the most likely next id. */
  append(ids: readonly number[]): Promise<number>;
  /** Runs ids after those that each sequence holds, all in one pass. @returns the most likely next id of each. */
  together(ids: readonly (readonly number[])[]): Promise<number[]>;
  /** Forgets all tokens from `length` on, of a sequence. */
  truncate(length: number, sequence?: number): void;
  close(): Promise<void>;
}

/** llama.cpp, loaded. */
export interface Library {
  /** Of node-llama-cpp and of llama.cpp. */
  readonly version: string;
  /** Opens a GGUF file. Errors: what llama.cpp said where it refused the file. */
  open(file: string, options: LlamaOptions): Promise<Llama>;
}

// The part of the addon that is used here, from node-llama-cpp's AddonTypes.
interface Bindings {
  AddonModel: new (file: string, options: object) => AddonModel;
  AddonContext: new (model: AddonModel, options: object) => AddonContext;
  AddonSampler: new (model: AddonModel) => { applyConfig(config: object): void; dispose(): void };
}
interface AddonModel {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
}
interface AddonContext {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  initBatch(size: number): void;
  addToBatch(sequence: number, first: number, ids: Uint32Array, wanted: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(index: number, sampler: object): Promise<number>;
  sampleToken(
    index: number,
    sampler: object,
    probabilities: false,
    confidence: false,
    logits: true,
  ): Promise<[id: number, probabilities: undefined, confidence: undefined, logits: number[]]>;
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean;
}

/** Loads llama.cpp, or says why it cannot be had here: no package for this platform, or one that does not load. */
export async function openLibrary(): Promise<Library | { readonly missing: string }> {
  try {
    const { getLlama, LlamaLogLevel } = await import("node-llama-cpp");
    const said: string[] = [];
    const llama = await getLlama({
      gpu: false,
      // Neither a build nor a download: what npm installed, or nothing.
      build: "never",
      skipDownload: true,
      progressLogs: false,
      logLevel: LlamaLogLevel.error,
      logger: (_, message) => said.push(message.trim()),
    });
    const bindings = (llama as unknown as { _bindings: Bindings })._bindings;
    return {
      version: `node-llama-cpp with llama.cpp ${llama.llamaCppRelease.release}`,
      open: (file, options) => open(bindings, file, options, said),
    };
  } catch (error) {
    return { missing: `node-llama-cpp: ${(error as Error).message.split("\n")[0]}` };
  }
}

async function open(bindings: Bindings, file: string, options: LlamaOptions, said: string[]): Promise<Llama> {
  const { context: contextSize, threads = 2, cache = "f32", flash = false, batch = 512, sequences = 1 } = options;
  const fail = (what: string) =>
    new Error(`${file}: llama.cpp ${what}: ${said.splice(0).join("; ") || "it gave no reason"}`);
  const start = performance.now();
  const model = new bindings.AddonModel(file, { addonExports: bindings, gpuLayers: 0, useMmap: true });
  if (!(await model.init())) throw fail("does not load it");
  const loadSeconds = (performance.now() - start) / 1000;
  const context = new bindings.AddonContext(model, {
    contextSize: contextSize * sequences,
    batchSize: Math.min(batch, contextSize * sequences),
    sequences,
    flashAttention: flash,
    threads,
    kvCacheKeyType: cacheTypes[cache],
    kvCacheValueType: cacheTypes[cache],
  });
  if (!(await context.init())) {
    await model.dispose();
    throw fail(`gives no context of ${contextSize} tokens`);
  }
  const sampler = new bindings.AddonSampler(model);
  sampler.applyConfig({ temperature: 0 });
  const lengths = new Array<number>(sequences).fill(0);

  /** One pass of at most `batch` tokens. @returns where the logits of the last `wanted` of each sequence lie. */
  async function pass(all: readonly (readonly number[])[], wanted: number): Promise<number[]> {
    context.initBatch(all.reduce((sum, { length }) => sum + length, 0));
    const places = all.flatMap((ids, sequence) => {
      if (!ids.length) return [];
      const first = ids.length - wanted;
      const last = Uint32Array.from({ length: wanted }, (_, i) => first + i);
      return [...context.addToBatch(sequence, lengths[sequence]!, Uint32Array.from(ids), last)];
    });
    await context.decodeBatch();
    for (const [sequence, ids] of all.entries()) lengths[sequence]! += ids.length;
    return places;
  }

  return {
    loadSeconds,
    get length() {
      return lengths[0]!;
    },
    async logits(ids) {
      const rows: Float32Array[] = [];
      for (let i = 0; i < ids.length; i += batch) {
        const chunk = ids.slice(i, i + batch);
        for (const place of await pass([chunk], chunk.length)) {
          const [, , , pairs] = await context.sampleToken(place, sampler, false, false, true);
          const row = new Float32Array(pairs.length / 2);
          for (let k = 0; k < pairs.length; k += 2) row[pairs[k]!] = pairs[k + 1]!;
          rows.push(row);
        }
      }
      const all = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
      rows.forEach((row, i) => {
        all.set(row, i * row.length);
      });
      return all;
    },
    async append(ids) {
      let place = 0;
      for (let i = 0; i < ids.length; i += batch) {
        const chunk = ids.slice(i, i + batch);
        place = (await pass([chunk], i + batch >= ids.length ? 1 : 0))[0] ?? 0;
      }
      return context.sampleToken(place, sampler);
    },
    async together(ids) {
      const next: number[] = [];
      for (const place of await pass(ids, 1)) next.push(await context.sampleToken(place, sampler));
      return next;
    },
    truncate(to, sequence = 0) {
      context.removeTokenCellsFromSequence(sequence, to, -1);
      lengths[sequence] = Math.min(lengths[sequence]!, to);
    },
    async close() {
      sampler.dispose();
      await context.dispose();
      await model.dispose();
    },
  };
}
