// The lines of the access log as operations of the Plan, with every text they may need in its arena, made
// once here: a Worker makes no texts of its own when it starts.
import {
  EndingAt,
  Line,
  LINES,
  type LogLines,
  type LogLinesSizes,
  Needs,
  OpAt,
  Told,
} from "../../plan/log_lines.ts";
import type { Plan } from "../../plan/plan.ts";
import { DETAILS } from "../../proto/detail.ts";
import { REASONS } from "../../shared/reason.ts";
import { EBUG, errnoName } from "../../sys/errno.ts";
import type { Directory } from "../directory.ts";
import type { ArenaWriter, Span } from "./arena.ts";
import { shown } from "./errors.ts";
import type { AccessLines, LinePiece } from "./log_templates.ts";

/** The lines of one generation. */
export interface PlacedLines {
  readonly sizes: LogLinesSizes;
  /** A name of the configuration as lines have it. */
  readonly nameOf: (name: string) => Span;
  fill(lines: LogLines): void;
}

/** The highest errno that Linux has; behind it is C's own. */
const ERRNO_MAX = 133;
const ERRNOS = [...Array(ERRNO_MAX + 1).keys(), EBUG];

/** Values that are never absent: what stands behind them is printed with what follows. */
const CERTAIN: ReadonlySet<Told> = new Set([
  Told.Time,
  Told.ClfTime,
  Told.UpBytes,
  Told.DownBytes,
  Told.DurationMs,
  Told.Tried,
  Told.Reason,
]);

/** Adds the lines to the arena, each text once. `logged` false: only names are. */
export function placeLines(
  arena: ArenaWriter,
  { http, tcp, udp }: AccessLines,
  logged: boolean,
): PlacedLines {
  // Names are there once. Escaped for JSON, they fit a line of text as well.
  const json = http.json || tcp.json;
  const encoder = new TextEncoder(), placed = new Map<string, Span>();
  const spanOf = (text: string): Span => {
    const known = placed.get(text);
    if (known !== undefined) return known;
    const bytes = encoder.encode(text), span = { at: arena.add(bytes), bytes: bytes.length };
    placed.set(text, span);
    return span;
  };
  const nameOf = (name: string): Span => spanOf(logText(name, json));
  if (!logged) {
    return {
      sizes: { lines: 0, ops: 0, reasons: 0, errnos: 0, details: 0, endings: 0 },
      nameOf,
      fill: () => {},
    };
  }
  const op: number[] = [], ends = [0], endings: Span[] = [];
  for (const template of [http, tcp, udp]) {
    op.push(...operationsOf(joined(template.pieces), endings, spanOf, template.json));
    ends.push(op.length);
  }
  const reasons = REASONS.map(({ name }) => nameOf(name));
  const types = REASONS.map(({ type }) => nameOf(type ?? ""));
  const errnos = ERRNOS.map((errno) => nameOf(errno === 0 ? "" : errnoName(errno)));
  const details = DETAILS.map(nameOf);
  return {
    sizes: {
      lines: LINES,
      ops: op.length,
      reasons: reasons.length,
      errnos: errnos.length,
      details: details.length,
      endings: endings.length,
    },
    nameOf,
    fill(lines) {
      lines.op.set(op);
      for (const [line, template] of [[Line.Http, http], [Line.Tcp, tcp], [Line.Udp, udp]] as const) {
        lines.lineFirst[line] = ends[line - 1];
        lines.lineEnd[line] = ends[line];
        lines.lineJson[line] = template.json ? 1 : 0;
        lines.lineNeeds[line] = template.pieces.reduce((bits, { told }) => bits | needsOf(told), 0);
      }
      fillTexts(lines.reasonAt, lines.reasonBytes, reasons);
      fillTexts(lines.typeAt, lines.typeBytes, types);
      fillTexts(lines.errnoAt, lines.errnoBytes, errnos);
      fillTexts(lines.detailAt, lines.detailBytes, details);
      fillTexts(lines.endingAt, lines.endingBytes, endings);
    },
  };
}

/** Names of what has left, though its number is not free: lines of connections it still has tell them. */
export interface LeftNames {
  fill(plan: Plan): void;
}

type Named = readonly [number: number, name: Span];

