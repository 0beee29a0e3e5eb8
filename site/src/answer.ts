/** A plan as the page shows it: a sentence and the few numbers that people come for, then the tables that its report has. */
import {
  bytes,
  cacheGrid,
  context,
  enginesGrid,
  escapeHtml,
  exactBytes,
  layoutsGrid,
  machinesGrid,
  type Plan,
  parametersText,
  whole,
  workGrids,
} from "biform/web";

/** The cache in the form that takes the least, at the type that was asked for. */
export function leastCache({ cache, settings }: Plan): Plan["cache"][number] {
  const asked = cache.filter(({ dtype }) => dtype === settings.cacheType);
  return asked.reduce((least, row) => (row.bytes < least.bytes ? row : least));
}

/** One sentence, also for those who hear the page. */
export function headline(plan: Plan): string {
  const least = leastCache(plan);
  const { context: tokens, batch, cacheType } = plan.settings;
  const sequences = batch === 1 ? "" : ` in each of ${whole(batch)} sequences`;
  const kept = least.form === "absorbed" ? "latents" : "keys and values";
  return `${plan.model.name}: ${whole(tokens)} tokens${sequences} keep ${exactBytes(least.bytes)} of ${kept} in ${cacheType}.`;
}

function cards(plan: Plan): string {
  const { parameters, settings, weights } = plan;
  const least = leastCache(plan);
  const other = plan.cache.find(({ form, dtype }) => form !== least.form && dtype === settings.cacheType);
  const card = (name: string, value: string, more: string) =>
    `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd><dd class="soft">${escapeHtml(more)}</dd></div>`;
  const weight = weights[0]!;
  const usual = weights.find(({ dtype, bytes }) => dtype === "bfloat16" && bytes === weight.bytes);
  const used = parameters.active < parameters.total;
  const values = String(Number(least.valuesPerTokenPerLayer.toPrecision(6)));
  return `<dl class="cards">${[
    card(
      "Parameters",
      parametersText(parameters.total),
      used ? `${parametersText(parameters.active)} work on a token` : "all work on every token",
    ),
    card("Weights", bytes(weight.bytes), weight.dtype !== "file" ? weight.dtype : usual ? "bfloat16" : "as shipped"),
    card(
      `Cache, ${context(settings.context)} tokens`,
      exactBytes(least.bytes),
      other ? `${least.form}; ${other.form} ${exactBytes(other.bytes)}` : least.form,
    ),
    card("One token more", bytes(least.bytesPerToken), `${values} values a layer`),
  ].join("")}</dl>`;
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
  return `<p class="soft">${escapeHtml(facts)}</p>${cards(plan)}${cacheGrid(plan)}${machinesGrid(plan)}`;
}

/** The rest: engines, layouts, notes, and behind a summary what all of it follows from. */
export function details(plan: Plan): string {
  const notes = plan.notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("");
  const told = notes === "" ? "" : `<ul class="soft">${notes}</ul>`;
  return `${enginesGrid(plan)}${layoutsGrid(plan)}${told}${workGrids(plan)}`;
}
