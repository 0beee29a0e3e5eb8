import { describe, expect, test } from "vitest";
import { FormatError } from "../src/tensor/error.ts";
import { Ledger } from "../src/verify/golden/ledger.ts";

describe("a ledger", () => {
  test("keeps the comparison that is worst in its own tolerances, not the largest error", () => {
    const ledger = new Ledger();
    ledger.add("loose", "here", [1, 2], [1, 2.5], 1);
    ledger.add("tight", "there", [1, 2], [1, 2.25], 0.125);
    expect(ledger.worst).toEqual({ subject: "tight (there)", error: 0.25, tolerance: 0.125 });
    expect(ledger.passed).toBe(false);
    expect(ledger.reason).toBe("tight (there): largest error 0.250, tolerance 0.125");
  });

  test("fails on a number that is none, on other ids, and where nothing was compared", () => {
    const none = new Ledger();
    expect(none.passed).toBe(false);
    const nan = new Ledger();
    nan.add("x", "here", [Number.NaN], [1], 1);
    expect(nan.reason).toBe("x (here): got NaN, expected 1");
    const ids = new Ledger();
    ids.add("x", "here", [1], [1], 1);
    ids.same("ids", "here", [1, 2], [1, 3]);
    expect(ids.reason).toBe("ids (here): got 1 2, expected exactly 1 3");
    expect(() => ids.add("x", "here", [1], [1, 2], 1)).toThrow(FormatError);
  });
});