export function placeLeft(directory: Directory, nameOf: PlacedLines["nameOf"]): LeftNames {
  const { current } = directory;
  const left = { listeners: [] as Named[], upstreams: [] as Named[], servers: [] as Named[] };
  for (const { number, name } of directory.listeners.values()) {
    if (!current.listeners.has(number)) left.listeners.push([number, nameOf(name)]);
  }
  for (const { number, name } of directory.upstreams.values()) {
    if (!current.upstreams.has(number)) left.upstreams.push([number, nameOf(name)]);
  }
  for (const { number, address } of directory.servers.values()) {
    if (!current.servers.has(number)) left.servers.push([number, nameOf(address)]);
  }
  return {
    fill(plan) {
      for (const [number, name] of left.listeners) {
        plan.listenerNameAt[number] = name.at;
        plan.listenerNameBytes[number] = name.bytes;
      }
      for (const [number, name] of left.upstreams) {
        plan.upstreamNameAt[number] = name.at;
        plan.upstreamNameBytes[number] = name.bytes;
      }
      for (const [number, name] of left.servers) {
        plan.serverNameAt[number] = name.at;
        plan.serverNameBytes[number] = name.bytes;
      }
    },
  };
}

/** A name of the configuration fit for the quoted part of a line. */
export function logText(name: string, json: boolean): string {
  return json ? JSON.stringify(name).slice(1, -1) : shown(name.replace(/["\\]/g, "\\$&"), Infinity);
}

/** The same line with as few texts as it can be printed from, and the newline at its end. */
function joined(pieces: readonly LinePiece[]): LinePiece[] {
  const few: LinePiece[] = [];
  let before = "";
  for (const piece of pieces) {
    if (piece.told === Told.Literal) {
      before += piece.before;
      continue;
    }
    const isCertain = CERTAIN.has(piece.told);
    few.push({
      ...piece,
      before: before + piece.before,
      behind: isCertain ? "" : piece.behind,
      none: before + piece.none,
    });
    before = isCertain ? piece.behind : "";
  }
  few.push({ told: Told.Literal, before: `${before}\n`, behind: "", none: "", argument: "" });
  return few;
}

/** What depends on the reason alone when there is no errno. */
const OF_ENDING: ReadonlySet<Told> = new Set([Told.Reason, Told.Type, Told.Errno, Told.Detail, Told.Literal]);
/** Fewer are not worth a text for each reason. */
const ENDING_PIECES_MIN = 2;

/** The integers of all pieces. Those at the end that tell how it ended come after an operation that tells the
 * same at once: nine lines of ten end without an errno. */
function operationsOf(
  pieces: readonly LinePiece[],
  endings: Span[],
  spanOf: (text: string) => Span,
  json: boolean,
): number[] {
  const op: number[] = [];
  for (let at = 0; at < pieces.length;) {
    const length = pieces.slice(at).findIndex(({ told }) => !OF_ENDING.has(told));
    const run = pieces.slice(at, length === -1 ? pieces.length : at + length);
    if (run.length >= ENDING_PIECES_MIN) {
      const ending: number[] = new Array(OpAt.Length).fill(0);
      ending[OpAt.Told] = Told.Ending;
      ending[EndingAt.First] = endings.length;
      ending[EndingAt.Skip] = (run.length + 1) * OpAt.Length;
      op.push(...ending);
      endings.push(
        ...REASONS.map((reason) => spanOf(run.map((piece) => endingOf(piece, reason, json)).join(""))),
      );
    }
    const taken = run.length === 0 ? [pieces[at]] : run;
    op.push(...taken.flatMap((piece) => integersOf(piece, spanOf)));
    at += taken.length;
  }
  return op;
}

/** The text of a piece of an end without an errno. */
function endingOf(
  { told, before, behind, none }: LinePiece,
  { name, type }: (typeof REASONS)[number],
  json: boolean,
): string {
  const value = told === Told.Literal ? "" : told === Told.Reason ? name : told === Told.Type ? type : null;
  return value === null ? none : before + logText(value, json) + behind;
}

function integersOf(
  { told, before, behind, none, argument }: LinePiece,
  spanOf: (text: string) => Span,
): number[] {
  const integers: number[] = new Array(OpAt.Length).fill(0);
  integers[OpAt.Told] = told;
  const texts = [
    [OpAt.BeforeAt, before],
    [OpAt.BehindAt, behind],
    [OpAt.NoneAt, CERTAIN.has(told) ? "" : none],
    [OpAt.ArgumentAt, argument],
  ] as const;
  for (const [column, text] of texts) {
    const { at, bytes } = spanOf(text);
    integers[column] = at;
    integers[column + 1] = bytes;
  }
  return integers;
}

function needsOf(told: Told): number {
  if (told === Told.RequestField) return Needs.Head;
  return told === Told.RequestId ? Needs.Head | Needs.Id : 0;
}

function fillTexts(at: Int32Array, bytes: Int32Array, spans: readonly Span[]): void {
  spans.forEach((span, row) => {
    at[row] = span.at;
    bytes[row] = span.bytes;
  });
}
