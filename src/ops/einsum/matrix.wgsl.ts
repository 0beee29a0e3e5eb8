import type { Traits } from "../../device/gpu/adapter.ts";
import { mainOf, type Shader } from "../../device/gpu/shader.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { expertCode } from "../expert/visit.wgsl.ts";
import { weightCode } from "../packed/weight.wgsl.ts";
import { loopCode } from "./loops.wgsl.ts";
import { DEPTH, lines, loadPlaces, loads, numberCode, placeCode, putCode, tile } from "./tile.wgsl.ts";

// Tiles whose products are those of subgroup matrices, which a GPU has units for.

/** Rows and columns of a tile. */
const SIDE = 64;
/** Vectors of four from one row of a tile to the next: rows begin at whole 16 bytes, of 16-bit numbers too, and in other banks. */
const PITCH = DEPTH / 4 + 2;

/** How a workgroup shares a tile: threads, subgroups that have a part of it, and how many parts lie down and across. */
export interface Split {
  readonly THREADS: number;
  readonly DOWN: number;
  readonly ACROSS: number;
}

/** The split for an adapter; undefined where it has no subgroup matrices that are to be used, or none that fill a tile's parts. */
export function splitOf({ matrix, subgroup }: Pick<Traits, "matrix" | "subgroup">): Split | undefined {
  if (!matrix || !subgroup || DEPTH % matrix.k) return undefined;
  // Subgroups that are smaller than they may be are more than there are parts.
  const THREADS = Math.max(2 * SIDE, 4 * subgroup.most);
  const parts = THREADS / subgroup.most;
  for (let DOWN = 2 ** Math.floor(Math.log2(parts) / 2); DOWN >= 1; DOWN /= 2) {
    const ACROSS = parts / DOWN;
    if ((SIDE / DOWN) % matrix.m === 0 && (SIDE / ACROSS) % matrix.n === 0) return { THREADS, DOWN, ACROSS };
  }
  return undefined;
}

/** Constants of `matrices` for such a split. */
export const matrixConstants = (split: Split, { m, n, k, type }: NonNullable<Traits["matrix"]>) => ({
  ...{ ROWS: SIDE, COLUMNS: SIDE, EACH: 0 },
  ...split,
  ...{ M: m, N: n, K: k, TYPE: type },
});

/**
 * The same as `tile` with products by subgroup matrices of M x K and K x N numbers of TYPE, added up in float32: a subgroup has a part of
 * the tile. Results go by way of shared memory, since a matrix is stored whole and a tile at the border is not.
 */
export const matrices: Shader = {
  ...tile,
  name: "contract matrices",
  code(constants) {
    const { FORMAT, VISITS, TYPE, SUBGROUP } = constants;
    const { THREADS, DOWN, ACROSS, M, N, K } = constants as Record<string, number>;
    const [rows, columns] = [SIDE / DOWN! / M!, SIDE / ACROSS! / N!];
    const parts = DOWN! * ACROSS!;
    const load = (side: string, by: string, place: string, inner: number, outer: number, order: string) =>
      `subgroupMatrixLoad<subgroup_matrix_${side}<${TYPE}, ${inner}, ${outer}>, ${order}>(&${by}, ${place} * ${PITCH} + i, ${PITCH})`;
    const store = (r: number, j: number) => `  workgroupBarrier();
  subgroupMatrixStore<row_major>(&results, own * ${M! * N!}, sum${r * columns + j}, ${N});
  workgroupBarrier();
  for (var i = subgroup_thread; i < mine; i += subgroup_threads) {
    let row = top + y + ${r * M!} + i / ${N};
    let column = first + x + ${j * N!} + i % ${N};
    if (row < bottom && column < p.columns) {
      put(part * p.size + base.w + m_at(row).w + n_at(column).w, results[own * ${M! * N!} + i]);
    }
  }`;
    return /* wgsl */ `
${weightCode(FORMAT as PackedFormat)}
${loopCode(constants)}
${VISITS ? expertCode : ""}
var<workgroup> left: array<vec4<${TYPE}>, ${SIDE * PITCH}>;
var<workgroup> right: array<vec4<${TYPE}>, ${SIDE * PITCH}>;
var<workgroup> results: array<f32, ${parts * M! * N!}>;
${mainOf(THREADS!, SUBGROUP)}
${placeCode(constants)}
  // Subgroups beyond the last part do what that one does, since all are to meet, and put nothing.
  let own = min(own_subgroup, ${parts - 1});
  let mine = select(0u, ${M! * N!}u, own_subgroup < ${parts});
  let y = own / ${ACROSS} * ${SIDE / DOWN!};
  let x = own % ${ACROSS} * ${SIDE / ACROSS!};
${loadPlaces(constants)}
${lines(rows * columns, (i) => `  var sum${i} = subgroup_matrix_result<f32, ${N}, ${M}>();`)}
  for (var start = begin; start < end; start += ${DEPTH}) {
    workgroupBarrier();
${loads(constants, PITCH, (v) => `vec4<${TYPE}>(${v})`)}
    workgroupBarrier();
    for (var i = 0u; i < ${DEPTH / 4}; i += ${K! / 4}) {
${lines(rows, (r) => `      let l${r} = ${load("left", "left", `(y + ${r * M!})`, K!, M!, "row_major")};`)}
${lines(columns, (j) => `      let r${j} = ${load("right", "right", `(x + ${j * N!})`, N!, K!, "col_major")};`)}
${lines(rows * columns, (i) => `      sum${i} = subgroupMatrixMultiplyAccumulate(l${Math.floor(i / columns)}, r${i % columns}, sum${i});`)}
    }
  }
${lines(rows * columns, (i) => store(Math.floor(i / columns), i % columns))}
}
${numberCode}
${putCode}`;
  },
};
