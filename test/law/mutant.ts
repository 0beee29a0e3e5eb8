import fc from "fast-check";
import { Cache } from "../../src/attention/cache.ts";
import { cacheOf, type Parts, type Variant } from "../../src/attention/define.ts";
import { gqa } from "../../src/attention/variant/gqa.ts";
import { mla } from "../../src/attention/variant/mla.ts";
import { flatten, pick, placement, spread } from "../../src/attention/variant/placement.ts";
import { variants } from "../../src/attention/variants.ts";
import { add, reshape, scaleBy } from "../../src/ops/add/index.ts";
import { attend, type View } from "../../src/ops/attend/index.ts";
import { addBias } from "../../src/ops/bias/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { rmsNorm } from "../../src/ops/norm/index.ts";
import { record } from "../../src/ops/op.ts";
import { type Device, Tensor, tensor } from "../../src/tensor/tensor.ts";
import { declaredIsCounted, declaredIsHeld } from "./account.ts";
import { agrees, givesBack, repeats } from "./agreement.ts";
import { causal } from "./causality.ts";
import { seed, type Violation } from "./check.ts";
import { continues } from "./continuation.ts";
import { formsAgree } from "./forms.ts";
import { type Case, sizes } from "./geometry.ts";
import { gradientIsDifference } from "./gradient.ts";
import { layerProgram } from "./subject.ts";

/** A variant that is wrong in one place, and the law that must say so. */
export interface Mutant {
  readonly what: string;
  /** The variant as it should be, for which sizes are drawn and which the law must leave in peace. */
  readonly from: Variant;
  readonly wrong: Variant;
  law(variant: Variant, drawn: Case, on: Devices): Violation | Promise<Violation>;
}

export interface Devices {
  readonly reference: Device;
  readonly wasm: Device;
}

type Run = Variant["forms"][string]["run"];
export const lastForm = (variant: Variant) => Object.keys(variant.forms).at(-1)!;

/** The variant with its last form changed. */
function withForm(variant: Variant, change: (run: Run) => Run, form = lastForm(variant)): Variant {
  const forms = { ...variant.forms, [form]: { ...variant.forms[form]!, run: change(variant.forms[form]!.run) } };
  return { ...variant, forms };
}

/** The same with what its last form gives passed through `change`. */
const withOutput = (variant: Variant, change: (o: Tensor) => Tensor): Variant =>
  withForm(
    variant,
    (run) =>
      (...args) =>
        change(run(...args)),
  );

/** The same with what its last form sees changed. */
const withView = (variant: Variant, change: (view: View, tokens: number) => View): Variant =>
  withForm(
    variant,
    (run) =>
      (p, parts, view, ...others) =>
        run(p, parts, change(view, Object.values(parts)[0]!.shape[0]!), ...others),
  );

/** The same with projections that are wrong in a pass that does not start the sequence. */
const withStep = (variant: Variant, change: (project: Variant["project"]) => Variant["project"]): Variant => ({
  ...variant,
  project: (p, x, at, ...others) => (at.positions[0] ? change(variant.project) : variant.project)(p, x, at, ...others),
});

const forms = (variant: Variant, drawn: Case, { reference }: Devices) => formsAgree(variant, drawn, reference);
const steps = (variant: Variant, drawn: Case, { reference }: Devices) => continues(variant, drawn, reference);
const past = (variant: Variant, drawn: Case, { reference }: Devices) => causal(variant, drawn, reference);
const held = (variant: Variant, drawn: Case, { reference }: Devices) => declaredIsHeld(variant, drawn, reference);
const cost = (variant: Variant, drawn: Case, { reference }: Devices) => declaredIsCounted(variant, drawn, reference);
const program = (variant: Variant, drawn: Case) => layerProgram(variant, drawn, lastForm(variant));
const slope = (variant: Variant, drawn: Case) => gradientIsDifference("", program(variant, drawn), drawn.seed);

