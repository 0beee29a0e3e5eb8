/**
 * Counts what a decoded token costs a GPU beside its arithmetic: launches of a layer. Nothing runs, and no GPU is needed: a device that
 * is none is told what a session would enqueue.
 */
import { formNames } from "../src/attention/define.ts";
import { WebgpuDevice } from "../src/device/webgpu.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { type FeedForward, parametersOf } from "../src/model/model.ts";
import type { CacheType } from "../src/tensor/page.ts";
import { Tensor } from "../src/tensor/tensor.ts";

/** Buffers of a launch that desktop GPUs have at least in browsers, and threads of a subgroup. */
const [BINDINGS, SUBGROUP] = [10, 32];
/** Tokens before the one that is decoded: enough that keys are gone through in pieces. */
const CACHED = 400;

const sizes = { vocabulary: 300, width: 3584, heads: 28 };
const feed: FeedForward = {
  ...{ kind: "experts", f: 64, x: 8, shared: 64 },
  routing: { scores: "sigmoid", perToken: 2, groups: 1, perGroup: 1, normalised: true, factor: 1 },
};

/** A WebGPU that takes everything and does nothing. */
function blankGpu(): GPU {
  const limits = {
    ...{ maxBufferSize: 2 ** 32, maxStorageBufferBindingSize: 2 ** 31, maxStorageBuffersPerShaderStage: BINDINGS },
    ...{ maxComputeWorkgroupStorageSize: 32768, maxComputeInvocationsPerWorkgroup: 256 },
    ...{ maxComputeWorkgroupSizeX: 256, maxComputeWorkgroupsPerDimension: 65535, minUniformBufferOffsetAlignment: 256 },
  };
  const nothing = () => ({});
  const features = new Set(["subgroups"]);
  const device = {
    ...{ limits, features, lost: new Promise(() => {}), addEventListener: nothing, destroy: nothing },
    createBuffer: ({ size }: { size: number }) => ({ size, destroy: nothing }),
    ...{ createBindGroupLayout: nothing, createBindGroup: nothing, createPipelineLayout: nothing },
    createShaderModule: nothing,
    createComputePipelineAsync: async () => ({}),
  };
  const info = { description: "none", subgroupMinSize: SUBGROUP, subgroupMaxSize: SUBGROUP, isFallbackAdapter: false };
  const adapter = { limits, features, info, requestDevice: async () => device };
  return {
    requestAdapter: async () => adapter,
    wgslLanguageFeatures: new Set(["subgroup_id"]),
  } as unknown as GPU;
}

export const blank = await WebgpuDevice.open({ gpu: blankGpu() });

/** The name of the variant of a spec. */
export const variantOf = (spec: string) => buildModel(spec, { ...sizes, layers: 1 }).layers[0]!.attention.variant.name;

/** Forms of a variant in which it decodes: those that unfold nothing of what is cached, or all where it has none. */
export function decodingForms(spec: string): readonly string[] {
  const { variant, sizes: z } = buildModel(spec, { ...sizes, layers: 1 }).layers[0]!.attention;
  const names = formNames(variant, z);
  const lean = names.filter((name) => !variant.forms[name]!.over && variant.forms[name]!.cost(z).cached === 0);
  return lean.length ? lean : names;
}

/** Launches of a layer and decoded token in this form, with a dense half or experts. */
export function launchesOf(spec: string, form: string, half: "dense" | "experts", cache: CacheType = "f32"): number {
  const of = (layers: number) => {
    const dense = buildModel(spec, { ...sizes, layers });
    const model = half === "experts" ? { ...dense, layers: dense.layers.map((l) => ({ ...l, feed })) } : dense;
    let found = 0;
    void blank.rehearse(() => {
      const weights = new Map(parametersOf(model).map(({ name, shape }) => [name, new Tensor(blank, shape)]));
      const session = new Session(model, weights, { cache });
      session.append(new Int32Array(CACHED), { form, logits: "last" });
      const before = blank.counts.launches;
      session.append(new Int32Array(1), { form, logits: "last" });
      found = blank.counts.launches - before;
    });
    return found;
  };
  return of(2) - of(1);
}

/** What of each variant is counted. */
export const counted: readonly string[] = [
  ...["MHA", "GQA2-128", "GQA2-128-QKNorm", "MQA", "MLA", "MLA-QLoRA", "GQA2-(192+64)-S1", "GQA2-(192+64)-S2"],
  ...["GQA1-(512+64)-S3", "MFA", "MFA-KR", "TPA", "TPA-KV", "GLA2", "GQLA4", "GTA4", "GQA2-128-FoX", "MLA-FoX"],
  ...["GQA2-128-SBA", "MLA-SBA", "MLA-DSA512", "MLA-DSA512-QLoRA", "DeltaNet", "GDN", "KDA"],
];

/** The table of bench/README.md: the form with the fewest launches of those in which a variant decodes. */
export function launchTable(): string {
  const rows = counted.map((spec) => {
    const forms = decodingForms(spec).map((form) => ({
      form,
      dense: launchesOf(spec, form, "dense"),
      experts: launchesOf(spec, form, "experts"),
    }));
    const { form, dense, experts } = forms.reduce((best, one) => (one.dense < best.dense ? one : best));
    return `| \`${spec}\` | \`${form}\` | ${dense} | ${experts} |`;
  });
  return ["| layer | form | with a dense half | with experts |", "|---|---|---|---|", ...rows].join("\n");
}
