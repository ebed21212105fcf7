// What a chart of deliveries is drawn from: layers from back to front, so that each looks stacked on the next.
import type { SeriesPoint } from "../api/types";

export interface Layers {
  times: number[];
  /** All of them; what is not covered by the other layers is processed. */
  total: number[];
  unsettled: number[];
  failed: number[];
  averages: (number | null)[];
}

export function layersOf(series: readonly SeriesPoint[]): Layers {
  return {
    times: series.map(({ timestamp }) => Date.parse(timestamp) / 1000),
    total: series.map(({ total }) => total),
    unsettled: series.map(({ pending, failed }) => pending + failed),
    failed: series.map(({ failed }) => failed),
    averages: series.map(({ processed, avgProcessingTimeMs }) => (processed > 0 ? avgProcessingTimeMs : null)),
  };
}

/** Deliveries a second over the last full minutes of a series by the minute; the current one is not full yet. */
export function rateOf(series: readonly SeriesPoint[], minutes = 1): number {
  const full = series.slice(-1 - minutes, -1);
  if (full.length === 0) return 0;
  return full.reduce((sum, { total }) => sum + total, 0) / (60 * full.length);
}
