import { describe, expect, test } from "vitest";
import { achieved } from "../src/cost/achieve.ts";
import { betweenBytes } from "../src/cost/between.ts";
import { type Blueprint, draftOf } from "../src/cost/blueprint.ts";
import { stepBytes, stepFlops } from "../src/cost/cost.ts";
import { groupOf } from "../src/cost/group.ts";
import { allReduceSeconds, allToAllSeconds, dispatchSeconds, ringOf, sendSeconds } from "../src/cost/network.ts";
import { decodeOn, type Load, prefillOn } from "../src/cost/serve.ts";
import { parseSplit } from "../src/cost/split.ts";
import { type PlanSettings, plan } from "../src/plan/plan.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { planSchema } from "../src/plan/schema.ts";

const blueprint = (name: string) => blueprintOfConfig(presetOf(name)!.config, name);
const [r1, llama, oss] = [blueprint("deepseek-r1"), blueprint("llama-3.1-8b"), blueprint("gpt-oss-120b")];
const load: Load = { context: 4096, batch: 16, step: 1, weightType: "float8", cacheType: "bfloat16" };
const [h200, h800] = [groupOf("8xh200"), groupOf("16xh800")];

describe("what ranks send", () => {
  test("an all-reduce sends 2 n (T - 1) / T in two hops, and a share of it between nodes", () => {
    const [link, network] = [h800.link!, h800.network!];
    const inside = (2 * 1e6 * 7) / 8 / (link.bytes * achieved.network) + 2 * link.latency;
    expect(allReduceSeconds(h800, ringOf(h800, 8), 1e6)).toBeCloseTo(inside, 12);
    const between = (2 * (1e6 / 8)) / 2 / (network.bytes * achieved.network) + 2 * network.latency;
    expect(allReduceSeconds(h800, ringOf(h800, 16), 1e6)).toBeCloseTo(inside + between, 12);
    expect(allReduceSeconds(h800, ringOf(h800, 1), 1e6)).toBe(0);
  });

  test("ranks that are as far apart as a node is wide meet over the network alone", () => {
    expect(ringOf(h800, 2, 8)).toEqual({ ranks: 2, inside: 1 });
    expect(ringOf(h800, 4, 4)).toEqual({ ranks: 4, inside: 2 });
    expect(sendSeconds(h800, 8, 1e9)).toBeGreaterThan(sendSeconds(h800, 4, 1e9));
  });

  // DeepEP V1, docs/legacy.md: 128 tokens of 7168 numbers to 8 experts, 8-bit out and 16-bit back, on H800 with a port of 400 Gb/s.
  test.each([
    [32, 155, 273],
    [64, 173, 314],
    [128, 192, 369],
    [256, 194, 360],
  ])("experts over %i ranks take what DeepEP measured, within a quarter: %i and %i us", (ranks, out, back) => {
    const group = groupOf(`${ranks}xh800`);
    const take = (bytes: number) =>
      dispatchSeconds(group, ringOf(group, ranks), { tokens: 128, chosen: 8, bytes: 7168 * bytes, once: false }) * 1e6;
    expect(Math.abs(Math.log(take(1) / out))).toBeLessThan(Math.log(1.25));
    expect(Math.abs(Math.log(take(2) / back))).toBeLessThan(Math.log(1.25));
  });

  test("many tokens cross to a node once, whatever the number of their experts there", () => {
    const h100 = groupOf("16xh100");
    const ring = ringOf(h100, 16);
    const sent = { tokens: 4096, chosen: 8, bytes: 7168 };
    const once = dispatchSeconds(h100, ring, { ...sent, once: true });
    // Of two nodes nearly every token has an expert on the other one.
    const port = (4096 * 7168 * (1 - 0.5 ** 8)) / (h100.network!.bytes * achieved.network) + h100.network!.latency;
    expect(once).toBeCloseTo(port, 9);
    expect(dispatchSeconds(h100, ring, { ...sent, once: false }) / once).toBeGreaterThan(3.9);
    // Inside a node they go to each expert: slower links than an H100's are what takes longest.
    expect(dispatchSeconds(h800, ring, { ...sent, once: true })).toBeGreaterThan(1.5 * once);
    expect(allToAllSeconds(h800, ringOf(h800, 1), 1e9)).toBe(0);
  });
});

