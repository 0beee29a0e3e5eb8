import { Cache } from "../../src/attention/cache.ts";
import type { Variant } from "../../src/attention/define.ts";
import { type Portion, runAttention } from "../../src/attention/layer.ts";
import { Session } from "../../src/generate/session.ts";
import { appendTogether } from "../../src/generate/together.ts";
import { positionsOf } from "../../src/ops/rope/index.ts";
import type { CacheType } from "../../src/tensor/page.ts";
import { Random } from "../../src/tensor/random.ts";
import type { Device, Tensor } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { differ, type Violation } from "./check.ts";
import { type Case, tokensOf } from "./geometry.ts";
import { type ModelCase, named, weightsOf } from "./model.ts";
import { boundedOutput } from "./shaken.ts";
import { formName, type Operand, onto, operand, type Program, partsOf, subjectOf } from "./subject.ts";

/** In float64 the same sums may be taken in another order, and nothing else differs. */
const EXACT = 1e-12;

/** A sequence of the law: its hidden states, how many are cached before the step, how many the step brings, and the form of its chunk. */
interface Strand {
  readonly x: Operand;
  readonly before: number;
  readonly added: number;
  readonly form: number;
}

function strandsOf(drawn: Case): Strand[] {
  const random = new Random(drawn.seed + 7);
  const most = tokensOf(drawn);
  return Array.from({ length: 2 + random.integer(4) }, (_, i) => {
    const before = random.integer(most + 1);
    const added = i === 0 || random.integer(2) ? 1 : 2 + random.integer(Math.min(most, 12));
    const form = random.integer(3);
    // One token more, for the step after.
    return { x: operand("x", [before + added + 1, drawn.sizes.d], random), before, added, form };
  });
}

/**
 * Law: a step of several sequences is each one's own step. Sequences of any lengths, some of which bring one token and others a chunk,
 * step together, those of one token in one form, each chunk in its own; then all of them by a token, a fork of one among them. Each
 * one's outputs are those of the sequence alone. In float32 the two may take other kernels (few rows stream past a matrix, many are
 * laid out), so each is only as near to the exact numbers as float32 allows.
 */
export function stepsTogether(
  variant: Variant,
  drawn: Case,
  device: Device,
  type: CacheType = "f32",
): Promise<Violation> {
  const { attention, parameters } = subjectOf(variant, drawn, 1);
  const strands = strandsOf(drawn);
  const formOf = (i: number) => formName(variant, drawn.sizes, i);
  const together = drawn.seed % 3;
  return openScope(device, async () => {
    const p = partsOf(
      parameters,
      parameters.map((parameter) => onto(device, parameter)),
    );
    const xs = strands.map(({ x }) => onto(device, x));
    const open = () =>
      strands.map(({ before, form }, i) => {
        const cache = new Cache(device, attention, 400, type);
        if (before)
          runAttention(attention, p, xs[i]!.rows(0, before), {
            positions: positionsOf(0, before),
            form: formOf(form),
            cache,
          });
        return cache;
      });
    const step = (portions: readonly Portion[], x: Tensor) =>
      runAttention(attention, p, x, { positions: concatenate(portions.map(({ positions }) => positions)), portions });

    const alone = open();
    const expected: number[][] = [];
    for (const [i, { before, added, form }] of strands.entries()) {
      const run = async (from: number, n: number, which: number) => [
        ...(await runAttention(attention, p, xs[i]!.rows(from, from + n), {
          positions: positionsOf(from, n),
          form: formOf(which),
          cache: alone[i]!,
        }).read()),
      ];
      expected.push([
        ...(await run(before, added, added === 1 ? together : form)),
        ...(await run(before + added, 1, together)),
      ]);
    }

    const caches = open();
    const order = [
      ...strands.flatMap(({ added }, i) => (added === 1 ? [i] : [])),
      ...strands.flatMap(({ added }, i) => (added === 1 ? [] : [i])),
    ];
    const singles = strands.filter(({ added }) => added === 1).length;
    const portionOf = (which: readonly number[], form: number): Portion => ({
      positions: concatenate(which.map((i) => positionsOf(strands[i]!.before, strands[i]!.added))),
      form: formOf(form),
      rows: which.map((i) => strands[i]!.added),
      caches: which.map((i) => caches[i]!),
    });
    const first = await step(
      [
        portionOf(order.slice(0, singles), together),
        ...order.slice(singles).map((i) => portionOf([i], strands[i]!.form)),
      ],
      rowsOf(
        device,
        order.map((i) => xs[i]!.rows(strands[i]!.before, strands[i]!.before + strands[i]!.added)),
      ),
    ).read();
    // The first one's fork goes on as it does.
    const fork = caches[0]!.fork();
    const last = (i: number) => strands[i]!.before + strands[i]!.added;
    const places = [...strands.keys(), 0];
    const second = await step(
      [
        {
          positions: Int32Array.from(places, last),
          form: formOf(together),
          rows: places.map(() => 1),
          caches: [...caches, fork],
        },
      ],
      rowsOf(
        device,
        places.map((i) => xs[i]!.rows(last(i), last(i) + 1)),
      ),
    ).read();
    for (const cache of [...alone, ...caches, fork]) cache.free();

    const { d } = drawn.sizes;
    let row = 0;
    const got = new Map<number, number[]>();
    for (const i of order) {
      got.set(i, [...first.subarray(row * d, (row + strands[i]!.added) * d)]);
      row += strands[i]!.added;
    }
    for (const [at, i] of places.entries()) {
      const after = second.subarray(at * d, (at + 1) * d);
      const violation = check(`sequence ${i} of ${strands.length}${at === strands.length ? ", its fork" : ""}`, i, [
        ...got.get(i)!,
        ...after,
      ]);
      if (violation) return violation;
    }
    return undefined;

    function check(what: string, i: number, numbers: readonly number[]): Violation {
      const bound = device.elementBytes === 8 ? 0 : 2 * boundOf(strands[i]!);
      const exactness = device.elementBytes === 8 ? EXACT : 0;
      return differ(`${variant.name} ${type}: ${what}`, expected[i]!, numbers, exactness, bound);
    }
  });

  /** How far float32 may be from the exact outputs of a sequence, in whichever of its forms. */
  function boundOf({ x, form }: Strand): number {
    const program = (which: number): Program => ({
      inputs: [...parameters, x],
      scale: variant.scale(drawn.sizes),
      run: (tensors) =>
        runAttention(attention, partsOf(parameters, tensors), tensors.at(-1)!, {
          positions: positionsOf(0, x.shape[0]!),
          form: formOf(which),
        }),
    });
    return boundedOutput(program(form)).bound + boundedOutput(program(together)).bound;
  }
}

