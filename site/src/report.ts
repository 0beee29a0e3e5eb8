/** Results that were opened: of `biform compare --json`, drawn as its report is, and of `biform plan --json`. */
import { chapters, escapeHtml, FormatError, parseComparison, planSchema } from "biform/web";
import { planParts } from "./answer.ts";
import { byId } from "./element.ts";

/** Shows a result. Throws FormatError for one that is damaged. */
export function openResult(value: unknown, file: string): void {
  const made = "variants" in (value as object) ? comparisonArticle(value, file) : planArticle(value, file);
  byId("opened").innerHTML =
    `<article aria-label="${escapeHtml(file)}"><p class="soft">${escapeHtml(file)}</p>${made}</article>`;
}

function comparisonArticle(value: unknown, file: string): string {
  // The page has headings above the report's own.
  return chapters(parseComparison(value, file), document).replace(
    /<(\/?)h([123])\b/g,
    (_, slash, level) => `<${slash}h${Number(level) + 2}`,
  );
}

function planArticle(value: unknown, file: string): string {
  const parsed = planSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new FormatError(
      `${file}: ${issue!.path.join(".") || "the whole"}: ${issue!.message}; write it with \`biform plan --json\``,
    );
  }
  return planParts(parsed.data);
}
