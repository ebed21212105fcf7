// Who is looking. The cookie is not for scripts; what is kept here is only what to call them.
import { get, post, whenUnauthorised } from "../api/client";
import type { Login } from "../api/types";
import { router } from "../router/router.svelte";
import { BASE } from "../router/route";

const KEY = "hooklog.login";

class Session {
  login = $state.raw<Login | undefined>(remembered());

  async enter(key: string): Promise<void> {
    this.login = await post<Login>("/api/login", { key });
    localStorage.setItem(KEY, JSON.stringify(this.login));
  }

  async leave(): Promise<void> {
    await post("/api/logout").catch(() => undefined);
    this.forget();
    router.go(`${BASE}/login`);
  }

  forget(): void {
    this.login = undefined;
    localStorage.removeItem(KEY);
  }

  /** Whether the API lets us in as we are. */
  async isOpen(): Promise<boolean> {
    return get("/api/webhooks/events/types").then(
      () => true,
      () => false,
    );
  }

  /** Whether an action of this scope is worth offering; the server decides. */
  may(scope: "operate" | "admin"): boolean {
    const held = this.login?.scope;
    return held === undefined || held === "admin" || held === scope;
  }
}

function remembered(): Login | undefined {
  try {
    const login = JSON.parse(localStorage.getItem(KEY) ?? "null") as Login | null;
    return login && Date.parse(login.expiresAt) > Date.now() ? login : undefined;
  } catch {
    return undefined;
  }
}

export const session = new Session();

whenUnauthorised(() => {
  if (router.route.page === "login") return;
  session.forget();
  const back = location.pathname + location.search;
  router.go(`${BASE}/login?${new URLSearchParams({ next: back })}`, true);
});
