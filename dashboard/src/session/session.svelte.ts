// Who is looking, as the server says. The cookie is not for scripts, and nothing of it is kept here.
import { get, post, whenUnauthorised } from "../api/client";
import type { Caller } from "../api/types";
import { router } from "../router/router.svelte";
import { BASE } from "../router/route";

class Session {
  caller = $state.raw<Caller>();

  /** Asks who is looking; whether they are let in at all. */
  async ask(): Promise<boolean> {
    try {
      this.caller = await get<Caller>("/api/whoami");
      return true;
    } catch {
      return false;
    }
  }

  async enter(key: string): Promise<void> {
    await post("/api/login", { key });
    await this.ask();
  }

  async leave(): Promise<void> {
    await post("/api/logout").catch(() => undefined);
    this.forget();
    router.go(`${BASE}/login`);
  }

  forget(): void {
    this.caller = undefined;
  }

  /** Whether an action of this scope is worth offering: not before it is known who is looking. The server decides. */
  may(scope: "read" | "operate" | "admin"): boolean {
    return this.caller?.scopes.includes(scope) ?? false;
  }
}

export const session = new Session();

whenUnauthorised(() => {
  if (router.route.page === "login") return;
  session.forget();
  const back = location.pathname + location.search;
  router.go(`${BASE}/login?${new URLSearchParams({ next: back })}`, true);
});
