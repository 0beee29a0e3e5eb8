/** A plan as the page shows it: HTML of tables, the first answers first. What comes from a file is escaped. */
import {
  bytes,
  compact,
  context,
  crossoverText,
  escaped,
  exactBytes,
  grid,
  type Plan,
  sizesText,
  stacked,
  time,
  tokens,
  whole,
} from "biform/web";

const from = (text: string) => (/^\d/.test(text) ? `from ${text}` : text);
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
  return `${plan.model.name}: ${whole(tokens)} tokens${sequences} keep ${exactBytes(least.bytes)} of ${least.form === "absorbed" ? "latents" : "keys and values"} in ${cacheType}.`;
}

/** The few numbers that people come for. */
function cards(plan: Plan): string {
  const { parameters, settings, weights } = plan;
  const least = leastCache(plan);
  const most = plan.cache.find(({ form, dtype }) => form !== least.form && dtype === settings.cacheType);
  const card = (name: string, value: string, more: string) =>
    `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd><dd class="soft">${escaped(more)}</dd></div>`;
  const weight = weights[0]!;
  const usual = weights.find(({ dtype, bytes }) => dtype === "bfloat16" && bytes === weight.bytes);
  return `<dl class="cards">${[
    card(
      "Parameters",
      compact(parameters.total),
      parameters.active < parameters.total
        ? `${compact(parameters.active)} work on a token`
        : "all work on every token",
    ),
    card(
      "Weights",
      bytes(weight.bytes),
      weight.dtype !== "file" ? weight.dtype : usual ? "bfloat16" : "as in the file",
    ),
    card(
      `Cache, ${context(settings.context)} tokens`,
      exactBytes(least.bytes),
      most ? `${least.form}; expanded ${exactBytes(most.bytes)}` : least.form,
    ),
    card(
      "A token more",
      bytes(least.bytesPerToken * settings.batch),
      `${figures(least.valuesPerTokenPerLayer)} values a layer`,
    ),
  ].join("")}</dl>`;
}

function cacheTable({ cache, settings }: Plan): string {
  const own = cache.filter(({ dtype }) => dtype === settings.cacheType).toSorted((a, b) => a.bytes - b.bytes);
  const rows = own.map(({ form, valuesPerTokenPerLayer, bytesPerToken, bytes: size }) => ({
    cells: [form, figures(valuesPerTokenPerLayer), bytes(bytesPerToken), exactBytes(size), ratio(size, own[0]!.bytes)],
  }));
  const sequences = settings.batch === 1 ? "one sequence" : `${whole(settings.batch)} sequences`;
  return grid(
    `Cache of ${sequences} of ${whole(settings.context)} tokens in ${settings.cacheType}, by what is kept`,
    ["kept as", "values / token / layer", "one token", "all tokens", "of the least"],
    rows,
  );
}

/** The same in other types. */
function typeTable({ cache, settings }: Plan): string {
  const forms = [...new Set(cache.map(({ form }) => form))];
  const types = [...new Set(cache.map(({ dtype }) => dtype))];
  const rows = types.map((type) => ({
    cells: [
      type,
      ...forms.map((form) => exactBytes(cache.find((row) => row.form === form && row.dtype === type)!.bytes)),
    ],
  }));
  return grid(`Cache of ${whole(settings.context)} tokens by type, scales not counted`, ["type", ...forms], rows);
}

const ratio = (value: number, least: number) => (least > 0 ? `× ${Number((value / least).toPrecision(3))}` : "–");

function engineTable({ engines, cache }: Plan): string {
  if (engines.length === 0) return "";
  const least = Math.min(...cache.map(({ valuesPerTokenPerLayer }) => valuesPerTokenPerLayer));
  const rows = engines.map(({ engine, version, valuesPerTokenPerLayer, bytes: size, keeps, source }) => ({
    cells: [
      stacked(engine, version),
      figures(valuesPerTokenPerLayer),
      ratio(valuesPerTokenPerLayer, least),
      bytes(size),
      stacked(keeps, source),
    ],
  }));
  return grid(
    "What engines keep",
    ["engine and version", "values / token / layer", "of the least", "bytes", "keeps; source"],
    rows,
  );
}

