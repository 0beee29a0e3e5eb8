import { z } from "zod";
import { latentAttention, latentKeys, latentTable } from "../../../family/latent.ts";
import { einsum } from "../../../ops/einsum/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { readCaseConfig } from "../case.ts";
import type { LayerFamily } from "./family.ts";

const schema = z.object({
  ...latentKeys,
  rope_interleave: z.boolean().default(true),
  latent_norm_eps: z.number().positive().max(1).optional(),
  softmax_scale: z.number().optional(),
});

/** DeepSeek's MLA under the hub's names. */
export const mlaLayers: LayerFamily = {
  knows: (has) => has("kv_b_proj.weight"),
  read(raw, weights) {
    const config = readCaseConfig(raw, schema);
    const layout = config.rope_interleave ? "interleaved" : "half";
    const made = latentAttention(config, layout);
    const eps = config.latent_norm_eps;
    const attention = { ...made, sizes: { ...made.sizes, ...(eps !== undefined && { eps }) } };
    const scale = attention.scale!;
    if (config.softmax_scale !== undefined && Math.abs(config.softmax_scale - scale) > 1e-6 * scale)
      throw new FormatError(
        `config.json: softmax_scale: got ${config.softmax_scale}, expected ${scale} by the widths and rope_scaling`,
      );
    // Rotated pairs lie in a cache as they were rotated: those of the other layout are named otherwise.
    const turned = layout === "interleaved";
    return {
      attention,
      sources: Object.fromEntries(
        Object.entries(latentTable(attention.sizes)).flatMap(([name, place]) => (place ? [[name, place.hub]] : [])),
      ),
      weights,
      fixed: { freqs: attention.rotation.frequencies },
      async cached(cache) {
        return {
          latent_cache: { values: await cache.read("c") },
          ...(turned && cache.rows.kr && { rope_key_cache_interleaved: { values: await cache.read("kr") } }),
        };
      },
      projected: (p, { qn, qr }) => ({
        q_nope: qn!,
        q_absorbed: einsum("t h n, c h n -> t h c", qn!, p.wUK!),
        ...(turned && qr && { q_rope_rotated_interleaved: qr }),
      }),
    };
  },
};
