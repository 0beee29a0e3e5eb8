import type { Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { LeadersKernel } from "./index.ts";

/** Threads of a workgroup, which has a row. */
const THREADS = 256;

/**
 * A row's numbers by rank: as whole numbers that keep their order, with what is no number above all. Each pass finds the next rank
 * below the one before it.
 */
const leaders: Shader = {
  name: "leaders",
  reads: { x: "u32" },
  writes: { out: "u32" },
  numbers: { n: "u32", k: "u32" },
  code: () => /* wgsl */ `
var<workgroup> ranks: array<u32, ${THREADS}>;
var<workgroup> places: array<u32, ${THREADS}>;
/** A whole number that is the larger, the larger the float of these bits is; of -0 the same as of 0. */
fn rank(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  let sign = bits & 0x80000000u;
  if ((bits & 0x7fffffffu) == 0u) { return 0x80000000u; }
  if (sign != 0u) { return ~bits; }
  return bits | 0x80000000u;
}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = p.x_at + group.x * p.n;
  let to = p.out_at + group.x * 2u * p.k;
  var last = 0xffffffffu;
  var lastPlace = 0u;
  for (var found = 0u; found < p.k; found++) {
    var best = 0u;
    var place = 0xffffffffu;
    for (var i = thread; i < p.n; i += ${THREADS}u) {
      let r = rank(x[row + i]);
      let open = found == 0u || r < last || (r == last && i > lastPlace);
      if (open && (place == 0xffffffffu || r > best)) { best = r; place = i; }
    }
    ranks[thread] = best;
    places[thread] = place;
    workgroupBarrier();
    for (var half = ${THREADS / 2}u; half > 0u; half /= 2u) {
      if (thread < half) {
        let other = places[thread + half];
        let r = ranks[thread + half];
        let own = places[thread];
        if (other != 0xffffffffu && (own == 0xffffffffu || r > ranks[thread] || (r == ranks[thread] && other < own))) {
          ranks[thread] = r;
          places[thread] = other;
        }
      }
      workgroupBarrier();
    }
    last = ranks[0];
    lastPlace = places[0];
    if (thread == 0u) {
      out[to + found] = bitcast<u32>(f32(lastPlace));
      out[to + p.k + found] = x[row + lastPlace];
    }
    workgroupBarrier();
  }
}`,
};

export const leadersWebgpu: LeadersKernel = (x, out) => {
  const [rows = 0, n = 0] = x.shape;
  (out.device as WebgpuDevice).launch(leaders, {}, { x, out }, { n, k: out.shape[2]! }, [rows]);
};