function machineTable({ machines, settings }: Plan): string {
  if (machines.length === 0) return "";
  const two = machines.some(({ crossover }) => crossover);
  const rows = machines.map((one) => {
    const { machine, measured, memory, fits, longestContext, prefill, decode, crossover } = one;
    const longest = longestContext.filter(({ dtype }) => dtype === settings.cacheType);
    const timed = (entry: (typeof prefill)[number] | undefined, value: string) =>
      entry ? stacked(value, `${entry.form} · ${entry.limit}`) : "–";
    return {
      cells: [
        stacked(machine, measured ? "measured" : memory === undefined ? "" : bytes(memory)),
        fits === undefined ? "–" : fits ? "yes" : "no",
        longest.map(({ form, tokens: most }) => `${tokens(most)} <span class="soft">${form}</span>`).join("<br>") ||
          "–",
        timed(prefill[0], time(prefill[0]?.seconds ?? Number.NaN)),
        timed(decode[0], `${compact(decode[0]?.tokensPerSecond ?? Number.NaN)} tok/s`),
        ...(two
          ? [
              crossover
                ? stacked(
                    `decode: ${from(crossoverText(one))}`,
                    `prefill: up to ${whole(Math.floor(crossover.prefillChunk))} new`,
                  )
                : "–",
            ]
          : []),
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
  return grid("Machines: the fastest form, and what binds it", heads, rows);
}

function layoutTable({ layouts }: Plan): string {
  if (layouts.length === 0) return "";
  const names = layouts[0]!.machines.map(({ machine }) => machine);
  const rows = layouts.map((layout) => ({
    cells: [
      escaped(layout.layout),
      bytes(layout.weightBytesPerRank),
      exactBytes(layout.cacheBytesPerRank),
      bytes(layout.duplicatedWeightBytes),
      exactBytes(layout.duplicatedCacheBytes),
      bytes(layout.communicationBytesPerStep),
      ...layout.machines.map(({ longestContext }) => tokens(longestContext)),
    ],
  }));
  const notes = layouts.flatMap(({ layout, notes }) =>
    notes.map((note) => `<li>${escaped(`${layout}: ${note}`)}</li>`),
  );
  const heads = [
    ...["layout", "weights / rank", "cache / rank", "weights held twice", "cache held twice", "sent / rank / step"],
    ...names.map((name) => `longest context, ${escaped(name)}`),
  ];
  return `${grid("Layouts over several machines: what each rank holds, what is there more than once, and the longest context", heads, rows)}<ul class="soft">${notes.join("")}</ul>`;
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
      escaped(sizesText(sizes)),
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

/** What is asked for most, as HTML: what the model is, what its cache takes, and what machines make of it. */
export function answer(plan: Plan): string {
  const { model } = plan;
  const facts = [
    model.architecture,
    `${whole(model.layers)} layers`,
    `width ${whole(model.width)}`,
    `vocabulary ${whole(model.vocabulary)}`,
    ...(model.maxContext ? [`declared for ${whole(model.maxContext)} tokens`] : []),
  ].join(" · ");
  const source = model.source ? `<br>Sizes: ${escaped(model.source)}` : "";
  return `<p class="soft">${escaped(facts)}${source}</p>${cards(plan)}${cacheTable(plan)}${machineTable(plan)}`;
}

/** The rest: engines, layouts, notes, and behind a summary what all of it follows from. */
export function details(plan: Plan): string {
  const notes = plan.notes.map((note) => `<li>${escaped(note)}</li>`).join("");
  return [
    `<div class="engines">${engineTable(plan)}</div>`,
    layoutTable(plan),
    notes === "" ? "" : `<ul class="soft">${notes}</ul>`,
    `<details><summary>Work, layers, and other types</summary>${costTable(plan)}${layerTable(plan)}<div class="grid">${typeTable(plan)}${weightTable(plan)}</div></details>`,
  ].join("");
}
