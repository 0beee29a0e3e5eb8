import type { Constraint } from "../batch/request.ts";

/** A constraint on calls alone: all may follow until the token that begins a run of them, which is the first of its own. */
export function whenCalled(constraint: Constraint, begin: number): Constraint {
  let called = false;
  return {
    mask(logits) {
      if (called) constraint.mask(logits);
    },
    accept(id) {
      called ||= id === begin;
      if (called) constraint.accept(id);
    },
    get done() {
      return called && (constraint.done ?? false);
    },
    get ready() {
      return !called || (constraint.ready ?? true);
    },
    get endless() {
      return called && (constraint.endless ?? false);
    },
    free: () => constraint.free(),
  };
}