describe("one device", () => {
  test("takes what its bytes and its arithmetic take at the shares that kernels achieve", () => {
    const alone = groupOf("h200");
    const decode = decodeOn(llama, alone, parseSplit("tp1"), { ...load, batch: 1 });
    const way = { cached: "expanded", form: "expanded" } as const;
    const moved = stepBytes(llama, way, { t: 1, s: 4097 }, load);
    const reading = (moved.weights + moved.read) / (4800e9 * achieved.memory);
    expect(decode).toMatchObject({ sending: 0, bound: "memory" });
    // Beside reading there is starting: about 20 kernels in each of 32 layers.
    expect(decode.seconds - reading).toBeGreaterThan(32 * 15 * achieved.op);
    expect(decode.seconds - reading).toBeLessThan(32 * 30 * achieved.op);
    const prefill = prefillOn(llama, alone, parseSplit("tp1"), { ...load, cacheType: "float8", batch: 4 });
    const computing = stepFlops(llama, way, { t: 4096, s: 4096, batch: 4, logits: 1 }) / (1978.9e12 * achieved.compute);
    // What kernels between contractions move goes on by itself.
    const between = betweenBytes(llama, 4 * 4096, 2) / (4800e9 * achieved.memory);
    expect((prefill.seconds - between) / computing).toBeGreaterThan(1);
    expect((prefill.seconds - between) / computing).toBeLessThan(1.05);
    expect(prefill.bound).toBe("compute");
  });
});

describe("layouts", () => {
  const decode = (b: Blueprint, split: string, more: Partial<Load> = {}, group = h200) =>
    decodeOn(b, group, parseSplit(split), { ...load, ...more });

  test("tensor ranks read their share and add up twice per layer", () => {
    const [one, eight] = [decode(llama, "tp1", {}, groupOf("h200")), decode(llama, "tp8")];
    const rows = allReduceSeconds(h200, ringOf(h200, 8), 16 * 4096 * 2);
    const gathered = allToAllSeconds(h200, ringOf(h200, 8), 16 * 128_256 * 2);
    expect(eight.sending).toBeCloseTo(65 * rows + gathered, 9);
    const work = ({ seconds, sending }: typeof one) => seconds - sending - 33 * 20 * achieved.op;
    expect(work(one) / work(eight)).toBeGreaterThan(6.5);
    expect(work(one) / work(eight)).toBeLessThan(8.5);
  });

  test("sequences split over ranks take as long as the largest share of them", () => {
    const half = decode(llama, "dp8", { batch: 9 });
    expect(half.sending).toBe(0);
    expect(half.seconds).toBeCloseTo(decode(llama, "dp8", { batch: 16 }).seconds, 12);
    expect(half.seconds).toBeCloseTo(decode(llama, "tp1", { batch: 2 }, groupOf("h200")).seconds, 12);
  });

  test("experts over all ranks are read once by the tokens of all, and tokens are sent to them", () => {
    const [apart, together] = [decode(oss, "dp8+ep1"), decode(oss, "dp8")];
    expect(apart.sending).toBe(0);
    expect(together.sending).toBeGreaterThan(0);
    // Two sequences on each rank visit 8 of 128 experts of their own; of all sixteen a rank reads an eighth of what they visit.
    expect(together.seconds - together.sending).toBeLessThan(apart.seconds);
    const idle = decode(oss, "dp8", { batch: 1 });
    expect(idle.seconds).toBeLessThan(together.seconds);
  });

  test("a pipeline takes a sequence no faster than one device, and as many at a time as it has stages", () => {
    const b = { ...llama, layers: llama.layers.map((kind) => ({ ...kind, count: 32 })) };
    const [one, two] = [1, 4].map((batch) => decode(b, "pp4", { batch }, groupOf("4xh200")));
    const single = decode(b, "tp1", { batch: 1 }, groupOf("h200"));
    expect(one!.seconds - one!.sending).toBeCloseTo(single.seconds, 9);
    expect(two!.seconds).toBeCloseTo(one!.seconds, 9);
    expect(one!.sending).toBeCloseTo(4 * sendSeconds(groupOf("4xh200"), 1, 4096 * 2), 12);
  });

  test("a pipeline reads in pieces: with one piece all stages but one wait, with many hardly any does", () => {
    const read = (split: string, context: number, batch: number, name: string) =>
      prefillOn(llama, groupOf(name), parseSplit(split), { ...load, context, batch });
    const alone = read("tp1", 8192, 1, "h200");
    const single = read("pp4", 8192, 1, "4xh200");
    expect((single.seconds - single.sending) / alone.seconds).toBeCloseTo(1, 9);
    const many = read("pp4", 8192, 64, "4xh200");
    const allAlone = read("tp1", 8192, 64, "h200");
    expect((many.seconds - many.sending) / allAlone.seconds).toBeCloseTo((64 + 3) / (4 * 64), 9);
  });

  test("positions split over ranks shorten what attention reads, not what weights take", () => {
    const long = { context: 131_072, batch: 8 };
    const [alone, split] = [decode(llama, "tp1", long, groupOf("h200")), decode(llama, "cp8", long)];
    const weights = decode(llama, "tp1", { context: 1, batch: 8 }, groupOf("h200")).seconds;
    expect((split.seconds - split.sending - weights) / (alone.seconds - weights)).toBeCloseTo(1 / 8, 2);
    const read = (name: string, at: string) =>
      prefillOn(llama, groupOf(name), parseSplit(at), { ...load, context: 65_536, batch: 1 });
    const [whole, shared] = [read("h200", "tp1"), read("8xh200", "cp8")];
    expect((shared.seconds - shared.sending) / whole.seconds).toBeCloseTo(1 / 8, 2);
  });
});

