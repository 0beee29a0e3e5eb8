import type { WebgpuDevice } from "../../device/webgpu.ts";
import { headsOf } from "../attend/gpu/heads.wgsl.ts";
import { Apart, launchUp, rowsAlike } from "../attend/gpu/up.wgsl.ts";
import { FEW } from "../einsum/launch.wgsl.ts";
import { loopsOf } from "../einsum/loops.wgsl.ts";
import { planOf } from "../einsum/plan.ts";
import { weightOf } from "../einsum/webgpu.ts";
import type { BlendKernel } from "./index.ts";

/** Rows `[t, h, e]` plus gain times what one matrix w makes of each, for a few tokens: of results that are about to be put together, or as they lie. */
export const blendWebgpu: BlendKernel = (x, w, gain, out) => {
  const device = out.device as WebgpuDevice;
  const [t = 0, h = 0, width = 0] = x.shape;
  if (t > FEW || out.size === 0) return false;
  const loops = loopsOf(planOf("t h e, e v -> t h v", x.shape, w.shape), x, w);
  const { withheld } = device;
  const operands = { ...weightOf(w), a: x, c: out };
  if (withheld instanceof Apart && withheld.multiply(loops, operands, gain)) return true;
  const numbers = { rows: t * h, pieces: 0, width, h };
  const heads = headsOf(device.traits, loops, operands, rowsAlike(numbers));
  if (!heads) return false;
  launchUp(device, heads, { parts: x, ...heads.operands }, numbers, gain);
  return true;
};
