/// <reference types="vite/client" />
/** MLA's two forms as one figure, what each costs, and the proof that they are one function, computed in the page. */
import { compact, grid, keptOf, mla, type Sizes, scientific, whole } from "biform/web";
import "./forms.css";
import { digits, ruler, scatter } from "./evidence.ts";
import { drawFigure, type Figure } from "./figure.ts";
import type { FormName, Layout } from "./graph.ts";
import {
  equal,
  type Fault,
  type FaultName,
  faults,
  limits,
  type Proof,
  prove,
  type Question,
  sizesOf,
  usual,
} from "./proof.ts";

/** DeepSeek-V3's, for scale. */
const large: Sizes = { d: 7168, h: 128, g: 0, n: 128, r: 64, e: 192, v: 128, c: 512, q: 1536, o: 0 };

const names: Readonly<Record<Exclude<keyof Question, "seed">, string>> = {
  h: "heads",
  n: "key dims without position",
  r: "rotary dims",
  v: "value dims",
  c: "latent rank",
  tokens: "tokens, half of them cached",
};

const about: Readonly<Record<FormName, string>> = {
  expanded:
    "<strong>Expanded: multi-head attention with small heads.</strong> W<sup>UK</sup> and W<sup>UV</sup> stand on the side of the keys and values: they unfold each latent into a key and a value for every head. Least arithmetic for a pair of query and key: for training and for prompts.",
  absorbed:
    "<strong>Absorbed: multi-query attention with one wide key.</strong> W<sup>UK</sup> has moved to the queries and W<sup>UV</sup> to the output. All heads read the same latent, as their key and as their value, and nothing is unfolded: for decoding, where reading the cache is what takes time.",
};

/** The costs of one form, from the variant's definition; `fold` is what the two weights that move cost for a token. */
function costOf(sizes: Sizes, form: FormName): { kept: number; pair: number; fold: number } {
  const [{ cached, token }, own] = [mla.forms.expanded!.cost(sizes), mla.forms[form]!.cost(sizes)];
  const kept = keptOf({ attention: { variant: mla, sizes } })[form]!.values;
  return { kept, pair: own.pair, fold: form === "expanded" ? cached : own.token - token };
}

function words(question: Question, form: FormName) {
  const { h, n, r, v, c } = question;
  const [expanded, absorbed] = [costOf(sizesOf(question), "expanded"), costOf(sizesOf(question), "absorbed")];
  const start = `The hidden states of ${h} heads' new tokens become queries q, and those of all tokens a latent c of ${c} numbers and a rotary key of ${r}, which are cached.`;
  const end = "Their products with the queries and the rotary term add up to scores; softmax makes weights of them.";
  return {
    title: `MLA, ${form}`,
    description:
      form === "expanded"
        ? `${start} W-UK and W-UV, on the side of keys and values, unfold each latent into a key of ${n} and a value of ${v} for every head. ${end} The weighted sum of the values goes through W-O to the output.`
        : `${start} W-UK, on the side of the queries, turns each head's query of ${n} into one of ${c}, which meets the latent itself. ${end} The weighted sum of the latents goes through W-UV, now on the output's side, and W-O to the output.`,
    kept: {
      cache: `cache: c + r = ${whole(absorbed.kept)} a token`,
      unfolded: `unfolded, or kept: ${whole(expanded.kept)}`,
    },
  };
}

const page = `
<div class="switch" role="radiogroup" aria-label="Form of the attention">
  <label><input type="radio" name="form" value="expanded" checked><span><b>Expanded</b><small>many small heads</small></span></label>
  <label><input type="radio" name="form" value="absorbed"><span><b>Absorbed</b><small>one shared latent</small></span></label>
</div>
<p class="about" aria-live="polite"></p>
<div class="picture-of-forms"></div>
<div class="identity">
  <p><span data-side="expanded">q<sup>n</sup> · (c W<sup>UK</sup>)</span> = <span data-side="absorbed">(q<sup>n</sup> W<sup>UKᵀ</sup>) · c</span></p>
  <p><span data-side="expanded">Σ p (c W<sup>UV</sup>)</span> = <span data-side="absorbed">(Σ p c) W<sup>UV</sup></span></p>
</div>
<div class="costs"></div>
<h3>The proof, computed here and now</h3>
<p>Random weights and hidden states from a seed; half of the tokens fill one cache, and the others run in each form over it, in float64, by the library's own code. You may break it.</p>
<div class="proof">
  <form class="question">
    <div class="sliders"></div>
    <fieldset><legend>Break</legend><div class="faults"></div></fieldset>
  </form>
  <div class="evidence">
    <p class="verdict-of-proof"><span class="difference"></span> <span class="judged"></span></p>
    <p class="soft why" role="status"></p>
    <div class="ruler"></div>
    <div class="pair-of-evidence"><div class="scatter"></div><div class="scroll digits-of-proof"></div></div>
  </div>
</div>`;

function slider(name: keyof typeof names, value: number): string {
  const [least, most, step] = limits[name];
  const letter = name === "tokens" ? "" : `<i>${name}</i> `;
  // Without its id the label would name the output, which comes first.
  return `<label for="proved-${name}">${letter}<span class="soft">${names[name]}</span><output>${value}</output><input id="proved-${name}" type="range" name="${name}" min="${least}" max="${most}" step="${step}" value="${value}"></label>`;
}

