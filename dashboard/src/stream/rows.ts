// The rows of the stream, the newest first: each delivery once, however it came, and no more than there is room for.
import type { Delivery } from "../api/types";

/** What became of a delivery, as the stream tells it. */
export type Change = Pick<Delivery, "id" | "status" | "processed" | "attempts" | "processingTimeMs" | "error" | "errorCode" | "retryable">;

/** So many changes are kept of deliveries that are not here yet: the list may lag behind the stream. */
const EARLY_MAX = 5_000;

export class StreamRows {
  /** The newest first; rows of one time in the order that they came in. */
  #ids: string[] = [];
  #byId = new Map<string, Delivery>();
  #early = new Map<string, Change>();
  #passes: ((row: Delivery) => boolean) | undefined;
  #read = 0;
  #cutAt: string | undefined;
  #isSparse = false;

  constructor(readonly rowsMax: number) {}

  get size(): number {
    return this.#ids.length;
  }

  /** How many deliveries were here at some time. */
  get read(): number {
    return this.#read;
  }

  /** The time of the oldest row that is here, when there was no room for older ones that fit. */
  get cutAt(): string | undefined {
    return this.#cutAt;
  }

  /** Whether there is no room for more rows that fit. */
  get isFull(): boolean {
    return this.size >= this.rowsMax && (!this.#passes || this.all().every(this.#passes));
  }

  /** Whether rows between others had to go, because they did not fit: another filter wants them read again. */
  get isSparse(): boolean {
    return this.#isSparse;
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  all(): Delivery[] {
    return this.#ids.map((id) => this.#byId.get(id)).filter((row) => row !== undefined);
  }

  /** What is looked for: when there is no room for all, rows that do not fit go before those that do. */
  look(passes: ((row: Delivery) => boolean) | undefined): void {
    this.#passes = passes;
  }

  /** Those that just came, the oldest first; read again from the log, they go where their times say. How many are new. */
  addNew(rows: readonly Delivery[]): number {
    // One that is here may have gone on since: what the stream tells again is how it was received.
    const fresh = rows.filter(({ id }) => !this.#byId.has(id)).reverse();
    const ids = this.#keep(fresh);
    const newest = this.#timeOf(this.#ids[0]);
    const inOrder = fresh.every((row, index) => row.timestamp >= newest && row.timestamp >= (fresh[index + 1]?.timestamp ?? ""));
    this.#ids = ids.concat(this.#ids);
    this.#settle(inOrder);
    return ids.length;
  }

  /** A page of the list: put where its times say. */
  addPage(rows: readonly Delivery[]): void {
    for (const row of rows) {
      const known = this.#byId.get(row.id);
      if (known && isFurther(row, known)) this.#byId.set(row.id, { ...known, ...changeOf(row) });
    }
    const unknown = rows.filter(({ id }) => !this.#byId.has(id));
    const oldest = this.#ids.length === 0 ? undefined : this.#timeOf(this.#ids.at(-1));
    const ids = this.#keep(unknown);
    this.#ids = this.#ids.concat(ids);
    this.#settle(oldest === undefined || unknown.every((row) => row.timestamp <= oldest));
  }

  /** Of a delivery that is not here it is kept until its row is. */
  change(change: Change): boolean {
    const row = this.#byId.get(change.id);
    if (row) {
      this.#byId.set(change.id, { ...row, ...changeOf(change) });
      return true;
    }
    this.#early.delete(change.id);
    this.#early.set(change.id, change);
    const [first] = this.#early.keys();
    if (this.#early.size > EARLY_MAX && first !== undefined) this.#early.delete(first);
    return false;
  }

  clear(): void {
    this.#ids = [];
    this.#byId.clear();
    this.#early.clear();
    this.#read = 0;
    this.#cutAt = undefined;
    this.#isSparse = false;
  }

  /** Rows that are not here yet, with what was told of them before. */
  #keep(rows: readonly Delivery[]): string[] {
    const ids: string[] = [];
    for (const row of rows) {
      if (this.#byId.has(row.id)) continue;
      const early = this.#early.get(row.id);
      this.#early.delete(row.id);
      this.#byId.set(row.id, early ? { ...row, ...changeOf(early) } : row);
      ids.push(row.id);
    }
    this.#read += ids.length;
    return ids;
  }

  #timeOf(id: string | undefined): string {
    return this.#byId.get(id ?? "")?.timestamp ?? "";
  }

  #settle(inOrder: boolean): void {
    if (!inOrder) {
      const times = new Map(this.#ids.map((id) => [id, this.#timeOf(id)]));
      this.#ids.sort((a, b) => compare(times.get(b) ?? "", times.get(a) ?? ""));
    }
    let over = this.#ids.length - this.rowsMax;
    if (over <= 0) return;
    over -= this.#forgetOthers(over);
    if (over <= 0) return;
    for (const id of this.#ids.splice(this.#ids.length - over)) this.#byId.delete(id);
    this.#cutAt = this.#timeOf(this.#ids.at(-1));
  }

  /** Forgets the oldest of those that do not fit. Says how many went. */
  #forgetOthers(count: number): number {
    const passes = this.#passes;
    if (!passes) return 0;
    const gone = new Set<string>();
    for (let at = this.#ids.length - 1; at >= 0 && gone.size < count; at--) {
      const id = this.#ids[at] ?? "";
      const row = this.#byId.get(id);
      if (row && !passes(row)) gone.add(id);
    }
    if (gone.size === 0) return 0;
    for (const id of gone) this.#byId.delete(id);
    this.#ids = this.#ids.filter((id) => !gone.has(id));
    this.#isSparse = true;
    return gone.size;
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function changeOf({ status, processed, attempts, processingTimeMs, error, errorCode, retryable }: Omit<Change, "id">): Omit<Change, "id"> {
  return { status, processed, attempts, processingTimeMs, error, errorCode, retryable };
}

const isSettled = ({ status }: { status: string }): boolean => status === "processed" || status === "dead";

/** Whether a row of the list has gone on beyond what the stream has told of it; mostly it is the list that lags. */
function isFurther(row: Delivery, known: Delivery): boolean {
  return row.attempts > known.attempts || (row.attempts === known.attempts && isSettled(row) && !isSettled(known));
}
