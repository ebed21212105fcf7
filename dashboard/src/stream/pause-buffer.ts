// What comes while somebody reads: kept up to a bound, and what went beyond it is counted, never passed over in silence.

export class PauseBuffer<T> {
  #items: T[] = [];
  #from = 0;
  #dropped = 0;

  constructor(readonly itemsMax: number) {}

  get size(): number {
    return this.#items.length - this.#from;
  }

  /** How many had to go, the oldest first. */
  get dropped(): number {
    return this.#dropped;
  }

  push(item: T): void {
    this.#items.push(item);
    if (this.size <= this.itemsMax) return;
    this.#from++;
    this.#dropped++;
    if (this.#from > this.itemsMax) {
      this.#items = this.#items.slice(this.#from);
      this.#from = 0;
    }
  }

  /** All of it, the oldest first; the buffer is empty afterwards. */
  drain(): { items: T[]; dropped: number } {
    const drained = { items: this.#items.slice(this.#from), dropped: this.#dropped };
    this.#items = [];
    this.#from = 0;
    this.#dropped = 0;
    return drained;
  }
}
