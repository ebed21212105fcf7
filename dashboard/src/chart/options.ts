// How our charts look: thin rules, small numbers, no legend of the library's own.
import uPlot from "uplot";
import { colour } from "./colours";

export interface Layer {
  name: string;
  /** The name of a custom property. */
  colour: string;
  kind: "bars" | "line";
  values: (number | null)[];
}

export interface ChartTerms {
  layers: Layer[];
  format: (value: number) => string;
  width: number;
  height: number;
  onpoint: (index: number | null) => void;
}

const FONT = '11px "Inter", system-ui, sans-serif';

export function optionsFor(terms: ChartTerms): uPlot.Options {
  const [text, rule] = [colour("--text-3"), colour("--rule")];
  const axis = { stroke: text, font: FONT, ticks: { show: false }, grid: { stroke: rule, width: 1 } };
  return {
    width: terms.width,
    height: terms.height,
    padding: [10, 18, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { range: (plot, min, max) => padded(terms.layers, plot.data[0].length, min, max) }, y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.08)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 26, gap: 8, space: 70, values: times },
      { ...axis, size: 48, gap: 8, space: 36, splits: wholeSplits(terms), values: (_plot, values) => values.map((value) => terms.format(value)) },
    ],
    series: [{}, ...terms.layers.map(seriesOf)],
    hooks: { setCursor: [(plot) => terms.onpoint(plot.cursor.idx ?? null)] },
  };
}

/** Bars stand on their time, so the first and the last need half a step more. */
function padded(layers: Layer[], points: number, min: number, max: number): [number, number] {
  const steps = points - 1;
  const half = layers.some(({ kind }) => kind === "bars") ? (max - min) / Math.max(1, steps) / 2 : 0;
  return [min - half, max + half];
}

function seriesOf(layer: Layer): uPlot.Series {
  const ink = colour(layer.colour);
  if (layer.kind === "line") return { label: layer.name, stroke: ink, width: 1.5, points: { show: false }, spanGaps: true };
  const bars = uPlot.paths.bars?.({ size: [0.72, 26], radius: 0.12 });
  return { label: layer.name, fill: ink, width: 0, points: { show: false }, paths: bars };
}

/** Nobody has received half a delivery. */
function wholeSplits({ layers }: ChartTerms): uPlot.Axis.Splits | undefined {
  if (layers.some(({ kind }) => kind === "line")) return undefined;
  return (_plot, _axis, min, max, increment) => {
    const step = Math.max(1, increment);
    return Array.from({ length: Math.floor((max - min) / step) + 1 }, (_, index) => min + index * step);
  };
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

function times(_plot: uPlot, splits: number[], _axis: number, _space: number, increment: number): string[] {
  return splits.map((seconds) => {
    const date = new Date(seconds * 1000);
    const isMidnight = date.getHours() === 0 && date.getMinutes() === 0;
    return increment >= 86_400 || isMidnight ? DAY.format(date) : CLOCK.format(date);
  });
}
