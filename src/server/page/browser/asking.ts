/** One answer on its way: what arrives goes into its turn, and is drawn at the pace that drawing can keep. */

import type { Phase } from "./answer.ts";
import { askChat, type Piece } from "./client.ts";
import { type Figures, Pace } from "./figures.ts";
import { tellProblem } from "./problem.ts";
import { type Call, type Conversation, leadTo, type Turn } from "./tree.ts";

/** What an answer on its way tells the page. */
export interface Watcher {
  /** The turn has changed; called in an animation frame. */
  draw(phase: Phase): void;
  /** Nothing more comes. */
  end(): void;
}

/** One answer on its way: asks the server, and puts what comes into its turn, a frame at a time. */
export class Asking {
  readonly conversation: Conversation;
  readonly turn: Turn;
  readonly #watcher: Watcher;
  readonly #stop = new AbortController();
  readonly #pace = new Pace();
  /** Calls by the numbers that the server gives them. */
  readonly #calls = new Map<number, Call>();
  #phase: Phase = { name: "waiting" };
  #frame = 0;
  /** No frame is drawn before this time. */
  #next = 0;

  /** Begins to ask for the text of `turn`, the last of its conversation's path. */
  constructor(conversation: Conversation, turn: Turn, model: string, watcher: Watcher) {
    this.conversation = conversation;
    this.turn = turn;
    this.#watcher = watcher;
    turn.model = model;
    void this.#run(model);
  }

  /** What is happening to the turn. */
  get phase(): Phase {
    return this.#phase;
  }

  /** Ends it where it is. */
  stop(): void {
    this.#stop.abort();
  }

  async #run(model: string): Promise<void> {
    const { conversation, turn } = this;
    const { signal } = this.#stop;
    const before = leadTo(conversation, turn).slice(0, -1);
    try {
      for await (const piece of askChat(model, before, conversation.settings, signal)) {
        this.#take(piece);
        this.#ask();
      }
    } catch (error) {
      if (signal.aborted) turn.finish = "stopped";
      else turn.problem = tellProblem(error);
    }
    cancelAnimationFrame(this.#frame);
    this.#phase = { name: "done" };
    conversation.changed = Date.now();
    this.#watcher.draw(this.#phase);
    this.#watcher.end();
  }

  /** Puts a piece into the turn. */
  #take(piece: Piece): void {
    const { turn } = this;
    if (piece.kind === "queued") this.#phase = { name: "waiting", place: piece.place };
    else if (piece.kind === "finish") turn.finish = piece.reason;
    else if (piece.kind === "figures") turn.figures = { ...turn.figures, ...piece.figures };
    else {
      if (piece.kind === "text") turn.text += piece.text;
      else if (piece.kind === "reasoning") turn.reasoning = (turn.reasoning ?? "") + piece.text;
      else if (piece.kind === "call") this.#takeCall(piece);
      this.#pace.note();
      this.#phase = { name: "writing" };
      turn.figures = { ...turn.figures, ...this.#seen() };
    }
  }

  #takeCall({ index, id, name, text }: Extract<Piece, { kind: "call" }>): void {
    const call = this.#calls.get(index) ?? { id, name: "", arguments: "" };
    call.name += name;
    call.arguments += text;
    this.#calls.set(index, call);
    this.turn.calls = [...this.#calls.values()];
  }

  /** Figures as they look from here. */
  #seen(): Figures {
    const { first, rate, spans, count } = this.#pace;
    const told = { first, rate, written: count || undefined, pace: spans.length > 0 ? spans : undefined };
    return Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));
  }

  /** Draws soon: once per frame, and, where drawing is slow, so seldom that a quarter of the time goes into it. */
  #ask(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame((now) => {
      this.#frame = 0;
      if (now < this.#next) return this.#ask();
      const start = performance.now();
      this.#watcher.draw(this.#phase);
      this.#next = now + 3 * (performance.now() - start);
    });
  }
}
