/** What a report on plans says, as HTML: answers first, then pictures, then every number. Made in a browser or on a server. */

import type { Blueprint } from "../../cost/blueprint.ts";
import type { Host } from "../../cost/host.ts";
import { escapeHtml, facts, figure, grid, section, stackLines } from "../../draw/html.ts";
import { bytes, compact, context, exactBytes, time, whole } from "../../draw/quantity.ts";
import { decodeCurves, memoryCurves, prefillCurves, roofsOf } from "../curve.ts";
import type { PlanSettings } from "../plan.ts";
import type { Plan } from "../schema.ts";
import { answers, cacheAnswer } from "./answer.ts";
import { enginesGrid } from "./engine.ts";
import { groupsGrid, layoutsGrid, offloadsGrid } from "./group.ts";
import { workGrids } from "./layer.ts";
import { decodePicture, memoryPicture, prefillPicture } from "./picture.ts";
import { rooflinePicture } from "./roofline.ts";
import { cachedForms, crossoverText, distinct, parametersText, settingsText, times, tokens } from "./table.ts";

/** A model with what was planned for it. */
export interface Planned {
  readonly blueprint: Blueprint;
  readonly settings: PlanSettings;
  readonly plan: Plan;
}

/** The report's name, for its title. */
export function planHeading(planned: readonly Planned[]): string {
  return `Planned: ${planned.map(({ plan }) => plan.model.name).join(", ")}`;
}

/** The body of a report; pictures are drawn into elements of `document`. */
export function planChapters(planned: readonly Planned[], document: Document, command?: string): string {
  const [{ plan: first }, ...others] = planned as [Planned, ...Planned[]];
  const single = others.length === 0;
  const plans = planned.map(({ plan }) => plan);
  const list = (items: readonly string[]) => `<ul>${items.map((item) => `<li>${escapeHtml(item)}</li>`).join("")}</ul>`;
  const notes = [...new Set(plans.flatMap(({ notes }) => notes))];
  return [
    `<header><h1>${escapeHtml(planHeading(planned))}</h1><p class="soft">${escapeHtml(settingsText(first))}</p></header>`,
    `<section class="verdict" aria-label="Answers">${list(single ? answers(plans[0]!) : plans.map((plan) => `${plan.model.name}: ${cacheAnswer(plan)}`))}</section>`,
    single ? "" : section("Side by side", comparison(plans)),
    section("Pictures", pictures(planned, document)),
    ...plans.map((plan) => section(single ? "The numbers" : plan.model.name, numbers(plan))),
    section("What to know", notes.length ? list(notes) : ""),
    section("How this was made", made(plans, command)),
  ].join("\n");
}

function comparison(plans: readonly Plan[]): string {
  const machine = plans[0]!.machines[0]?.machine ?? "";
  const rows = plans.map((plan) => {
    const sorted = plan.cache
      .filter(({ dtype }) => dtype === plan.settings.cacheType)
      .toSorted((a, b) => a.bytes - b.bytes);
    const [least, most] = [sorted[0]!, sorted.at(-1)!];
    const on = plan.machines.find((entry) => entry.machine === machine);
    const [prefill, decode] = [on?.prefill[0], on?.decode[0]];
    return {
      cells: [
        escapeHtml(plan.model.name),
        stackLines(parametersText(plan.parameters.total), `${parametersText(plan.parameters.active)} active`),
        stackLines(String(Number(least.valuesPerTokenPerLayer.toPrecision(6))), `${bytes(least.bytesPerToken)}/token`),
        stackLines(exactBytes(least.bytes), least.form),
        stackLines(exactBytes(most.bytes), `x ${times(most.bytes, least.bytes)}`),
        tokens(on?.longestContext.find(({ form, dtype }) => form === least.form && dtype === least.dtype)?.tokens),
        prefill ? stackLines(time(prefill.seconds), prefill.limit) : "–",
        decode ? stackLines(compact(decode.tokensPerSecond), decode.limit) : "–",
      ],
    };
  });
  const heads = [
    "model",
    "parameters",
    "cache values<br>/token/layer",
    "cache,<br>smallest",
    "cache,<br>largest",
    "most tokens",
    "prefill",
    "decode<br>tok/s",
  ];
  return grid(`Models side by side; the last three on ${machine}`, heads, rows);
}

