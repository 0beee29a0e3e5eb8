/** A plan as the page shows it below its first answer: the tables that its report has, one part for a question. */
import {
  cacheGrid,
  enginesGrid,
  escapeHtml,
  groupAnswers,
  groupsGrid,
  layoutsGrid,
  machinesGrid,
  offloadsGrid,
  type Plan,
  whole,
  workGrids,
} from "biform/web";
import { headline } from "./first.ts";
import { type Planned, withGroups } from "./planned.ts";

/** What the model is, and what its cache takes in each form and type. */
export function memoryAnswer(plan: Plan): string {
  const { model } = plan;
  const facts = [
    model.architecture,
    `${whole(model.layers)} layers`,
    `width ${whole(model.width)}`,
    `vocabulary ${whole(model.vocabulary)}`,
    ...(model.maxContext ? [`declared for ${whole(model.maxContext)} tokens`] : []),
  ].join(" · ");
  return `<p class="soft">${escapeHtml(facts)}</p>${cacheGrid(plan)}`;
}

/** Every sensible layout of the groups that are asked for, with the best in words; nothing where there are none. */
export function groupAnswer(planned: Planned): string {
  if (planned.groups.length === 0) return "";
  return groupParts(withGroups(planned));
}

function groupParts(plan: Plan): string {
  const items = groupAnswers(plan).map((answer) => `<li>${escapeHtml(answer)}</li>`);
  const best = items.length === 0 ? "" : `<ul class="best">${items.join("")}</ul>${groupsGrid(plan)}`;
  return best + offloadsGrid(plan);
}

/** What a reader must know of a plan. */
export function notesList({ notes }: Plan): string {
  if (notes.length === 0) return "";
  return `<ul class="soft">${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;
}

/** All of a plan that was opened as a file, one part below the other. */
export function planParts(plan: Plan): string {
  const grids = [groupParts, machinesGrid, enginesGrid, layoutsGrid, workGrids, notesList]
    .map((make) => make(plan))
    .join("");
  return `<h3>${escapeHtml(headline(plan))}</h3>${memoryAnswer(plan)}${grids}`;
}
