// Long lists: only what can be seen is in the page. The reckoning is @tanstack/virtual-core's.
import { untrack } from "svelte";
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
      // Made once, whatever is counted later: the effects below follow that.
      const virtualizer = new Virtualizer<HTMLElement, HTMLElement>(untrack(options));
      this.#virtualizer = virtualizer;
      let lastHeight = 0;
      $effect(() => virtualizer._didMount());
      $effect(() => {
        const now = options();
        const height = now.estimateSize();
        virtualizer.setOptions(now);
        virtualizer._willUpdate();
        if (height !== lastHeight) virtualizer.measure();
        lastHeight = height;
        untrack(() => this.#show());
      });
    };
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
