import { expect, test } from "vitest";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { select } from "../../src/ops/select/index.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { leanChoices } from "./leaning.ts";

/** The key that the last of three queries chooses by these scores, on a device whose choices lean. */
async function chosenBy(scores: readonly number[], way?: 1 | -1): Promise<number> {
  const device = new ReferenceDevice();
  if (way) leanChoices(device, way);
  const [q, weights] = [tensor(device, [3, 1, 1], [1, 1, 1]), tensor(device, [3, 1], [1, 1, 1])];
  const { rows } = select({ q, k: tensor(device, [3, 1], scores), weights }, { scale: 1, count: 1 });
  return (await rows.read())[2]!;
}

test("choices lean where float32 cannot tell scores apart, and nowhere else", async () => {
  const tied = [0.25, 1, 1 + 1.7e-7];
  expect(await chosenBy(tied)).toBe(2);
  expect(await chosenBy(tied, 1)).toBe(2);
  expect(await chosenBy(tied, -1)).toBe(1);
  const other = [0.25, 1 + 1.7e-7, 1];
  expect([await chosenBy(other), await chosenBy(other, 1), await chosenBy(other, -1)]).toEqual([1, 2, 1]);
  const clear = [1, 1.001, 0.25];
  expect([await chosenBy(clear), await chosenBy(clear, 1), await chosenBy(clear, -1)]).toEqual([1, 1, 1]);
});
