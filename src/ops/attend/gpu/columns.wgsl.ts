import { type Lane, THREADS } from "./tile.wgsl.ts";

/** What a kernel sums up: for each row that stays, weights times the staged numbers of a lane. */
export interface Sum {
  readonly lane: Lane;
  /** Which weights: WGSL of the four rows' weights for one staged row. */
  readonly weight: string;
  /** WGSL of the word where the numbers of row `r` of four go, and the buffer. */
  readonly to: string;
  readonly buffer: string;
}

const ROWS = [0, 1, 2, 3] as const;

/**
 * WGSL of the sums of one thread, in registers: fours of numbers of all sums, side by side, are shared by the threads of the same four
 * rows. `add` takes one staged row (of the slice that is staged), `scale` multiplies by a vector of the four rows, `store` writes rows `r` that are `there`.
 */
export function columnsOf(sums: readonly Sum[], own: number) {
  const total = sums.reduce((n, { lane }) => n + lane.fours, 0);
  const threads = THREADS / own;
  const each = Array.from({ length: Math.ceil(total / threads) }, (_, j) => j);
  const begins = sums.map((_, i) => sums.slice(0, i).reduce((n, { lane }) => n + lane.fours, 0));
  /** Of a column, what `pick` says of its sum. */
  const choose = (x: string, pick: (sum: Sum, i: number) => string): string =>
    sums.reduceRight((rest, sum, i) => {
      const here = pick(sum, i);
      return rest === "" || rest === here ? here : `select(${rest}, ${here}, ${x} < ${begins[i]! + sum.lane.fours})`;
    }, "");
  const weights = [...new Set(sums.map(({ weight }) => weight))];
  const visit = (code: (sum: Sum, held: string) => string) =>
    each
      .flatMap((j) =>
        sums.map(
          (sum, i) => `if (column${j} >= ${begins[i]!}u && column${j} < ${begins[i]! + sum.lane.fours}u) {
    let x = column${j} - ${begins[i]!};
    ${code(sum, `o${j}[r]`)}
  }`,
        ),
      )
      .join("\n  ");
  const named = (weight: string) => `w${weights.indexOf(weight)}`;
  const sliced = new Set(sums.map(({ lane }) => lane.slice)).size > 1;
  return {
    declare: each
      .map(
        (j) => `let column${j} = thread / ${own} + ${j * threads};
  let lane${j} = min(column${j}, ${total - 1}u);
  let held${j} = ${choose(`lane${j}`, ({ lane }, i) => `lane${j} + ${lane.at}u - ${begins[i]!}u`)};
  ${sliced ? `let slice${j} = ${choose(`lane${j}`, ({ lane }) => `${lane.slice}u`)};` : ""}
  var o${j} = array<vec4f, 4>();`,
      )
      .join("\n  "),
    clear: each.map((j) => `o${j} = array<vec4f, 4>();`).join(" "),
    scale: (by: string) => each.map((j) => ROWS.map((r) => `o${j}[${r}] *= ${by}[${r}];`).join(" ")).join("\n    "),
    /** `slice`: what is staged now, where that is not all. */
    add: (row: string, slice = 0) =>
      `${weights.map((weight) => `let ${named(weight)} = ${weight};`).join(" ")}
      ${each
        .map((j) => {
          const weight = weights.length === 1 ? "w0" : choose(`lane${j}`, (sum) => named(sum.weight));
          return `${sliced ? `if (slice${j} == ${slice}) ` : ""}{ let x = held[${row} + held${j}]; let w = ${weight}; ${ROWS.map((r) => `o${j}[${r}] += w[${r}] * x;`).join(" ")} }`;
        })
        .join("\n      ")}`,
    /** Code for each column `x` of each sum, with the names of what it holds of the four rows. */
    visit,
    store: (there: string, factor: string) =>
      visit(
        ({ lane: { rows }, to, buffer }, held) => `for (var r = 0; r < 4; r++) {
      if (!(${there})) { continue; }
      let y = ${held} * ${factor};
      let to = ${to} + 4 * x;
      for (var k = 0u; k < ${rows.e % 4 ? `min(4, ${rows.e} - 4 * x)` : 4}; k++) { ${buffer}[to + k] = y[k]; }
    }`,
      ),
  };
}

/**
 * WGSL: four staged rows times four rows that stay, over a thread's part of a lane, added to `name`. `own` reads four numbers of row `r`
 * of those that stay, the i-th four. Loops over four rows are the drivers' to unroll: written out they would take some of them seconds.
 */
export function productsCode(name: string, lane: Lane, width: number, parts: number, own: string): string {
  return `for (var i = part; i < ${lane.fours}; i += ${parts}) {
        var a = array<vec4f, 4>();
        for (var r = 0; r < 4; r++) { a[r] = ${own}; }
        for (var c = 0u; c < 4; c++) {
          let x = held[(4 * cb + c) * ${width} + ${lane.at} + i];
          ${name}[c] += vec4f(dot(a[0], x), dot(a[1], x), dot(a[2], x), dot(a[3], x));
        }
      }`;
}
