// Right after the headline: the one that the address asks for, where the page was built with it.
if (location.hash.length > 1) {
  const asked = new URLSearchParams(location.hash.slice(1));
  const model = asked.get("model") ?? "deepseek-r1";
  const { dataset } = document.documentElement;
  dataset.tab = asked.get("tab") ?? "memory";
  asked.delete("tab");
  asked.delete("model");
  const headlines = JSON.parse(document.getElementById("headlines").textContent);
  const known = asked.size === 0 && Object.hasOwn(headlines, model);
  document.getElementById("headline").textContent = known ? headlines[model] : "";
  delete dataset.asked;
}