/** Every key and value one token late: each query sees the token after its own, and the newest twice. */
function late(parts: Parts, names: readonly string[], batch: number): Parts {
  const shifted = names.map((name) => {
    const t = parts[name]!;
    const rows = t.shape[0]!;
    const moves = new Float64Array(rows * rows);
    for (let i = 0; i < rows; i++) moves[i * rows + ((i + 1) % (rows / batch) ? i + 1 : i)] = 1;
    const flat = einsum("s u, u e -> s e", tensor(t.device, [rows, rows], moves), reshape(t, [rows, t.size / rows]));
    return [name, reshape(flat, t.shape)];
  });
  return { ...parts, ...Object.fromEntries(shifted) };
}

/** What a variant can be mutated in: whether any of its sizes rotate, whether it keeps rows, and whether a window hides some. */
function traits(variant: Variant) {
  const drawn = fc.sample(sizes(variant), { seed, numRuns: 60 });
  return {
    rotates: drawn.some(({ r }) => r > 0),
    rows: drawn.some((z) => cacheOf(variant, z).length > 0),
    // A view that is not causal has no own key to break from, and a selection's view is made anew.
    masks: variant.window !== false && !variant.features?.includes("current"),
    windows: variant.window !== false && !variant.state,
  };
}

/** What can go wrong in any variant. */
function ofAny(from: Variant): Mutant[] {
  let calls = 0;
  const { rotates, rows, masks, windows } = traits(from);
  const list: readonly (Omit<Mutant, "from"> & { readonly unless?: boolean })[] = [
    {
      unless: !rotates,
      what: "a position one too far when stepping",
      wrong: withStep(
        from,
        (project) =>
          (p, x, at, ...others) =>
            project(p, x, { ...at, positions: at.positions.map((i) => i + 1) }, ...others),
      ),
      law: steps,
    },
    {
      what: "a wrong scale when stepping",
      wrong: withView(from, (view, tokens) => (tokens === 1 ? { ...view, scale: view.scale * 1.01 } : view)),
      law: steps,
    },
    { unless: !rows, what: "a mask one token late", wrong: lateMask(from), law: past },
    { unless: !masks, what: "no mask", wrong: withView(from, (view) => ({ ...view, causal: false })), law: past },
    {
      unless: !from.state,
      what: "a state that is not carried on",
      wrong: {
        ...withForm(from, (run) => (p, parts, view, z, at) => run(p, parts, view, z, at, undefined)),
        project: (p, x, at, z) => from.project(p, x, at, z, undefined),
      },
      law: steps,
    },
    {
      unless: !windows,
      what: "a window one too wide",
      wrong: withView(from, (view) => (view.window ? { ...view, window: view.window + 1 } : view)),
      law: past,
    },
    {
      what: "sequences run into one another",
      wrong: withForm(
        from,
        (run) =>
          (p, parts, view, z, at, ...others) =>
            run(p, parts, { ...view, batch: 1 }, z, { ...at, batch: 1 }, ...others),
      ),
      law: past,
    },
    {
      what: "a gradient one percent too long",
      wrong: withOutput(from, (o) => passing(o, 1.01)),
      law: slope,
    },
    {
      what: "a gradient lost",
      wrong: withOutput(from, (o) => add(scaleBy(o, 0.5), passing(scaleBy(o, 0.5), 0))),
      law: slope,
    },
    {
      what: "wasm off by a thousandth",
      wrong: withOutput(from, (o) => scaleBy(o, o.device.kind === "wasm" ? 1.001 : 1)),
      law: (variant, drawn, { wasm }) => agrees("", program(variant, drawn), wasm),
    },
    { what: "a projection not declared in the cost", wrong: withCost(from, 1, 0), law: cost },
    { what: "a pair too cheap by one head's dim", wrong: withCost(from, 0, -2), law: cost },
    {
      what: "a parameter declared and not used",
      wrong: { ...from, params: (z) => ({ ...from.params(z), wSpare: "d h" }) },
      law: held,
    },
    {
      what: "a cache twice what is declared",
      wrong: { ...from },
      law: (variant, drawn, { reference }) =>
        declaredIsHeld(variant, drawn, reference, variant === from ? undefined : twice),
    },
    {
      what: "numbers that depend on how often it ran",
      wrong: withOutput(from, (o) => scaleBy(o, 1 + ++calls * 2 ** -50)),
      law: (variant, drawn, { reference }) => repeats("", program(variant, drawn), reference, reference),
    },
    {
      what: "memory that no scope owns",
      wrong: withOutput(from, leak),
      law: (variant, drawn, { reference }) => givesBack("", program(variant, drawn), reference),
    },
  ];
  return list.filter(({ unless }) => !unless).map((mutant) => ({ ...mutant, from }));
}

