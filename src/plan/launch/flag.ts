/** Flags of serving engines that plans print, each with where the engine's own source defines it. */

/** What engines are called on the command line. */
export const engineNames = ["vllm", "sglang"] as const;
export type EngineName = (typeof engineNames)[number];

/** One flag with its value; flags without a value are switches. */
export interface Flag {
  readonly flag: string;
  readonly value?: string | undefined;
  /** Why it is there, with the numbers that decide. */
  readonly why: string;
}

/** A serving engine in one version. */
export interface Stock {
  readonly title: string;
  readonly version: string;
  /** What starts it, before the model's name. */
  readonly start: readonly string[];
  /** The file that defines each flag. */
  readonly flags: Readonly<Record<string, string>>;
  /** What engines' rows of this one are called in a plan. */
  readonly row: string;
  /** Names of cache types by Biform's; those that are missing the engine does not have. */
  readonly cacheTypes: Readonly<Record<string, string>>;
  /** The share of a device's memory that is given to it, and why. */
  readonly share: { readonly value: number; readonly why: string };
}

const vllmFile = "vllm/engine/arg_utils.py";
const sglangFile = (name: string) => `sglang/srt/arg_groups/fields/${name}.py`;

/** The engines as they are read: conformance/launch.json has all their flags, classes and types, from the packages themselves. */
export const enginesBy: Readonly<Record<EngineName, Stock>> = {
  vllm: {
    title: "vLLM",
    version: "0.33.0",
    start: ["vllm", "serve"],
    row: "vLLM",
    flags: Object.fromEntries(
      [
        "--revision",
        "--dtype",
        "--quantization",
        "--tensor-parallel-size",
        "--data-parallel-size",
        "--pipeline-parallel-size",
        "--enable-expert-parallel",
        "--nnodes",
        "--node-rank",
        "--master-addr",
        "--kv-cache-dtype",
        "--block-size",
        "--attention-backend",
        "--skip-tokenizer-init",
        "--max-model-len",
        "--gpu-memory-utilization",
        "--max-num-seqs",
        "--max-num-batched-tokens",
        "--speculative-config",
      ].map((flag) => [flag, vllmFile]),
    ),
    cacheTypes: {
      float16: "auto",
      bfloat16: "auto",
      float8: "fp8",
      int8: "int8_per_token_head",
      int4: "int4_per_token_head",
    },
    share: { value: 0.92, why: "the engine's own default, written down since the longest context counts on it" },
  },
  sglang: {
    title: "SGLang",
    version: "0.5.23",
    start: ["python", "-m", "sglang.launch_server", "--model-path"],
    row: "SGLang",
    flags: {
      "--model-path": sglangFile("model"),
      "--revision": sglangFile("model"),
      "--dtype": sglangFile("model"),
      "--quantization": sglangFile("model"),
      "--tp-size": sglangFile("parallel"),
      "--attn-dp-size": sglangFile("parallel"),
      "--dp-size": sglangFile("parallel"),
      "--pp-size": sglangFile("parallel"),
      "--ep-size": sglangFile("parallel"),
      "--nnodes": sglangFile("parallel"),
      "--node-rank": sglangFile("parallel"),
      "--dist-init-addr": sglangFile("parallel"),
      "--kv-cache-dtype": sglangFile("model"),
      "--context-length": sglangFile("model"),
      "--attention-backend": sglangFile("exec_"),
      "--skip-tokenizer-init": sglangFile("serving"),
      "--mem-fraction-static": sglangFile("schedule"),
      "--max-running-requests": sglangFile("schedule"),
      "--chunked-prefill-size": sglangFile("schedule"),
      "--speculative-algorithm": sglangFile("spec"),
      "--speculative-draft-model-path": sglangFile("spec"),
      "--speculative-num-steps": sglangFile("spec"),
      "--speculative-eagle-topk": sglangFile("spec"),
      "--speculative-num-draft-tokens": sglangFile("spec"),
    },
    cacheTypes: { float16: "auto", bfloat16: "auto", float8: "fp8_e4m3" },
    share: { value: 0.88, why: "weights and caches; activations and CUDA graphs lie in the rest" },
  },
};
