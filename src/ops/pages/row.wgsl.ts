import { mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { CacheType } from "../../tensor/page.ts";
import { type Vector, vectorCode, vectorNumbers, vectorReads } from "../ready/vector.wgsl.ts";

// New rows of caches, of any number of sequences: a workgroup has one vector, of which each row of a part has one or several, makes it
// ready where that is still to be done, and puts it in its type where the page and slot of its row are.

/** Threads of a workgroup. */
export const THREADS = 64;

/** Numbers of a 4-byte word. */
export const perWord = { f32: 1, bf16: 2, q8: 4 } as const;

/** The quotient of two positive numbers to the nearest float32, which WGSL's own is not: by long division. Below 2^-126 it is 0. */
const divide = `fn divide(a: u32, b: u32) -> f32 {
  var exponent = i32(a >> 23) - i32(b >> 23) + 127;
  let divisor = (b & 0x7fffff) | 0x800000;
  var rest = (a & 0x7fffff) | 0x800000;
  if (rest < divisor) { rest *= 2; exponent -= 1; }
  var quotient = 0u;
  for (var i = 0; i < 25; i++) {
    quotient *= 2;
    if (rest >= divisor) { rest -= divisor; quotient += 1; }
    rest *= 2;
  }
  let half = quotient & 1;
  quotient /= 2;
  if (half == 1 && (rest != 0 || (quotient & 1) == 1)) { quotient += 1; }
  if (a >> 23 == 0 || b >> 23 == 0 || exponent <= 0) { return 0; }
  return bitcast<f32>((u32(exponent) << 23) + quotient - 0x800000);
}`;

/** WGSL `whole(bits, scale)`: the byte of a number under a scale. */
export const whole = `${divide}
fn whole(bits: u32, scale: u32) -> u32 {
  let magnitude = min(127, i32(round(divide(bits & 0x7fffffff, scale))));
  return u32(select(magnitude, -magnitude, bits >> 31 == 1)) & 0xff;
}`;

/** WGSL of a scale: the largest magnitude over 127; what is no finite number stays as it is. */
export const scaleOf = (largest: string) =>
  `select(bitcast<u32>(divide(${largest}, 0x42fe0000)), ${largest}, ${largest} >= 0x7f800000)`;

/** WGSL by which a workgroup finds in `most[0]` the largest magnitude of so many numbers, of which `bits(i)` are the bits. */
export const largestCode = (each: string, bits: (i: string) => string) => `var largest = 0u;
  for (var i = thread; i < ${each}; i += ${THREADS}) { largest = max(largest, ${bits("i")} & 0x7fffffff); }
  most[thread] = largest;
  for (var half = ${THREADS / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) { most[thread] = max(most[thread], most[thread + half]); }
  }`;

/** WGSL of a number as bfloat16, to the nearest even. */
export const narrow =
  "select((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, (bits >> 16) | 0x40, (bits & 0x7fffffff) > 0x7f800000)";

/**
 * An item of a launch: what makes a vector ready, where that is to be done, else which binding it is read from; and the type in which it
 * is stored, where it is.
 */
export interface Item {
  readonly vector: Vector | undefined;
  readonly source: number;
  readonly type: CacheType | undefined;
}

/** Numbers of item `i` of a launch. */
function numbersOf({ vector, type }: Item, i: number): Shader["numbers"] {
  return {
    ...{ [`end${i}`]: "u32", [`width${i}`]: "u32", [`from${i}`]: "u32" },
    ...(vector && vectorNumbers(vector, i)),
    ...(type && { [`heads${i}`]: "u32", [`rows${i}_at`]: "u32" }),
    ...(type === "q8" && { [`scales${i}_at`]: "u32" }),
  };
}

/** `most`: numbers of a vector at most. */
export function rowShader(items: readonly Item[], layout: string, most: number): Omit<Shader, "name"> {
  const named = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, "f32" as const]));
  const ready = items.some(({ vector }) => vector);
  const has = (type: CacheType) => items.some((item) => item.type === type);
  return {
    reads: {
      ...(ready ? { angles: "f32" as const } : {}),
      ...named(items.map(({ source }) => `x${source}`)),
      ...named(items.flatMap(({ vector }, i) => (vector ? vectorReads(vector, i) : []))),
      places: "u32",
    },
    writes: { ...named(items.flatMap(({ vector }) => (vector ? [`out${vector.result}`] : []))), pages: "u32" },
    numbers: { pairs: "u32", ...Object.assign({}, ...items.map(numbersOf)) },
    code: ({ SUBGROUP }) => /* wgsl */ `${items.some(({ vector }) => vector?.gain) ? reductions(THREADS, SUBGROUP) : ""}
${has("q8") ? `${whole}\nvar<workgroup> most: array<u32, ${THREADS}>;` : ""}
${has("bf16") ? `fn narrow(x: f32) -> u32 {\n  let bits = bitcast<u32>(x);\n  return ${narrow};\n}` : ""}
${items.every(isPlain) ? "" : `var<workgroup> made: array<f32, ${most}>;`}
${items.map((item, i) => itemCode(item, i, layout)).join("\n")}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
${items.map((_, i) => `  if (id < p.end${i}) { item${i}(id${i ? ` - p.end${i - 1}` : ""}, thread); return; }`).join("\n")}
}`,
  };
}

/** Whether each thread finds its numbers by itself: no barrier then, of which a software GPU takes a tenth of a millisecond. */
const isPlain = ({ vector, type }: Item) => !vector && type !== "q8";

function itemCode(item: Item, i: number, layout: string): string {
  const { vector, source, type } = item;
  const plain = isPlain(item);
  const from = `x${source}[p.x${source}_at + p.from${i} + id * p.width${i} + `;
  const made = (k: string) => (plain ? `${from}${k}]` : `made[${k}]`);
  const make = vector ? vectorCode(vector, i, layout, THREADS) : "";
  const fill = vector
    ? `vector${i}(id, thread);`
    : plain
      ? ""
      : `for (var k = thread; k < p.width${i}; k += ${THREADS}) { made[k] = ${from}k]; }`;
  const word: Readonly<Record<CacheType, string>> = {
    f32: `bitcast<u32>(${made("k")})`,
    bf16: `narrow(${made("2 * k")}) | (narrow(${made("2 * k + 1")}) << 16)`,
    q8: [0, 1, 2, 3].map((b) => `(whole(bitcast<u32>(made[4 * k + ${b}]), scale) << ${8 * b})`).join(" | "),
  };
  const store = type
    ? `${plain ? "" : "workgroupBarrier();"}
  let row = id / p.heads${i};
  let head = id % p.heads${i};
  let page = places[p.places_at + 2 * row];
  let slot = places[p.places_at + 2 * row + 1];
  ${
    type === "q8"
      ? `${largestCode(`p.width${i}`, (k) => `bitcast<u32>(made[${k}])`)}
  workgroupBarrier();
  let most = most[0];
  let scale = ${scaleOf("most")};
  if (thread == 0) { pages[page + p.scales${i}_at + slot * p.heads${i} + head] = scale; }`
      : ""
  }
  let words = p.width${i} / ${perWord[type]};
  let place = page + p.rows${i}_at + (slot * p.heads${i} + head) * words;
  for (var k = thread; k < words; k += ${THREADS}) { pages[place + k] = ${word[type]}; }`
    : "";
  return `${make}
fn item${i}(id: u32, thread: u32) {
  ${fill}
  ${store}
}`;
}
