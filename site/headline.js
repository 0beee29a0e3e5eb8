// Right after the headline: that of a bare address stands in it; where the address asks for another, that one is taken from those of all
// presets, a line each, and where none of them is asked for, there is none until the page has made it. What is used of the browser is
// little on purpose: the first use of each of its objects costs a slow phone a millisecond.
{
  const lines = "/*headlines*/";
  const hash = location.hash.slice(1);
  if (hash) {
    const asked = { tab: "memory", model: "/*model*/" };
    for (const pair of hash.split("&")) {
      const at = pair.indexOf("=");
      asked[pair.slice(0, at)] = pair.slice(at + 1);
    }
    const { tab, model, ...more } = asked;
    const from = lines.indexOf(`\n${model}: `) + 1;
    const headline = document.getElementById("headline");
    headline.textContent =
      from > 0 && Object.keys(more).length === 0 ? lines.slice(from, lines.indexOf("\n", from)) : "";
    document.documentElement.setAttribute("data-tab", tab);
  }
}
