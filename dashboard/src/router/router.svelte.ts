// The address bar as state. Links are plain anchors; one listener on the document keeps them from loading a page.
import { BASE, type Route, routeOf } from "./route";

class Router {
  #location = $state.raw(read());
  readonly route: Route = $derived(routeOf(this.#location.pathname));
  readonly query: URLSearchParams = $derived(new URLSearchParams(this.#location.search));

  /** The search that each page was left with. */
  #searches = new Map<string, string>();

  /** The address of a page as it was when it was shown last, its filters included. */
  last(path: string): string {
    return path + (this.#searches.get(path) ?? "");
  }

  get path(): string {
    return this.#location.pathname;
  }

  go(address: string, replace = false): void {
    if (address === location.pathname + location.search) return;
    history[replace ? "replaceState" : "pushState"](null, "", address);
    const before = this.#location.pathname;
    this.#searches.set(before, this.#location.search);
    this.#location = read();
    if (!replace && before !== this.#location.pathname) scrollTo(0, 0);
  }

  /** Changes the query and nothing else, without a new entry in the history. */
  setQuery(query: URLSearchParams): void {
    const search = query.toString();
    this.go(location.pathname + (search ? `?${search}` : ""), true);
  }

  listen(): () => void {
    const moved = () => (this.#location = read());
    addEventListener("popstate", moved);
    document.addEventListener("click", this.#followed);
    return () => {
      removeEventListener("popstate", moved);
      document.removeEventListener("click", this.#followed);
    };
  }

  #followed = (event: MouseEvent): void => {
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!plain || event.defaultPrevented || !link || link.target || link.hasAttribute("download")) return;
    if (link.origin !== location.origin || !`${link.pathname}/`.startsWith(`${BASE}/`)) return;
    if (link.pathname.endsWith(".txt")) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  };
}

function read(): { pathname: string; search: string } {
  return { pathname: location.pathname, search: location.search };
}

export const router = new Router();
