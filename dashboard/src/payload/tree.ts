// A JSON document as lines to show: what is open, and where a text is found. Pure; nothing is rendered here.

import { isLosslessNumber, type LosslessNumber, textOfJson } from "./lossless";

export type Json = null | boolean | number | string | LosslessNumber | Json[] | { [key: string]: Json };

export interface Line {
  /** JSON pointer (RFC 6901). */
  path: string;
  depth: number;
  /** The name in the object, the number in the array; null for the root. */
  key: string | null;
  kind: "object" | "array" | "string" | "number" | "boolean" | "null";
  /** A value as JSON; of containers, how many are in it. */
  text: string;
  isOpen: boolean;
}

const PREVIEW_MAX = 2000;

export const isContainer = (line: Line): boolean => line.kind === "object" || line.kind === "array";

export function kindOf(value: Json): Line["kind"] {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (isLosslessNumber(value)) return "number";
  return typeof value as Line["kind"];
}

export function childrenOf(value: Json): [string, Json][] {
  if (Array.isArray(value)) return value.map((child, index) => [String(index), child]);
  return value !== null && typeof value === "object" && !isLosslessNumber(value) ? Object.entries(value) : [];
}

export const childPath = (path: string, key: string): string => `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** The lines that are to be seen when these containers are open. */
export function linesOf(root: Json, open: ReadonlySet<string>): Line[] {
  const lines: Line[] = [];
  const walk = (value: Json, key: string | null, path: string, depth: number): void => {
    const kind = kindOf(value);
    const children = kind === "object" || kind === "array" ? childrenOf(value) : [];
    const isOpen = children.length > 0 && open.has(path);
    lines.push({ path, depth, key, kind, text: textOf(value, kind, children.length), isOpen });
    if (isOpen) for (const [name, child] of children) walk(child, name, childPath(path, name), depth + 1);
  };
  walk(root, null, "", 0);
  return lines;
}

function textOf(value: Json, kind: Line["kind"], size: number): string {
  if (kind === "object") return size === 0 ? "{}" : `{ ${size} }`;
  if (kind === "array") return size === 0 ? "[]" : `[ ${size} ]`;
  const text = isLosslessNumber(value) ? value.value : JSON.stringify(value);
  return text.length > PREVIEW_MAX ? `${text.slice(0, PREVIEW_MAX)}…` : text;
}

/** What is open at first: the root, and what is small enough below it. */
export function openAtFirst(root: Json, linesMax = 40): Set<string> {
  const open = new Set([""]);
  let lines = childrenOf(root).length;
  for (const [key, child] of childrenOf(root)) {
    const size = childrenOf(child).length;
    if (size > 0 && lines + size <= linesMax) {
      open.add(childPath("", key));
      lines += size;
    }
  }
  return open;
}

/** The paths of keys and values that have the text, in the order of the document. */
export function search(root: Json, text: string): string[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return [];
  const found: string[] = [];
  const walk = (value: Json, key: string | null, path: string): void => {
    const children = childrenOf(value);
    const inKey = key !== null && key.toLowerCase().includes(wanted);
    const inValue = children.length === 0 && String(value).toLowerCase().includes(wanted);
    if (inKey || inValue) found.push(path);
    for (const [name, child] of children) walk(child, name, childPath(path, name));
  };
  walk(root, null, "");
  return found;
}

/** All that has to be open for these to be seen. */
export function ancestorsOf(paths: readonly string[]): Set<string> {
  const open = new Set<string>();
  for (const path of paths) {
    for (let up = parentOf(path); !open.has(up); up = parentOf(up)) open.add(up);
  }
  return open;
}

/** Every container of the document. */
export function allContainers(root: Json): Set<string> {
  const open = new Set<string>();
  const walk = (value: Json, path: string): void => {
    const children = childrenOf(value);
    if (children.length > 0) open.add(path);
    for (const [name, child] of children) walk(child, childPath(path, name));
  };
  walk(root, "");
  return open;
}

/** A value as people want it in their clipboard: a text without its quotes, all else as JSON. */
export const copyOf = (value: Json | undefined): string => (typeof value === "string" ? value : textOfJson(value));

export function valueAt(root: Json, path: string): Json | undefined {
  let value: Json | undefined = root;
  for (const part of path.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (value === null || typeof value !== "object") return undefined;
    value = (value as Record<string, Json>)[key];
  }
  return value;
}
