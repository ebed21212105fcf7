// Dark or light: what the system says, unless somebody chose. public/theme.js applies the choice before the first paint.

export type Theme = "system" | "light" | "dark";

const KEY = "hooklog.theme";
const ORDER: Theme[] = ["system", "light", "dark"];

class ThemeChoice {
  choice = $state<Theme>(remembered());
  /** Grows whenever colours change, for what is painted by hand. */
  painted = $state(0);

  constructor() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.painted++);
  }

  choose(theme: Theme): void {
    this.choice = theme;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // It holds for this visit, then.
    }
    this.painted++;
  }

  next(): void {
    this.choose(ORDER[(ORDER.indexOf(this.choice) + 1) % ORDER.length] ?? "system");
  }
}

function remembered(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || theme === "light" ? theme : "system";
}

export const theme = new ThemeChoice();