/** What can go wrong between the forms of a variant that has several. */
function ofForms(from: Variant): Mutant[] {
  if (Object.keys(from.forms).length < 2) return [];
  const wrong = withView(from, (view) => ({ ...view, scale: view.scale * 1.01 }));
  return [{ what: "a wrong scale in one form", from, wrong, law: forms }];
}

const single: readonly Mutant[] = [
  {
    what: "no latent norm when stepping",
    from: mla,
    wrong: withStep(mla, (project) => (p, x, ...others) => ({
      ...project(p, x, ...others),
      c: addBias(einsum("t d, d c -> t c", x, p.wDKV!), p.bDKV),
    })),
    law: steps,
  },
  {
    what: "a second latent norm in one form",
    from: mla,
    wrong: withForm(
      mla,
      (run) =>
        (p, parts, ...others) =>
          run(p, { ...parts, c: rmsNorm(parts.c!, p.gKV) }, ...others),
    ),
    law: forms,
  },
  {
    what: "the shared row laid values first where queries expect keys",
    from: gqa,
    wrong: withForm(gqa, () => (_p, { q, k, v }, view, z) => {
      const width = z.g * (z.e + z.v);
      const [asked, keys] = [placement(q!, z.g, z.e, 0, width), placement(q!, z.g, z.e, z.g * z.v, width)];
      const values = placement(q!, z.g, z.v, 0, width);
      const c = add(flatten(k!, keys), flatten(v!, values));
      return pick(attend(c, view, [spread(q!, asked), c]), values);
    }),
    law: forms,
  },
  {
    what: "key and value swapped in one form",
    from: gqa,
    wrong: withForm(gqa, (run) => (p, { q, k, v }, view, z, ...others) => {
      return run(p, z.e === z.v ? { q, k: v, v: k } : { q, k, v }, view, z, ...others);
    }),
    law: forms,
  },
];

/** Every mutant there is. An error that all forms share is none of theirs: the golden vectors see it. */
export const mutants: readonly Mutant[] = [...variants.flatMap((v) => [...ofAny(v), ...ofForms(v)]), ...single];

function lateMask(from: Variant): Variant {
  return withForm(
    from,
    (run) =>
      (p, parts, view, z, ...others) =>
        run(
          p,
          late(
            parts as Parts,
            cacheOf(from, z).map(([name]) => name),
            (view.batch ?? 1) as number,
          ),
          view,
          z,
          ...others,
        ),
  );
}

/** The identity, with a gradient that is `factor` times the right one. */
function passing(x: Tensor, factor: number): Tensor {
  const output = scaleBy(x, 1);
  output.recorder = undefined;
  return record({ name: "passing", inputs: [x], output, saved: [], backward: (g) => [scaleBy(g, factor)] });
}

function withCost(from: Variant, token: number, pair: number): Variant {
  const form = lastForm(from);
  const known = from.forms[form]!;
  const cost: typeof known.cost = (z) => ({
    ...known.cost(z),
    token: known.cost(z).token + token,
    pair: known.cost(z).pair + pair,
  });
  return { ...from, forms: { ...from.forms, [form]: { ...known, cost } } };
}

const twice = (...args: ConstructorParameters<typeof Cache>): Cache => {
  const cache = new Cache(...args);
  cache.reserve(args[2]);
  new Tensor(args[0], [cache.bytes / args[0].elementBytes]);
  return cache;
};

function leak(o: Tensor): Tensor {
  const { owner } = o.device;
  o.device.owner = undefined;
  new Tensor(o.device, [1]);
  o.device.owner = owner;
  return o;
}
