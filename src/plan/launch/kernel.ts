/** Kernels of attention that an engine has to be told of, since those that it takes by itself are made for other sizes. */
import type { Blueprint } from "../../cost/blueprint.ts";
import type { Group } from "../../cost/group.ts";
import { FormatError } from "../../tensor/error.ts";
import { type EngineName, enginesBy, type Flag } from "./flag.ts";

/** The latent and the rotary key of DeepSeek's models, which kernels of latents are written for. */
const LATENT = 512;
const ROTARY = 64;
/** Widths of a head that FlashInfer's kernels are compiled for (DISPATCH_HEAD_DIM in flashinfer/utils.cuh). */
const FLASHINFER = [64, 128, 256, 512];

/**
 * The flag that names a kernel for sizes that the usual ones do not have. Of latents other than 512 + 64, vLLM's Triton kernel takes
 * any (`get_supported_head_sizes` in vllm/v1/attention/backends/mla), and SGLang does not look before it takes FlashAttention's or
 * FlashInfer's (`get_default_attn_backend` in sglang/srt/arg_groups/model_override_base.py).
 *
 * Errors: FormatError for chosen latents of other sizes, which no kernel has.
 */
export function kernelFlags(engine: EngineName, { layers, architecture }: Blueprint, { device }: Group): Flag[] {
  const { title, version } = enginesBy[engine];
  const flag = (value: string, why: string) => [{ flag: "--attention-backend", value, why }];
  const latent = layers.find(
    ({ attention: { variant, sizes } }) =>
      (variant.name === "MLA" || variant.name === "DSA") && !(sizes.c === LATENT && sizes.r === ROTARY),
  )?.attention;
  // vLLM unfolds the latents of MiniCPM3 (vllm/model_executor/models/minicpm3.py).
  if (latent && !(engine === "vllm" && architecture === "minicpm3")) {
    const { c, r } = latent.sizes;
    if (latent.variant.name === "MLA")
      return flag(
        engine === "vllm" ? "TRITON_MLA" : "triton",
        `other kernels of latents are for ${LATENT} + ${ROTARY} numbers, here they have ${c} + ${r}`,
      );
    if (architecture === "deepseek_v32")
      throw new FormatError(
        `--serve ${engine}: got latents of ${c} + ${r} numbers that an indexer chooses, expected ${LATENT} + ${ROTARY}; ${title} ${version} has kernels for no others`,
      );
  }
  const heads = layers.map(({ attention: { variant, sizes } }) => (variant.name === "GQA" ? sizes.e : 0));
  const odd = heads.find(
    (e) => e > 0 && !FLASHINFER.includes(e) && !(isHopper(device.name) && e % 8 === 0 && e <= 256),
  );
  if (engine === "sglang" && odd !== undefined)
    return flag(
      "triton",
      `FlashInfer's kernels are for heads of ${FLASHINFER.join(", ")} numbers, here they have ${odd}`,
    );
  return [];
}

/** Where SGLang takes FlashAttention 3, whose heads are of any eight numbers up to 256. */
const isHopper = (device: string) => /^g?h(20|100|200|800)(?!\d)/.test(device);
