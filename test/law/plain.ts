// The laws of ops and variants on WebGPU without a test runner, for engines that have none: under Deno, whose WGSL compiler is naga, as
// Firefox's is. `npm run test:webgpu` runs it where BIFORM_DENO names a Deno:
//   deno run --unstable-webgpu -A test/law/plain.ts [NAME...]      only laws whose name begins with one of them
import process from "node:process";
import { WebgpuDevice } from "../../src/device/webgpu.ts";
import { agrees } from "./agreement.ts";
import { holds } from "./check.ts";
import { gpuLaws, tried } from "./gpu.ts";
import { differentiable, unrecorded } from "./op.ts";

const gpu = await WebgpuDevice.open({ poison: true });
console.log(`${gpu.traits.name}, ${gpu.traits.f16 ? "with" : "without"} 16-bit floats`);

const extents = [
  [differentiable, "gradients"],
  [unrecorded, "output"],
] as const;
const laws: readonly (readonly [name: string, hold: () => Promise<void>])[] = [
  ...extents.flatMap(([ops, extent]) =>
    Object.entries(ops).map(
      ([name, { draw, make }]) =>
        [name, () => holds(draw, (drawn) => agrees(name, make(drawn), gpu, extent), 12)] as const,
    ),
  ),
  ...tried.flatMap((variant) =>
    Object.entries(gpuLaws(variant, gpu)).map(([law, hold]) => [`${variant.name}: ${law}`, hold] as const),
  ),
];

const wanted = process.argv.slice(2);
const chosen = laws.filter(([name]) => !wanted.length || wanted.some((start) => name.startsWith(start)));
let failed = 0;
for (const [name, hold] of chosen) {
  try {
    await hold();
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.error(`failed ${name}: ${(error as Error).message}`);
  }
}
gpu.close();
console.log(`${chosen.length - failed} laws hold, ${failed} do not`);
process.exit(failed || !chosen.length ? 1 : 0);
