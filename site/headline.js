// Before anything else of the page is read: the headline that the address asks for, where the page was built with it. That of a bare
// address stands in the page already.
if (location.hash.length > 1) {
  const asked = new URLSearchParams(location.hash.slice(1));
  const model = asked.get("model") ?? "deepseek-r1";
  document.documentElement.dataset.tab = asked.get("tab") ?? "";
  asked.delete("tab");
  asked.delete("model");
  const headlines = JSON.parse(document.getElementById("headlines").textContent);
  const known = asked.size === 0 && Object.hasOwn(headlines, model);
  document.getElementById("headline").textContent = known ? headlines[model] : "";
}