describe("plans of groups", () => {
  const settings: PlanSettings = { ...load, hosts: [], layouts: [] };
  const planned = (b: Blueprint, name: string, more: Partial<PlanSettings> = {}) => {
    const made = plan(b, { ...settings, ...more, groups: [groupOf(name)] });
    expect(planSchema.parse(JSON.parse(JSON.stringify(made)))).toEqual(made);
    return made.groups[0]!;
  };

  test.each([
    ["deepseek-r1", "8xh200"],
    ["deepseek-r1", "16xh800"],
    ["llama-3.1-8b", "2xrtx-5090"],
    ["gpt-oss-120b", "4xmi355x"],
    ["kimi-linear-48b-a3b", "8xh100"],
  ])("%s on %s: what is said to fit fits, and no more", (model, name) => {
    const b = blueprint(model);
    const { layouts, best } = planned(b, name);
    let checked = 0;
    for (const { layout, longestContext, mostSequences, fits, decode } of layouts) {
      expect(fits).toBe(decode !== undefined);
      const at = (more: Partial<PlanSettings>) =>
        planned(b, name, more).layouts.find((one) => one.layout === layout)!.fits;
      if (!fits || longestContext === null) continue;
      checked++;
      expect([at({ context: longestContext }), at({ context: longestContext + 1 })]).toEqual([true, false]);
      expect([at({ batch: mostSequences }), at({ batch: mostSequences + 1 })]).toEqual([true, false]);
    }
    expect(checked).toBeGreaterThan(1);
    const fitting = layouts.filter(({ fits }) => fits);
    const of = (by: string) => fitting.find(({ layout }) => layout === best.find((one) => one.by === by)!.layout)!;
    expect(of("latency").decode!.seconds).toBe(Math.min(...fitting.map((one) => one.decode!.seconds)));
    expect(of("throughput").full!.tokensPerSecond).toBe(Math.max(...fitting.map((one) => one.full!.tokensPerSecond)));
    expect(of("prefill").prefill!.tokensPerSecond).toBe(
      Math.max(...fitting.map((one) => one.prefill!.tokensPerSecond)),
    );
  });

  test("MLA on eight devices: latents on every tensor rank leave room for fewest, split sequences write most", () => {
    const { layouts, best } = planned(r1, "8xh200", { context: 8192, batch: 64 });
    const most = (name: string) => layouts.find(({ layout }) => layout === name)!.mostSequences;
    expect(most("dp8") / most("tp8")).toBeGreaterThan(5);
    expect(best.find(({ by }) => by === "throughput")).toMatchObject({ layout: "dp8" });
    expect(best.find(({ by }) => by === "throughput")!.why).toContain("sequences are split 8 ways");
  });

  test("tokens that count are those accepted, and draft layers take time and memory", () => {
    const { config, name } = presetOf("deepseek-r1")!;
    const proposing = blueprintOfConfig({ ...config, num_nextn_predict_layers: 1 }, name);
    expect(draftOf(proposing)).toBeDefined();
    const at = (more: Partial<PlanSettings>) =>
      planned(proposing, "8xh200", more).layouts.find(({ layout }) => layout === "dp8")!;
    const [one, four] = [at({}), at({ step: 4, accepted: 2.44 })];
    expect(four.decode!.tokensPerSecond).toBeCloseTo((16 * 2.44) / four.decode!.seconds, 6);
    expect(four.weightBytesPerRank).toBeGreaterThan(one.weightBytesPerRank);
    const without = planned({ ...r1, draft: undefined }, "8xh200", { step: 4 }).layouts.find(
      (x) => x.layout === "dp8",
    )!;
    expect(four.decode!.seconds).toBeGreaterThan(without.decode!.seconds);
    expect(without.decode!.tokensPerSecond).toBeCloseTo((16 * 4) / without.decode!.seconds, 6);
  });

  test.each([0, 0.5, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("%d of one proposed token is refused", (accepted) => {
    expect(() => plan(r1, { ...settings, accepted })).toThrow("plan: accepted got");
  });
});