function rowsOf(device: Device, pieces: readonly Tensor[]): Tensor {
  const [first] = pieces;
  const rows = pieces.reduce((sum, { shape }) => sum + shape[0]!, 0);
  const all = onto(device, {
    name: "x",
    shape: [rows, first!.shape[1]!],
    values: new Float64Array(rows * first!.shape[1]!),
  });
  let at = 0;
  for (const piece of pieces) {
    device.copy(piece, all.rows(at, at + piece.shape[0]!));
    at += piece.shape[0]!;
  }
  return all;
}

const concatenate = (pieces: readonly Int32Array[]) => Int32Array.from(pieces.flatMap((piece) => [...piece]));

/**
 * Law: sessions of any model, hybrids and experts among them, write together what each writes alone: prompts in chunks beside tokens,
 * sessions that join late and leave early, a fork that joins. The numbers that each holds in the end are the same too.
 */
export function sessionsTogether(drawn: ModelCase, device: Device, tolerance = EXACT): Promise<Violation> {
  const { model, seed, form } = drawn;
  const random = new Random(seed + 9);
  const draw = (n: number) => Int32Array.from({ length: n }, () => random.integer(model.vocabulary));
  const options = form ? { form } : {};
  const plans = Array.from({ length: 2 + random.integer(3) }, () => ({
    joins: random.integer(3),
    pieces: Array.from({ length: 1 + random.integer(5) }, () => draw(random.integer(3) ? 1 : 2 + random.integer(9))),
    logits: (["all", "last", "none"] as const)[random.integer(3)]!,
  }));
  return openScope(device, async () => {
    const inputs = weightsOf(drawn);
    const weights = named(
      inputs,
      inputs.map((input) => onto(device, input)),
    );
    const before = device.liveBytes;
    const open = () => new Session(model, weights, { context: 100, snapshots: 3 });
    const expected: number[][] = [];
    for (const { pieces, logits } of plans) {
      const session = open();
      const own: number[] = [];
      for (const ids of pieces) {
        const tensor = session.append(ids, { ...options, logits: logits === "all" ? "all" : "last" });
        if (logits !== "none") own.push(...(await tensor.read()));
        tensor.free();
      }
      expected.push(own);
      session.free();
    }
    const sessions = plans.map(open);
    const got: number[][] = plans.map(() => []);
    const w = model.vocabulary;
    for (let time = 0; time < 9; time++) {
      const active = plans.flatMap(({ joins, pieces }, i) => (pieces[time - joins] ? [i] : []));
      if (!active.length) continue;
      const entries = active.map((i) => ({
        session: sessions[i]!,
        ids: plans[i]!.pieces[time - plans[i]!.joins]!,
        logits: plans[i]!.logits,
      }));
      // A fork takes the place of its original in the middle of it all.
      if (time === 2) {
        const i = active[0]!;
        const fork = sessions[i]!.fork();
        sessions[i]!.free();
        sessions[i] = fork;
        entries[0] = { ...entries[0]!, session: fork };
      }
      const tensor = appendTogether(entries, options);
      const numbers = await tensor.read();
      tensor.free();
      let at = 0;
      for (const [k, i] of active.entries()) {
        const { ids, logits } = entries[k]!;
        const rows = { all: ids.length, last: 1, none: 0 }[logits];
        got[i]!.push(...numbers.subarray(at * w, (at + rows) * w));
        at += rows;
      }
      if (at * w !== numbers.length) return `logits: got ${numbers.length} numbers, expected ${at * w}`;
    }
    for (const [i, session] of sessions.entries()) {
      const violation = differ(`session ${i} of ${plans.length}`, expected[i]!, got[i]!, tolerance);
      if (violation) return violation;
      const ids = plans[i]!.pieces.flatMap((piece) => [...piece]);
      if (`${session.tokens}` !== `${ids}`) return `session ${i}: holds ${session.tokens}, expected ${ids}`;
      session.free();
    }
    return device.liveBytes === before ? undefined : `${device.liveBytes - before} bytes are held after all was freed`;
  });
}
