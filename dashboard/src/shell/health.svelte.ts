// The health of the whole, which the menu and the overview share.
import { get } from "../api/client";
import type { Health } from "../api/types";
import { type Polled, poll } from "../poll/poll.svelte";

const EVERY_MS = 4000;

class HealthWatch {
  #polled = $state.raw<Polled<Health>>();

  /** Call it while the shell starts. */
  start(): void {
    this.#polled = poll((signal) => get<Health>("/api/webhooks/health", {}, signal), EVERY_MS);
  }

  get data(): Health | undefined {
    return this.#polled?.data;
  }

  get error() {
    return this.#polled?.error;
  }

  refresh(): void {
    this.#polled?.refresh();
  }
}

export const health = new HealthWatch();
