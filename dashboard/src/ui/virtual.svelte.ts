// Long lists: only what can be seen is in the page. The reckoning is @tanstack/virtual-core's.
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer, type VirtualItem } from "@tanstack/virtual-core";

export interface VirtualTerms {
  count: number;
  rowHeight: number;
}

export class VirtualRows {
  items = $state.raw<VirtualItem[]>([]);
  height = $state(0);
  #virtualizer: Virtualizer<HTMLElement, HTMLElement> | undefined;
  #box: HTMLElement | undefined;

  /** Attach it to the element that scrolls. `terms` may use state. */
  attach(terms: () => VirtualTerms): (box: HTMLElement) => void {
    return (box) => {
      this.#box = box;
      const options = () => {
        const { count, rowHeight } = terms();
        return {
          count,
          estimateSize: () => rowHeight,
          overscan: 12,
          getScrollElement: () => box,
          scrollToFn: elementScroll,
          observeElementRect,
          observeElementOffset,
          onChange: () => this.#show(),
        };
      };
      const virtualizer = new Virtualizer<HTMLElement, HTMLElement>(options());
      this.#virtualizer = virtualizer;
      $effect(() => virtualizer._didMount());
      $effect(() => {
        virtualizer.setOptions(options());
        virtualizer._willUpdate();
        virtualizer.measure();
        this.#show();
      });
    };
  }

  /** Whether the top of the list is in view. */
  get isAtTop(): boolean {
    return (this.#box?.scrollTop ?? 0) < 4;
  }

  /** Keeps in view what is in view although rows came above it. */
  shift(pixels: number): void {
    if (this.#box) this.#box.scrollTop += pixels;
  }

  toTop(): void {
    this.#box?.scrollTo({ top: 0 });
  }

  reveal(index: number): void {
    this.#virtualizer?.scrollToIndex(index, { align: "auto" });
    this.#show();
  }

  #show(): void {
    if (!this.#virtualizer) return;
    this.items = this.#virtualizer.getVirtualItems();
    this.height = this.#virtualizer.getTotalSize();
  }
}
