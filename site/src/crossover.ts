/// <reference types="vite/client" />
/** The crossover explorer: sizes, a machine and a step; the times of either form, where they cross, and the equations. */
import { bytes, compact, type Dtype, dtypes, machines, whole } from "biform/web";
import "./crossover.css";
import { decodeText, decodingPicture, prefillingPicture, prefillText } from "./crossing.ts";
import {
  type Exploration,
  explore,
  type Found,
  fits,
  isPreset,
  models,
  presetSizes,
  ranges,
  readExploration,
  writeExploration,
} from "./explore.ts";

/** What mounting wants to know of the page's state, and tells it. */
export interface CrossoverOptions {
  /** As `changed` gave it; anything else is read as far as it can be. */
  readonly state?: Readonly<Record<string, string>>;
  /** Called with the state after a reader's change; `passing` while a slider moves. */
  changed?(state: Record<string, string>, how: { readonly passing: boolean }): void;
}

const steps = { h: 1, n: 16, r: 2, v: 16, c: 32 } as const;
type Slider = keyof typeof steps;
const sliderNames: Readonly<Record<Slider, string>> = {
  h: "heads",
  n: "key dims without position",
  r: "rotary dims",
  v: "value dims",
  c: "latent rank",
};
const numbers = ["flops", "bytes", "step", "batch", "context"] as const;

const options = (list: readonly string[]) => list.map((name) => `<option>${name}</option>`).join("");
const field = (name: (typeof numbers)[number], label: string) =>
  `<label>${label}<input type="number" name="${name}" min="${ranges[name][0]}" max="${ranges[name][1]}" step="${/flops|bytes/.test(name) ? "any" : 1}" inputmode="decimal"></label>`;

function page(): string {
  const groups = Map.groupBy(machines, ({ kind }) => kind);
  const listed = [...groups].map(
    ([kind, members]) => `<optgroup label="${kind}">${options(members.map(({ name }) => name))}</optgroup>`,
  );
  const sliders = (Object.keys(steps) as Slider[]).map(
    (name) =>
      `<label for="explored-${name}"><i>${name}</i> <span class="soft">${sliderNames[name]}</span><output></output><input id="explored-${name}" type="range" name="${name}" min="${ranges[name][0]}" max="${ranges[name][1]}" step="${steps[name]}"></label>`,
  );
  return `
<form class="asked" autocomplete="off">
  <fieldset><legend>Attention</legend>
    <label>Sizes of<select name="model">${options(models)}</select></label>
    <p class="soft moved" hidden>moved; <button type="button" class="back">as they were</button></p>
    <div class="sliders">${sliders.join("")}</div>
  </fieldset>
  <fieldset><legend>Machine</legend>
    <label>Machine<select name="machine">${listed.join("")}<option value="own">one of your own</option></select></label>
    <div class="fields own">${field("flops", "TFLOP/s")}${field("bytes", "GB/s")}</div>
    <p class="soft sheet-of-machine"></p>
    <div class="fields">
      <label>Computes in<select name="weights">${options(["float32", "float16", "float8"])}</select></label>
      <label>Cache in<select name="cache">${options(Object.keys(dtypes))}</select></label>
    </div>
  </fieldset>
  <fieldset><legend>Step</legend>
    <div class="fields">${field("step", "New tokens, decoding")}${field("batch", "Sequences")}</div>
    ${field("context", "Tokens in all, prefill")}
  </fieldset>
</form>
<div class="found">
  <p class="headline" role="status"></p>
  <div class="grid"><figure class="decoding"></figure><figure class="prefilling"></figure></div>
  <div class="equations"></div>
</div>`;
}

/** Puts the explorer into `element`. `show` brings it into another state, as when a link is followed. */
export function mountCrossover(
  element: HTMLElement,
  { state = {}, changed }: CrossoverOptions = {},
): { show(state: Readonly<Record<string, string>>): void } {
  element.classList.add("explorer");
  element.innerHTML = page();
  const part = <T extends Element = HTMLElement>(selector: string) => element.querySelector<T>(selector)!;
  const input = (name: string) => part<HTMLInputElement>(`[name=${name}]`);
  let now = readExploration(state);

  const show = () => {
    const found = explore(now);
    for (const [name, value] of Object.entries(now)) {
      const field = input(name);
      if (field !== document.activeElement || field.type === "range") field.value = String(value);
      if (field.type === "range") field.previousElementSibling!.textContent = whole(value as number);
    }
    part(".own").hidden = now.machine !== "own";
    part(".moved").hidden = isPreset(now);
    const sheet = machines.find(({ name }) => name === now.machine);
    part(".sheet-of-machine").textContent = sheet?.source ?? "";
    part(".headline").textContent = `${decodeText(found)} ${prefillText(found, now.context)}`;
    draw(found);
    part(".equations").innerHTML = equations(now, found);
  };
  const draw = (found: Found) => {
    const width = (selector: string) => Math.min(640, Math.max(300, part(selector).clientWidth));
    part(".decoding").replaceChildren(decodingPicture(now, found, { document, width: width(".decoding") }));
    part(".prefilling").replaceChildren(prefillingPicture(now, found, { document, width: width(".prefilling") }));
  };
  const change = (next: Partial<Exploration>, how: { passing: boolean }) => {
    now = { ...now, ...next };
    show();
    changed?.(writeExploration(now), how);
  };

  part("form").addEventListener("submit", (event) => event.preventDefault());
  for (const kind of ["input", "change"] as const)
    part("form").addEventListener(kind, ({ target }) => {
      const { name, value } = target as HTMLInputElement;
      const how = { passing: kind === "input" };
      if (name === "model") change({ ...sizesOf(value), model: value }, how);
      else if (name === "machine") change({ machine: value }, how);
      else if (name === "cache" || name === "weights") change({ [name]: value as Dtype }, how);
      else if (name in ranges) {
        const right = value !== "" && fits(name as Slider, Number(value));
        (target as HTMLInputElement).setAttribute("aria-invalid", String(!right));
        if (right) change({ [name]: Number(value) }, how);
      }
    });
  part(".back").addEventListener("click", () => change(sizesOf(now.model), { passing: false }));
  let width = element.clientWidth;
  new ResizeObserver(() => {
    if (element.clientWidth === width) return;
    width = element.clientWidth;
    draw(explore(now));
  }).observe(element);
  show();
  return {
    show(state) {
      const next = readExploration(state);
      // What comes back from the address after a change of its own is shown already.
      if (JSON.stringify(next) === JSON.stringify(now)) return;
      now = next;
      show();
    },
  };
}

