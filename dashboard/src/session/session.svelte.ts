// Who is looking, as the server says. The cookie is not for scripts, and nothing of it is kept here.
import { get, post, whenUnauthorised } from "../api/client";
import type { Caller } from "../api/types";
import { router } from "../router/router.svelte";
import { BASE } from "../router/route";

class Session {
  caller = $state.raw<Caller>();
  #holds = 0;
  #isTurnedAway = false;

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

  /** While something is shown once, nobody is sent away from it. Call what it gives when that is over. */
  hold(): () => void {
    this.#holds++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds--;
      if (this.#holds > 0 || !this.#isTurnedAway) return;
      this.#isTurnedAway = false;
      // Somebody may have logged in meanwhile; if not, the answer leads to the login.
      void this.ask();
    };
  }

  /** The server no longer knows who is looking. */
  turnedAway(): void {
    if (router.route.page === "login") return;
    if (this.#holds > 0) {
      this.#isTurnedAway = true;
      return;
    }
    this.forget();
    const back = location.pathname + location.search;
    router.go(`${BASE}/login?${new URLSearchParams({ next: back })}`, true);
  }

  /** Whether an action of this scope is worth offering: not before it is known who is looking. The server decides. */
  may(scope: "read" | "operate" | "admin"): boolean {
    return this.caller?.scopes.includes(scope) ?? false;
  }
}

export const session = new Session();

whenUnauthorised(() => session.turnedAway());