/** Puts the figure and the proof into `element` and keeps them up to date. */
export function mountForms(element: HTMLElement): void {
  element.classList.add("two-forms");
  element.innerHTML = page;
  const part = <T extends Element = HTMLElement>(selector: string) => element.querySelector<T>(selector)!;
  let question = usual;
  let fault: FaultName = "none";
  let form: FormName = "expanded";
  let layout: Layout = layoutOf(element);
  let figure: Figure;

  part(".sliders").innerHTML =
    (Object.keys(names) as (keyof typeof names)[]).map((name) => slider(name, question[name])).join("") +
    `<div class="seed"><label>seed <input type="number" name="seed" min="${limits.seed[0]}" max="${limits.seed[1]}" value="${question.seed}" inputmode="numeric"></label><button type="button">Another seed</button></div>`;
  part(".faults").innerHTML = Object.entries<Fault>(faults)
    .map(
      ([key, { name }]) =>
        `<label><input type="radio" name="fault" value="${key}"${key === fault ? " checked" : ""}> ${name}</label>`,
    )
    .join("");

  const drawForm = () => {
    figure.show(form);
    part(".about").innerHTML = about[form];
    for (const side of element.querySelectorAll<HTMLElement>("[data-side]"))
      side.classList.toggle("now", side.dataset.side === form);
    part(".costs").innerHTML = costs(question, form);
    for (const radio of element.querySelectorAll<HTMLInputElement>("input[name=form]"))
      radio.checked = radio.value === form;
  };
  const drawAll = () => {
    figure = drawFigure(question, layout, (form) => words(question, form));
    part(".picture-of-forms").replaceChildren(figure.element);
    drawForm();
  };
  let asked = 0;
  const drawProof = async () => {
    const mine = ++asked;
    const proof = await prove(question, fault);
    // A later question has been asked meanwhile.
    if (mine !== asked) return;
    const wide = Math.min(620, Math.max(280, part(".evidence").clientWidth));
    part(".difference").textContent = scientific(proof.relative);
    part(".judged").textContent = equal(proof) ? "the forms are one function" : "not the same function";
    part(".verdict-of-proof").classList.toggle("wrong", !equal(proof));
    part(".why").textContent = sentence(proof);
    part(".ruler").replaceChildren(ruler(proof, { document, width: wide }));
    part(".scatter").replaceChildren(scatter(proof, { document, width: Math.min(320, wide) }));
    part(".digits-of-proof").innerHTML = digits(proof);
  };
  const turn = (next: FormName) => {
    form = next;
    figure.element.classList.add("moving");
    drawForm();
  };

  element.addEventListener("change", ({ target }) => {
    const { name, value } = target as HTMLInputElement;
    if (name === "form") turn(value as FormName);
    else if (name === "fault") {
      fault = value as FaultName;
      void drawProof();
    }
  });
  element.addEventListener("input", ({ target }) => {
    const { name, value, type, validity } = target as HTMLInputElement;
    if ((type !== "range" && name !== "seed") || !validity.valid || value === "") return;
    question = { ...question, [name]: Number(value) };
    part(`input[name=${name}]`).previousElementSibling?.replaceChildren(value);
    if (name !== "seed") drawAll();
    void drawProof();
  });
  part("button").addEventListener("click", () => {
    question = { ...question, seed: (question.seed * 48271) % limits.seed[1] || 1 };
    part<HTMLInputElement>("input[name=seed]").value = String(question.seed);
    void drawProof();
  });
  // A second way for those who point; the switch above is for everyone.
  part(".picture-of-forms").addEventListener("click", () => turn(form === "expanded" ? "absorbed" : "expanded"));
  part("form").addEventListener("submit", (event) => event.preventDefault());
  let width = element.clientWidth;
  new ResizeObserver(() => {
    if (element.clientWidth === width) return;
    width = element.clientWidth;
    if (layoutOf(element) !== layout) {
      layout = layoutOf(element);
      drawAll();
    }
    void drawProof();
  }).observe(element);
  drawAll();
  void drawProof();
}

function layoutOf(element: HTMLElement): Layout {
  return element.clientWidth < 760 ? "narrow" : "wide";
}

function costs(question: Question, now: FormName): string {
  const columns = [sizesOf(question), large].flatMap((sizes) =>
    (["expanded", "absorbed"] as const).map((form) => ({ form, ...costOf(sizes, form) })),
  );
  const row = (name: string, text: (column: (typeof columns)[number]) => string) => ({
    cells: [
      name,
      ...columns.map((column) => (column.form === now ? `<strong>${text(column)}</strong>` : text(column))),
    ],
  });
  return grid(
    "What one layer costs in either form, counted from the library's definition",
    ["", "expanded", "absorbed", "expanded, DeepSeek-V3", "absorbed, DeepSeek-V3"],
    [
      row("numbers kept for a token", ({ kept }) => whole(kept)),
      row("FLOPs for a pair of query and key", ({ pair }) => whole(pair)),
      row("FLOPs of W<sup>UK</sup> and W<sup>UV</sup>", ({ form, fold }) =>
        form === "expanded" ? `${compact(fold)} a cached token` : `${compact(fold)} a new token`,
      ),
    ],
  );
}

/** The result in words. */
function sentence(proof: Proof): string {
  const { question, fault, cached, added, relative, tolerance, refusal, milliseconds } = proof;
  const { about, harmless }: Fault = faults[fault];
  const nothing = harmless?.(question);
  const found = `Seed ${question.seed}, ${added} new tokens over ${cached} cached: the largest difference is ${scientific(relative)} of the largest output, ${
    equal(proof) ? "which rounding explains" : "which rounding does not explain"
  } (up to ${scientific(tolerance)}). Computed in ${milliseconds.toFixed(0)} ms.`;
  if (fault === "none") return found;
  if (nothing) return `${about} At these sizes it changes nothing: ${nothing}. ${found}`;
  return `${about}${refusal ? ` The library's words: ${refusal}.` : ""} ${found}`;
}
