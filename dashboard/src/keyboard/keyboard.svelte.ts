// Keys of the whole program: what the pages share. A list is every link marked `data-row`, in the order of the page.
import { MENU_PAGES } from "../shell/pages";
import { pathOf } from "../router/route";
import { router } from "../router/router.svelte";
import { actOf, type KeyAct, stepTo } from "./keys";

const GO_MS = 1200;

class Keyboard {
  isHelpOpen = $state(false);
  isPaletteOpen = $state(false);
  #goUntil = 0;
  /** A list that shows only part of its rows moves by itself; it says whether it did. */
  #mover: ((act: KeyAct) => boolean) | undefined;

  moveWith(mover: (act: KeyAct) => boolean): () => void {
    this.#mover = mover;
    return () => {
      if (this.#mover === mover) this.#mover = undefined;
    };
  }

  listen(): () => void {
    document.addEventListener("keydown", this.#pressed);
    return () => document.removeEventListener("keydown", this.#pressed);
  }

  #pressed = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.isComposing) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    if (document.querySelector("dialog[open]")) return;
    if (this.#goes(event, target)) return;
    const act = actOf(event, isField(target));
    if (act && this.#act(act, target)) event.preventDefault();
  };

  #goes(event: KeyboardEvent, target: HTMLElement): boolean {
    const page = performance.now() < this.#goUntil && !isField(target) ? MENU_PAGES.find(({ key }) => key === event.key) : undefined;
    this.#goUntil = 0;
    if (!page) return false;
    event.preventDefault();
    router.go(pathOf(page.page));
    return true;
  }

  #act(act: KeyAct, target: HTMLElement): boolean {
    switch (act) {
      case "palette":
        this.isPaletteOpen = true;
        return true;
      case "search":
        return this.#search();
      case "help":
        this.isHelpOpen = true;
        return true;
      case "go":
        this.#goUntil = performance.now() + GO_MS;
        return true;
      case "close":
        target.blur();
        return false;
      default:
        if (target.closest("[role=radiogroup], fieldset, [role=tablist], [role=tree]")) return false;
        return this.#mover?.(act) ?? this.#step(act);
    }
  }

  #search(): boolean {
    const field = document.querySelector<HTMLInputElement>("main [data-search]");
    if (field) {
      field.focus();
      field.select();
    } else {
      this.isPaletteOpen = true;
    }
    return true;
  }

  #step(act: KeyAct): boolean {
    const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")];
    const at = rows.findIndex((row) => row === document.activeElement);
    if ((act === "first" || act === "last") && at < 0) return false;
    const row = rows[stepTo(act, at, rows.length)];
    row?.focus();
    row?.scrollIntoView({ block: "nearest" });
    return row !== undefined;
  }
}

function isField(element: HTMLElement): boolean {
  return element.isContentEditable || element.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=button])");
}

export const keyboard = new Keyboard();
