// What a key press means, before anybody acts on it. Pure.

export type KeyAct = "search" | "help" | "next" | "previous" | "first" | "last" | "go" | "close" | "palette";

export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

/** `isTyping`: the press goes to a field, where only leaving it and the palette mean something. */
export function actOf(press: Press, isTyping: boolean): KeyAct | undefined {
  if ((press.ctrlKey || press.metaKey) && !press.altKey && press.key.toLowerCase() === "k") return "palette";
  if (press.ctrlKey || press.metaKey || press.altKey) return undefined;
  if (press.key === "Escape") return "close";
  if (isTyping) return undefined;
  switch (press.key) {
    case "/":
      return "search";
    case "?":
      return "help";
    case "j":
    case "ArrowDown":
      return "next";
    case "k":
    case "ArrowUp":
      return "previous";
    case "Home":
      return "first";
    case "End":
      return "last";
    case "g":
      return "go";
    default:
      return undefined;
  }
}

/** The row to go to, from one of `count` rows or from none (-1). */
export function stepTo(act: KeyAct, at: number, count: number): number {
  if (count === 0) return -1;
  if (act === "first") return 0;
  if (act === "last") return count - 1;
  if (at < 0) return act === "next" ? 0 : -1;
  return Math.min(count - 1, Math.max(0, at + (act === "next" ? 1 : -1)));
}
