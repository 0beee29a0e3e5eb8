import type { Shader } from "../../device/gpu/shader.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { expertCode } from "../expert/visit.wgsl.ts";
import { weightCode } from "../packed/weight.wgsl.ts";
import { loopCode } from "./loops.wgsl.ts";
import { frameCode, lines, putCode, storeCode, tile } from "./tile.wgsl.ts";

/**
 * The same as `tile` without memory of the workgroup: a thread reads what it multiplies where that lies. A processor that stands in for
 * a GPU has caches for that, and takes far more time for barriers than for numbers that are read twice.
 */
export const direct: Shader = {
  ...tile,
  name: "contract direct",
  code(constants) {
    const { ROWS, COLUMNS, EACH, FORMAT, VISITS } = constants as Record<string, number>;
    const [across, down] = [COLUMNS! / EACH!, ROWS! / EACH!];
    const sums = (code: (r: number, j: number) => string) => lines(EACH!, (j) => lines(EACH!, (r) => code(r, j)));
    const row = (r: number) => `top + y + ${r * down}`;
    const column = (j: number) => `first + x + ${j * across}`;
    const step = constants.FOURS
      ? `  for (var k = begin; k < end; k += 4) {
    let s = vec4u(k_at(k).x, k_at(k + 1).x, k_at(k + 2).x, k_at(k + 3).x);
${lines(EACH!, (r) => `    let l${r} = vec4f(a[a${r} + s.x], a[a${r} + s.y], a[a${r} + s.z], a[a${r} + s.w]);`)}
${lines(EACH!, (j) => `    let r${j} = four(p.b_at + b${j}.y, k / 4);`)}
${sums((r, j) => `    sum${r * EACH! + j} += dot(l${r}, r${j});`)}
  }`
      : `  for (var k = begin; k < end; k++) {
    let s = k_at(k);
${lines(EACH!, (r) => `    let l${r} = a[a${r} + s.x];`)}
${lines(EACH!, (j) => `    let r${j} = weight(p.b_at + b${j}.y + s.y, b${j}.z + s.z);`)}
${sums((r, j) => `    sum${r * EACH! + j} += l${r} * r${j};`)}
  }`;
    return /* wgsl */ `
${weightCode(FORMAT as unknown as PackedFormat)}
${loopCode(constants)}
${VISITS ? expertCode : ""}
${frameCode(constants)}
  if (${row(0)} >= bottom || ${column(0)} >= p.columns) { return; }
${lines(EACH!, (r) => `  let a${r} = p.a_at + base.x + m_at(min(${row(r)}, bottom - 1)).x;`)}
${lines(EACH!, (j) => `  let b${j} = base + n_at(min(${column(j)}, p.columns - 1));`)}
${lines(EACH! * EACH!, (i) => `  var sum${i} = 0.0;`)}
${step}
${storeCode(constants)}
}
${putCode}`;
  },
};
