// The rows of the stream, the newest first: each delivery once, however it came, and no more than there is room for.
import type { Delivery } from "../api/types";

/** What became of a delivery, as the stream tells it. */
export type Change = Pick<Delivery, "id" | "status" | "processed" | "attempts" | "processingTimeMs" | "error" | "errorCode" | "retryable">;

export class StreamRows {
  #ids: string[] = [];
  #byId = new Map<string, Delivery>();

  constructor(readonly rowsMax: number) {}

  get size(): number {
    return this.#ids.length;
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  all(): Delivery[] {
    return this.#ids.map((id) => this.#byId.get(id)).filter((row) => row !== undefined);
  }

  /** Those that just came, the oldest first. Says how many rows are new at the top. */
  addNew(rows: readonly Delivery[]): number {
    const fresh: string[] = [];
    for (const row of rows) {
      // One that is here may have gone on since: what the stream tells again is how it was received.
      if (this.#byId.has(row.id)) continue;
      fresh.push(row.id);
      this.#byId.set(row.id, row);
    }
    if (fresh.length > 0) this.#ids = fresh.reverse().concat(this.#ids);
    this.#forget();
    return fresh.length;
  }

  /** A page of the list: put where its times say. What the stream has told since is newer and stays. */
  addPage(rows: readonly Delivery[]): void {
    const unknown = rows.filter(({ id }) => !this.#byId.has(id));
    if (unknown.length === 0) return;
    for (const row of unknown) this.#byId.set(row.id, row);
    const last = this.#byId.get(this.#ids.at(-1) ?? "");
    this.#ids = this.#ids.concat(unknown.map(({ id }) => id));
    const inOrder = !last || unknown.every((row) => row.timestamp <= last.timestamp);
    if (!inOrder) this.#ids.sort((a, b) => (this.#timeOf(b) < this.#timeOf(a) ? -1 : 1));
    this.#forget();
  }

  /** Of deliveries that are not here there is nothing to say. */
  change(change: Change): boolean {
    const row = this.#byId.get(change.id);
    if (!row) return false;
    const { status, processed, attempts, processingTimeMs, error, errorCode, retryable } = change;
    this.#byId.set(change.id, { ...row, status, processed, attempts, processingTimeMs, error, errorCode, retryable });
    return true;
  }

  clear(): void {
    this.#ids = [];
    this.#byId.clear();
  }

  #timeOf(id: string): string {
    return this.#byId.get(id)?.timestamp ?? "";
  }

  #forget(): void {
    for (const id of this.#ids.splice(this.rowsMax)) this.#byId.delete(id);
  }
}
