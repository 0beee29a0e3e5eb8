/** The turns of a conversation as they stand under each other; those that stay keep their elements. */
import { AnswerView } from "./answer.ts";
import { QuestionView } from "./question.ts";
import { type Conversation, pathOf, type Turn } from "./tree.ts";

/** What a turn lets one do. */
export interface Actions {
  /** Whether an answer of this conversation is being written. */
  busy(): boolean;
  /** The turns in a turn's place, itself among them. */
  besides(turn: Turn): readonly Turn[];
  /** Shows the branch that a turn is on. */
  show(turn: Turn): void;
  /** Asks another text in a question's place. */
  revise(turn: Turn, text: string): void;
  /** Asks once more for an answer, in another one's place. */
  again(turn: Turn): void;
  /** What the button beside a problem does. */
  help(turn: Turn): void;
  /** Tells those who do not see the page. */
  say(text: string): void;
}

/** A turn on the page. `update` draws what may have changed around it. */
export interface TurnView {
  readonly element: HTMLElement;
  readonly turn: Turn;
  update(): void;
}

/** The views of a conversation's path under one element. */
export class PathView {
  readonly #root: HTMLElement;
  readonly #actions: Actions;
  #views: TurnView[] = [];

  constructor(root: HTMLElement, actions: Actions) {
    this.#root = root;
    this.#actions = actions;
  }

  /** Shows the path that is chosen. */
  show(conversation: Conversation): void {
    const before = new Map(this.#views.map((view) => [view.turn, view]));
    this.#views = pathOf(conversation).map(
      (turn) =>
        before.get(turn) ??
        (turn.role === "user" ? new QuestionView(turn, this.#actions) : new AnswerView(turn, this.#actions)),
    );
    const elements = this.#views.map(({ element }) => element);
    for (const element of [...this.#root.children]) if (!elements.includes(element as HTMLElement)) element.remove();
    for (const [at, element] of elements.entries())
      if (this.#root.children[at] !== element) this.#root.insertBefore(element, this.#root.children[at] ?? null);
    for (const view of this.#views) view.update();
  }

  /** The view of a turn, where it is shown. */
  find(turn: Turn): TurnView | undefined {
    return this.#views.find((view) => view.turn === turn);
  }

  /** The last question that is shown. */
  get lastQuestion(): QuestionView | undefined {
    return this.#views.findLast((view) => view instanceof QuestionView);
  }
}
