/** Dark or light: as the system has it, or as was chosen. Runs before the first frame. */

const key = "biform.theme";
/** What can be chosen; the first follows the system. */
export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

/** The theme that was chosen last. */
export function chosenTheme(): Theme {
  const found = localStorage.getItem(key);
  return themes.find((theme) => theme === found) ?? "system";
}

/** Shows the page in a theme, and remembers it. */
export function setTheme(theme: Theme): void {
  localStorage.setItem(key, theme);
  document.documentElement.dataset.theme = theme;
}

document.documentElement.dataset.theme = chosenTheme();
