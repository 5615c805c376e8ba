/** The one table: medians with their spread, and Sluice's ratio to the best peer of each row. */
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
function ratio(row: Row): string {
  const peer = bestPeer(row);
  const ours = row.samples.get("sluice");
  if (peer === undefined || ours === undefined) return NONE;
  const theirs = row.samples.get(peer)!;
  const ratios = ours.flatMap((value, round) => {
    const other = theirs[round];
    return value === undefined || other === undefined || other === 0 ? [] : [value / other];
  });
  return ratios.length === 0 ? NONE : `${median(ratios).toFixed(2)} x ${peer}`;
}

/** A Markdown table, padded so that it reads as text too. */
export function table(rows: Row[]): string {
  const head = ["line", "figure", "unit", "better", ...COLUMNS, "Sluice / best peer"];
  const cells = rows.map((row) => [
    row.line,
    row.question,
    row.unit,
    row.better,
    ...COLUMNS.map((column) => cell(row, column)),
    ratio(row),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column].length))
  );
  const print = (row: string[]) => `| ${row.map((text, at) => text.padEnd(widths[at])).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [print(head), rule, ...cells.map(print)].join("\n");
}