function sizesOf(model: string): Pick<Exploration, Slider> {
  const { h, n, r, v, c } = presetSizes(model);
  return { h, n, r, v, c };
}

const three = (value: number) =>
  !Number.isFinite(value) ? "∞" : value >= 1000 ? compact(value) : String(Number(value.toPrecision(3)));

/** The equations with the numbers put in; sources: the rule of the balance, and the crossover of arithmetic. */
function equations({ h, n, r, v, c, step, cache, context }: Exploration, found: Found): string {
  const { balance, threshold, values, chunk, chunkOfArithmetic, chunkOfEndless, machineName } = found;
  const b = dtypes[cache];
  const faster = balance > threshold;
  const pays = 2 * c - n - v;
  return `
<section>
  <h3>Decoding: what the machine does while it reads a byte</h3>
  <p>Absorbed computes <var>h</var> · 2 (2<var>c</var> + <var>r</var>) FLOPs for a cached token and reads ${whole(values.absorbed)} numbers (${bytes(b * values.absorbed)}); expanded, kept, reads ${whole(values.expanded)} (${bytes(b * values.expanded)}). Over a long context absorbed is faster where</p>
  <p class="equation"><span>FLOP/s / (bytes/s)</span> <span>&gt;</span> <span>s · 2 (2<var>c</var> + <var>r</var>) / (b (<var>n</var> + <var>r</var> + <var>v</var>))</span></p>
  <p class="equation"><span><strong>${three(balance)}</strong> <small>${machineName}</small></span> <span>${faster ? "&gt;" : "≤"}</span> <span>${step} · 2 (2·${c} + ${r}) / (${b} (${n} + ${r} + ${v})) = <strong>${three(threshold)}</strong></span></p>
  ${gauge(balance, threshold)}
  <p class="soft">Heads cancel out. The rule leaves out projections and what an op takes to start; the picture has them.</p>
</section>
<section>
  <h3>Prefill over a cached prefix: who pays for unfolding</h3>
  <p>Unfolding costs 2<var>c</var><var>h</var> (<var>n</var> + <var>v</var>) = ${compact(2 * c * h * (n + v))} FLOPs for each cached token, however few are new. Counting arithmetic alone, absorbed is cheaper for <var>s</var> new of <var>S</var> tokens where</p>
  <p class="equation"><span><var>s</var> (2<var>c</var> − <var>n</var> − <var>v</var>)</span> <span>&lt;</span> <span><var>c</var> (<var>n</var> + <var>v</var>) (1 − <var>s</var>/<var>S</var>)</span></p>
  <p class="equation"><span><var>s</var>* = <var>c</var> (<var>n</var> + <var>v</var>) / (2<var>c</var> − <var>n</var> − <var>v</var>)</span> <span>=</span> <span>${c} · ${n + v} / ${pays} = <strong>${pays > 0 ? three(chunkOfEndless) : "always"}</strong> <small>for an endless prefix</small></span></p>
  <p>At ${whole(context)} tokens in all: <strong>${whole(Math.floor(chunkOfArithmetic))}</strong> by arithmetic alone, <strong>${whole(Math.floor(chunk))}</strong> predicted on ${machineName}, where reading takes time as well.</p>
</section>`;
}

/** The balance of the machine and the threshold on one scale of powers of ten. */
function gauge(balance: number, threshold: number): string {
  const at = (value: number) => Math.min(98, Math.max(2, 2 + (96 * (Math.log10(value) + 1)) / 5));
  return `<div class="gauge" role="img" aria-label="The machine's balance is ${three(balance)}, the threshold ${three(threshold)}: ${balance > threshold ? "absorbed" : "expanded, kept,"} is faster">
  <span class="side expanded" style="width:${at(threshold)}%">expanded, kept</span><span class="side absorbed">absorbed</span>
  <span class="needle" style="left:${at(balance)}%"></span></div>`;
}
