/** The one table: medians with their spread, Sluice's ratio to the best peer of each row, and its target. */
import type { Row } from "./line.ts";

const COLUMNS = ["sluice", "haproxy", "haproxy splice", "nginx"];
const PEERS = COLUMNS.filter((column) => column !== "sluice");
const NONE = "-";

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function taken(row: Row, column: string): number[] {
  return (row.samples.get(column) ?? []).filter((value) => value !== undefined);
}

/** "median (least - most)". */
function cell(row: Row, column: string): string {
  const values = taken(row, column);
  if (values.length === 0) return NONE;
  const show = (value: number) => value.toFixed(row.digits);
  const middle = show(median(values));
  if (values.length === 1) return middle;
  return `${middle} (${show(Math.min(...values))} - ${show(Math.max(...values))})`;
}

/** The peer with the best median. */
function bestPeer(row: Row): string | undefined {
  const sign = row.better === "less" ? 1 : -1;
  return PEERS.filter((peer) => taken(row, peer).length > 0)
    .sort((a, b) => sign * (median(taken(row, a)) - median(taken(row, b))))[0];
}

/** Sluice over the best peer: the median of the rounds' own ratios, which share their minute. */
function ratio(row: Row): number | undefined {
  const peer = bestPeer(row);
  const ours = row.samples.get("sluice");
  if (peer === undefined || ours === undefined) return undefined;
  const theirs = row.samples.get(peer)!;
  const ratios = ours.flatMap((value, round) => {
    const other = theirs[round];
    return value === undefined || other === undefined || other === 0 ? [] : [value / other];
  });
  return ratios.length === 0 ? undefined : median(ratios);
}

function ratioCell(row: Row): string {
  const value = ratio(row);
  return value === undefined ? NONE : `${value.toFixed(2)} x ${bestPeer(row)}`;
}

/** What the ratio must be, and whether it is. */
function mustCell(row: Row): string {
  if (row.must === undefined) return NONE;
  const value = ratio(row);
  const least = row.better === "more";
  const target = `${least ? ">=" : "<="} ${row.must}`;
  if (value === undefined) return target;
  return `${target}: ${(least ? value >= row.must : value <= row.must) ? "met" : "MISSED"}`;
}

/** A Markdown table, padded so that it reads as text too. */
export function table(rows: Row[]): string {
  const head = ["line", "figure", "unit", "better", ...COLUMNS, "Sluice / best peer", "must be"];
  const cells = rows.map((row) => [
    row.line,
    row.question,
    row.unit,
    row.better,
    ...COLUMNS.map((column) => cell(row, column)),
    ratioCell(row),
    mustCell(row),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column].length))
  );
  const print = (row: string[]) => `| ${row.map((text, at) => text.padEnd(widths[at])).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [print(head), rule, ...cells.map(print)].join("\n");
}
