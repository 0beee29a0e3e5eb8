import { copyingSource } from "./copying.ts";
import { recallSource } from "./recall.ts";
import type { Source } from "./source.ts";
import { storySource } from "./story.ts";

/** What is made from a seed and read from no file. */
export type Task =
  | { readonly kind: "story"; readonly seed: number }
  | ({ readonly kind: "recall"; readonly pairs: number; readonly queries?: number | undefined } & Symbols)
  | ({ readonly kind: "copying"; readonly items: number } & Symbols);

interface Symbols {
  readonly seed: number;
  /** Token ids in all. */
  readonly vocabulary?: number | undefined;
}

/** The source of a task. Throws ShapeError for sizes that do not fit. */
export function openTask(task: Task): Source {
  switch (task.kind) {
    case "story":
      return storySource(task.seed);
    case "recall":
      return recallSource(task.seed, task);
    case "copying":
      return copyingSource(task.seed, task);
  }
}
