/** A plan as the page shows it: HTML of tables, the first answers first. What comes from a file is escaped. */
import { bytes, compact, context, escaped, grid, type Plan, stacked, whole } from "biform/web";

/** Seconds in the unit that suits them. */
export function time(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const [factor, unit] =
    seconds < 1e-3 ? [1e6, "µs"] : seconds < 1 ? [1e3, "ms"] : seconds < 600 ? [1, "s"] : [1 / 60, "min"];
  return `${Number((seconds * factor).toPrecision(3))} ${unit}`;
}

const figures = (value: number) => (Number.isInteger(value) ? whole(value) : String(Number(value.toPrecision(6))));

/** The cache in the form that takes the least, at the type that was asked for. */
export function leastCache({ cache, settings }: Plan): Plan["cache"][number] {
  const asked = cache.filter(({ dtype }) => dtype === settings.cacheType);
  return asked.reduce((least, row) => (row.bytes < least.bytes ? row : least));
}

/** One sentence for those who hear the page. */
export function headline(plan: Plan): string {
  const least = leastCache(plan);
  const { context: tokens, batch, cacheType } = plan.settings;
  const sequences = batch === 1 ? "" : ` in each of ${whole(batch)} sequences`;
  return `${plan.model.name}: ${whole(tokens)} tokens${sequences} keep ${bytes(least.bytes)} of ${least.form === "absorbed" ? "latents" : "keys and values"} in ${cacheType}.`;
}

/** The few numbers that people come for. */
function cards(plan: Plan): string {
  const { parameters, settings, weights } = plan;
  const least = leastCache(plan);
  const most = plan.cache.find(({ form, dtype }) => form !== least.form && dtype === settings.cacheType);
  const card = (name: string, value: string, more: string) =>
    `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd><dd class="soft">${escaped(more)}</dd></div>`;
  const weight = weights[0]!;
  return `<dl class="cards">${[
    card(
      "Parameters",
      compact(parameters.total),
      parameters.active < parameters.total
        ? `${compact(parameters.active)} work on a token`
        : "all work on every token",
    ),
    card("Weights", bytes(weight.bytes), weight.dtype === "file" ? "as in the file" : weight.dtype),
    card(
      `Cache, ${context(settings.context)} tokens`,
      bytes(least.bytes),
      most ? `${least.form}; expanded ${bytes(most.bytes)}` : least.form,
    ),
    card(
      "A token more",
      bytes(least.bytesPerToken * settings.batch),
      `${figures(least.valuesPerTokenPerLayer)} values a layer`,
    ),
  ].join("")}</dl>`;
}

function cacheTable({ cache, settings }: Plan): string {
  const forms = [...new Set(cache.map(({ form }) => form))];
  const types = [...new Set(cache.map(({ dtype }) => dtype))];
  const rows = forms.map((form) => {
    const own = cache.filter((row) => row.form === form);
    return {
      cells: [
        form,
        figures(own[0]!.valuesPerTokenPerLayer),
        bytes(own[0]!.bytesPerToken),
        ...types.map((type) => bytes(own.find(({ dtype }) => dtype === type)!.bytes)),
      ],
    };
  });
  return grid(
    `The cache of ${whole(settings.context)} tokens, ${settings.batch === 1 ? "one sequence" : `${whole(settings.batch)} sequences`}, by form and type`,
    ["form", "values / token / layer", `a token, ${settings.cacheType}`, ...types],
    rows,
  );
}

function engineTable({ engines, cache }: Plan): string {
  if (engines.length === 0) return "";
  const least = Math.min(...cache.map(({ valuesPerTokenPerLayer }) => valuesPerTokenPerLayer));
  const rows = engines.map(({ engine, version, valuesPerTokenPerLayer, bytes: size, keeps, source }) => ({
    cells: [
      stacked(engine, version),
      figures(valuesPerTokenPerLayer),
      `× ${Number((valuesPerTokenPerLayer / least).toPrecision(3))}`,
      bytes(size),
      escaped(keeps),
      escaped(source),
    ],
  }));
  return grid(
    "What engines keep",
    ["engine and version", "values / token / layer", "of the least", "bytes", "keeps", "source"],
    rows,
  );
}

function machineTable({ machines, settings }: Plan): string {
  if (machines.length === 0) return "";
  const two = machines.some(({ crossover }) => crossover);
  const rows = machines.map(({ machine, measured, memory, fits, longestContext, prefill, decode, crossover }) => {
    const longest = longestContext.filter(({ dtype }) => dtype === settings.cacheType);
    const timed = (entry: (typeof prefill)[number] | undefined, value: string) =>
      entry ? stacked(value, `${entry.form}, ${entry.limit}-bound`) : "–";
    return {
      cells: [
        stacked(machine, measured ? "measured" : memory === undefined ? "" : bytes(memory)),
        fits === undefined ? "–" : fits ? "yes" : "no",
        longest.map(({ form, tokens }) => `${tokensText(tokens)} <span class="soft">${form}</span>`).join("<br>") ||
          "–",
        timed(prefill[0], time(prefill[0]?.seconds ?? Number.NaN)),
        timed(decode[0], `${compact(decode[0]?.tokensPerSecond ?? Number.NaN)} tok/s`),
        ...(two ? [crossover ? crossoverText(crossover) : "–"] : []),
      ],
    };
  });
  const heads = [
    "machine",
    `${context(settings.context)} fits`,
    "longest context",
    `prefill of ${context(settings.context)}`,
    `decode after ${context(settings.context)}`,
    ...(two ? ["absorbed wins"] : []),
  ];
  return grid("Machines", heads, rows);
}

