// Before the page's library is read: the tab of the address, and the first answer's numbers where the page was built with them, that
// is where the address names a preset and nothing else.
{
  const asked = new URLSearchParams(location.hash.slice(1));
  const wanted = document.getElementById(`tab-${asked.get("tab")}`) ?? document.getElementById("tab-memory");
  const model = asked.get("model") ?? "deepseek-r1";
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab === wanted));
    document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== wanted;
  }
  document.documentElement.dataset.tab = wanted.id.replace("tab-", "");
  if (matchMedia("(max-width: 860px)").matches) {
    document.getElementById("use").open = false;
    document.getElementById("model").size = 1;
  }
  document.getElementById("model").append(new Option(model, model, true, true));
  asked.delete("tab");
  asked.delete("model");
  const firsts = JSON.parse(document.getElementById("firsts").textContent);
  const values = asked.size === 0 && Object.hasOwn(firsts, model) ? firsts[model].values : [];
  for (const [at, slot] of document.querySelectorAll("[data-first]").entries()) slot.textContent = values[at] ?? "";
}
