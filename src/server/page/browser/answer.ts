/** An answer as it is shown: reasoning, text, tools it asks for, a problem, and the note of its cost. */
import { drawBranches } from "./branch.ts";
import { make, makeButton, makeCopyButton } from "./element.ts";
import { Flow } from "./flow.ts";
import { drawNote } from "./note.ts";
import type { Problem } from "./problem.ts";
import type { Call, Turn } from "./tree.ts";
import type { Actions, TurnView } from "./view.ts";

/** What is happening to an answer. */
export type Phase = { readonly name: "waiting"; readonly place?: number } | { readonly name: "writing" | "done" };

/** Why an answer ended, where that has to be said. */
const endings: Readonly<Record<string, string>> = {
  stopped: "Stopped.",
  length:
    "It ended at the most tokens of an answer, or at the context's end: raise the limit in the settings, or ask to go on.",
  content_filter: "The server left out the rest.",
};

const helps: Readonly<Record<NonNullable<Problem["act"]>, string>> = {
  again: "Try again",
  key: "Enter the key",
  settings: "Settings",
  new: "New chat",
};

/** An answer as it is shown: thoughts, text, calls, problems, figures, and what can be done with it. */
export class AnswerView implements TurnView {
  readonly element: HTMLElement;
  readonly turn: Turn;
  readonly #actions: Actions;
  readonly #thoughts = make("div", { class: "thoughts" });
  readonly #summary = make("summary");
  readonly #reasoning = make("details", { class: "reasoning" }, this.#summary, this.#thoughts);
  readonly #wait = make("p", { class: "wait" });
  readonly #text = make("div", { class: "text" });
  readonly #calls = make("div", { class: "calls" });
  readonly #ending = make("p", { class: "ending" });
  readonly #problem = make("div", { class: "trouble" });
  readonly #note = make("aside", { class: "note", "aria-label": "What this answer cost" });
  readonly #branches = make("span", { class: "branches" });
  readonly #again: HTMLButtonElement;
  /** When the note was drawn last. */
  #noted = Number.NEGATIVE_INFINITY;
  readonly #copy: HTMLButtonElement;
  readonly #flow: Flow;

  constructor(turn: Turn, actions: Actions) {
    this.turn = turn;
    this.#actions = actions;
    this.#flow = new Flow(this.#text, (text) => this.element.ariaBusy === "true" && actions.say(text));
    this.#again = makeButton("Again", () => actions.again(turn), "Answer again");
    this.#copy = makeCopyButton(() => turn.text, "Copy this answer");
    const foot = make("footer", {}, this.#branches, this.#again, this.#copy);
    const parts = [this.#reasoning, this.#wait, this.#text, this.#calls, this.#ending, this.#problem];
    const body = make("div", { class: "body" }, ...parts);
    this.element = make("article", { class: "turn answer", "aria-label": "Answer" }, body, this.#note, foot);
    this.draw({ name: "done" });
  }

  /** Draws the turn as it is by now. */
  draw(phase: Phase): void {
    const { text, reasoning = "", calls = [], finish, problem } = this.turn;
    const writing = phase.name !== "done";
    this.#reasoning.hidden = reasoning === "";
    extendText(this.#thoughts, reasoning.trim());
    this.#summary.textContent = writing && text === "" && calls.length === 0 ? "Thinking…" : "Reasoning";
    this.#wait.hidden = phase.name !== "waiting";
    if (phase.name === "waiting")
      this.#wait.textContent = phase.place ? `Waiting: place ${phase.place} in the queue` : "Reading the prompt…";
    if (writing) this.#flow.grow(text);
    else this.#flow.settle(text);
    if (calls.length > 0) this.#calls.replaceChildren(...calls.map(drawCall));
    this.#ending.textContent = writing ? "" : (endings[finish ?? ""] ?? "");
    if (!writing && !problem && text === "" && calls.length === 0) this.#ending.textContent ||= "An empty answer.";
    if (!writing) this.#drawProblem(problem);
    // Last, since the blocks that stand at the end are told too.
    this.element.ariaBusy = String(writing);
    this.element.classList.toggle("writing", writing);
    this.#copy.hidden = text === "";
    // Numbers that change with every token cannot be read.
    const now = performance.now();
    if (writing && now - this.#noted < 250) return;
    this.#noted = now;
    drawNote(this.#note, this.turn.figures ?? {});
  }

  #drawProblem(problem: Problem | undefined): void {
    this.#problem.replaceChildren();
    if (!problem) return;
    const { title, detail, advice, act } = problem;
    const parts: Node[] = [make("p", { class: "title" }, `${title}. `)];
    if (detail) parts.push(make("p", { class: "detail" }, detail));
    parts.push(make("p", {}, advice));
    if (act) {
      const button = makeButton(helps[act], () => this.#actions.help(this.turn));
      button.className = "";
      parts.push(button);
    }
    this.#problem.append(...parts);
  }

  update(): void {
    drawBranches(this.#branches, this.turn, this.#actions.besides(this.turn), this.#actions.show);
    this.#again.disabled = this.#actions.busy();
  }
}

/** Text that grows keeps its node, and what of it is selected. */
function extendText(element: HTMLElement, text: string): void {
  const { firstChild } = element;
  if (firstChild instanceof Text && text.startsWith(firstChild.data))
    firstChild.appendData(text.slice(firstChild.length));
  else element.textContent = text;
}

/** A tool that is asked for, with its arguments laid out where they are JSON by now. */
function drawCall({ name, arguments: given }: Call): HTMLElement {
  let text = given;
  try {
    text = JSON.stringify(JSON.parse(given), null, 2);
  } catch {
    // Not all of it is there, or the model wrote something else: it is shown as it is.
  }
  const said = make("p", {}, "Asks for the tool ", make("code", {}, name || "without a name"));
  const pre = make("pre", { tabindex: "0", role: "region", "aria-label": `Arguments of ${name}` }, text);
  return make("section", { class: "call" }, said, pre);
}