/** The machine whose times are drawn: the first. */
function pictures(planned: readonly Planned[], document: Document): string {
  const { settings } = planned[0]!;
  const host: Host | undefined = settings.hosts[0];
  const drawn = [
    figure(
      document,
      "Cache against context",
      "All sequences together. Dotted: what a machine has left beside the weights. Dashed: keys and values per head instead of latents.",
      (canvas) =>
        memoryPicture(
          planned.map((one) => memoryCurves(one.blueprint, one.settings)),
          canvas,
        ),
    ),
    ...(host
      ? [
          figure(
            document,
            `A decoding step on ${host.name}`,
            "Predicted. Solid over latents, dashed over keys and values; the ring marks where they change places.",
            (canvas) =>
              decodePicture(
                planned.map((one) => decodeCurves(one.blueprint, one.settings, host)),
                host.name,
                canvas,
              ),
          ),
          figure(
            document,
            `A step of many new tokens on ${host.name}`,
            `Predicted, at ${context(settings.context)} tokens in all. Solid absorbed, dashed expanded: up to the ring a chunk of a prefill is faster absorbed.`,
            (canvas) =>
              prefillPicture(
                planned.map((one) => prefillCurves(one.blueprint, one.settings, host)),
                { machine: host.name, tokens: settings.context },
                canvas,
              ),
          ),
          figure(
            document,
            `Roofline of ${planned[0]!.plan.model.name}`,
            "Squares: prefill. Circles: decode. Under its machine's line by as much as parts of the work are bound differently.",
            (canvas) => rooflinePicture(roofsOf(planned[0]!.blueprint, settings), canvas),
          ),
        ]
      : []),
  ];
  return `<div class="grid">${drawn.join("")}</div>`;
}

function numbers(plan: Plan): string {
  return [
    cacheGrid(plan),
    enginesGrid(plan),
    machinesGrid(plan),
    groupsGrid(plan),
    offloadsGrid(plan),
    layoutsGrid(plan),
    workGrids(plan),
  ].join("");
}

/** The cache in each form and type. */
export function cacheGrid(plan: Plan): string {
  const { cache, settings, parameters, weights, model } = plan;
  const types = distinct(cache.filter(({ form }) => form === cachedForms(plan)[0])).map(({ dtype }) => dtype);
  const rows = cachedForms(plan).map((form) => {
    const own = cache.filter((entry) => entry.form === form);
    return {
      cells: [
        escapeHtml(form),
        String(Number(own[0]!.valuesPerTokenPerLayer.toPrecision(8))),
        ...types.map((type) => {
          const entry = own.find(({ dtype }) => dtype === type)!;
          return stackLines(exactBytes(entry.bytes), `${bytes(entry.bytesPerToken)}/token`);
        }),
      ],
    };
  });
  const sequences = settings.batch === 1 ? "one sequence" : `${settings.batch} sequences`;
  const what = `Cache of ${context(settings.context)} tokens in ${sequences}`;
  const named = `<p>${whole(parameters.total)} parameters, ${whole(parameters.active)} of them at work on a token; weights: ${weights.map(({ dtype, bytes: size }) => escapeHtml(`${dtype} ${bytes(size)}`)).join(", ")}.${model.source ? ` Sizes: ${escapeHtml(model.source)}.` : ""}</p>`;
  return named + grid(what, ["kept", "values<br>/token/layer", ...types], rows);
}

/** What fits, and how fast, on each machine; nothing where there is none. */
export function machinesGrid(plan: Plan): string {
  const { machines, settings } = plan;
  if (machines.length === 0) return "";
  const forms = cachedForms(plan);
  const at = context(settings.context);
  const rows = machines.map((machine) => {
    const { memory, fits, longestContext, prefill, decode, measured, crossover } = machine;
    const longest = (form: string) =>
      longestContext.find((entry) => entry.form === form && entry.dtype === settings.cacheType)?.tokens;
    return {
      cells: [
        stackLines(machine.machine, measured ? "measured" : ""),
        memory === undefined ? "–" : stackLines(bytes(memory), fits ? "" : "too small"),
        ...forms.map((form) => tokens(longest(form))),
        prefill[0] ? stackLines(time(prefill[0].seconds), `${prefill[0].limit}, ${prefill[0].form}`) : "–",
        ...forms.map((form) => {
          const own = decode.find((entry) => entry.cached === form);
          return own ? stackLines(compact(own.tokensPerSecond), `${own.limit}, ${own.form}`) : "–";
        }),
        ...(forms.length > 1
          ? [crossoverText(machine), crossover ? `${Math.floor(crossover.prefillChunk)} new` : "–"]
          : []),
      ],
    };
  });
  const heads = [
    "machine",
    "memory",
    ...forms.map((form) => `most tokens,<br>${form}`),
    `prefill<br>of ${at}`,
    ...forms.map((form) => `decode tok/s,<br>${form}`),
    ...(forms.length > 1 ? ["latents<br>win from", "absorbed<br>chunks up to"] : []),
  ];
  return grid("What fits, and how fast, on each machine", heads, rows);
}

function made(plans: readonly Plan[], command?: string): string {
  const [first] = plans;
  const sources = Object.fromEntries(plans.map(({ model }) => [model.name, model.source ?? model.architecture]));
  const said = command === undefined ? "" : `<pre>${escapeHtml(command)}</pre>`;
  return `${said}<details><summary>Settings and sources</summary><div class="grid">${facts("Settings", first!.settings)}${facts("Where sizes are from", sources)}</div></details>`;
}