/** The most tokens: none where the weights alone do not fit, any where no length fills the memory. */
export function tokensText(tokens: number | null): string {
  return tokens === null ? "any" : tokens === 0 ? "none" : whole(tokens);
}

function crossoverText({ decodeContext, prefillChunk }: NonNullable<Plan["machines"][number]["crossover"]>): string {
  const decode =
    decodeContext === null ? "never" : decodeContext <= 2 ? "always" : `from ${whole(Math.ceil(decodeContext))}`;
  return stacked(`decode: ${decode}`, `prefill: up to ${whole(Math.floor(prefillChunk))} new`);
}

function layoutTable({ layouts }: Plan): string {
  if (layouts.length === 0) return "";
  const rows = layouts.map((layout) => ({
    cells: [
      escaped(layout.layout),
      whole(layout.ranks),
      bytes(layout.weightBytesPerRank),
      bytes(layout.cacheBytesPerRank),
      bytes(layout.duplicatedWeightBytes),
      bytes(layout.duplicatedCacheBytes),
      bytes(layout.communicationBytesPerStep),
    ],
  }));
  const notes = layouts.flatMap(({ layout, notes }) =>
    notes.map((note) => `<li>${escaped(`${layout}: ${note}`)}</li>`),
  );
  const heads = [
    "layout",
    "ranks",
    "weights / rank",
    "cache / rank",
    "weights held twice",
    "cache held twice",
    "sent / rank / step",
  ];
  return `${grid("Layouts", heads, rows)}<ul class="soft">${notes.join("")}</ul>`;
}

function costTable({ costs, settings }: Plan): string {
  const rows = costs.map(({ phase, cached, form, flops, bytes: moved, intensity }) => ({
    cells: [phase, cached, form, compact(flops), bytes(moved), String(Number(intensity.toPrecision(3)))],
  }));
  return grid(
    `Work of a prefill of ${whole(settings.context)} tokens, and of ${settings.step === 1 ? "one token" : `${whole(settings.step)} tokens`} after them`,
    ["phase", "kept as", "runs", "FLOPs", "bytes moved", "FLOPs / byte"],
    rows,
  );
}

function layerTable({ layers }: Plan): string {
  const rows = layers.map(({ count, variant, sizes, window, parameters, cache, state }) => ({
    cells: [
      `${whole(count)} × ${escaped(variant)}`,
      escaped(
        Object.entries(sizes)
          .map(([letter, size]) => `${letter} ${size}`)
          .join(", "),
      ),
      window === undefined ? "–" : whole(window),
      compact(parameters),
      cache.expanded === undefined ? "–" : figures(cache.expanded),
      cache.absorbed === undefined ? "–" : figures(cache.absorbed),
      whole(state),
    ],
  }));
  const heads = ["layers", "sizes", "window", "attention parameters", "expanded values", "absorbed values", "state"];
  return grid("Layers, each by itself", heads, rows);
}

function weightTable({ weights }: Plan): string {
  const rows = weights.map(({ dtype, bytes: size }) => ({ cells: [escaped(dtype), bytes(size)] }));
  return grid("Weights by type, scales of blocks not counted", ["type", "bytes"], rows);
}

/** The whole of a plan as HTML: what is asked for most above, what it follows from behind a summary. */
export function answer(plan: Plan): string {
  const { model, notes } = plan;
  const facts = [
    model.architecture,
    `${whole(model.layers)} layers`,
    `width ${whole(model.width)}`,
    `vocabulary ${whole(model.vocabulary)}`,
    ...(model.maxContext ? [`declared for ${whole(model.maxContext)} tokens`] : []),
  ];
  const told = notes.map((note) => `<li>${escaped(note)}</li>`).join("");
  return [
    `<p class="soft">${escaped(facts.join(" · "))}${model.source ? `<br>Sizes: ${escaped(model.source)}` : ""}</p>`,
    cards(plan),
    cacheTable(plan),
    machineTable(plan),
    engineTable(plan),
    layoutTable(plan),
    told === "" ? "" : `<ul class="soft">${told}</ul>`,
    `<details><summary>Work, layers and weights</summary>${costTable(plan)}${layerTable(plan)}${weightTable(plan)}</details>`,
  ].join("");
}
