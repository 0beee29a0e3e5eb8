import { test } from "vitest";
import { cacheValues, type Variant } from "../../src/attention/define.ts";
import { Cache, declaredBytes } from "../../src/attention/layer.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { declaredIsCounted, declaredIsHeld } from "./account.ts";
import { causal } from "./causality.ts";
import { holds } from "./check.ts";
import { continues } from "./continuation.ts";
import { formsAgree } from "./forms.ts";
import { type Case, cases } from "./geometry.ts";
import { linear } from "./linear.ts";
import { subjectOf } from "./subject.ts";

// The second kind of cache, a state of fixed size, is provided for: a variant that has one obeys the laws.
const device = new ReferenceDevice();
/** A state has no window. */
const drawn = (most?: number) => cases(linear, most).map((c): Case => ({ ...c, window: 0 }));

test("a variant with a state has forms that are the same function", () =>
  holds(drawn(), (c) => formsAgree(linear, c, device)));

test("a state continues a prefill, for every split and in every form", () =>
  holds(drawn(), (c) => continues(linear, c, device)));

test("a later token never changes an earlier output of a variant with a state", () =>
  // Its parallel form multiplies what it may not see by zero, which keeps numbers out but not NaN.
  holds(drawn(4), (c) => causal(only("recurrent"), c, device)));

test("a declared state is the memory taken, and does not grow with the sequence", async () => {
  await holds(drawn(), (c) => declaredIsHeld(linear, c, device));
  await holds(drawn(), (c) => {
    const { attention } = subjectOf(linear, c);
    const [short, long] = [new Cache(device, attention, 1), new Cache(device, attention, 1000)];
    const same = short.bytes === long.bytes && short.bytes === declaredBytes(attention, 0, 8) && short.bytes > 0;
    return same && cacheValues(linear, c.sizes) === 0
      ? undefined
      : `a state took ${short.bytes} bytes for 1 token and ${long.bytes} for 1000`;
  });
});

test("the declared FLOPs of a recurrence are those counted while running", () =>
  holds(drawn(), (c) => declaredIsCounted(only("recurrent"), c, device)));

/** The variant with one of its forms alone. */
function only(form: string): Variant {
  return { ...linear, forms: { [form]: linear.forms[form]! } };
}
