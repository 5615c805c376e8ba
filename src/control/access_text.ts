// Lines of the access log for what no reactor can tell: connections that died with theirs. The same
// operations as in the Plan, written as text: these lines are few.
import { Told } from "../plan/log_lines.ts";
import { REASONS } from "../shared/reason.ts";
import { errnoName } from "../sys/errno.ts";
import type { AccessRecord } from "./access_record.ts";
import { logText } from "./config/compile_log.ts";
import type { AccessLines, LinePiece, LineTemplate } from "./config/log_templates.ts";

/** The line of a record, with its newline. */
export function accessText({ http, tcp, udp }: AccessLines, record: AccessRecord): string {
  const { json, pieces } = record.http !== undefined ? http : record.datagrams !== undefined ? udp : tcp;
  return pieces.map((piece) => pieceText(piece, json, record)).join("") + "\n";
}

function pieceText(piece: LinePiece, json: LineTemplate["json"], record: AccessRecord): string {
  if (piece.told === Told.Literal) return piece.before;
  const value = valueOf(piece.told, record);
  if (value === undefined) return piece.none;
  return piece.before + logText(value, json) + piece.behind;
}

/** What is told; undefined: nothing is known. The head of a request died with its reactor. */
function valueOf(told: Told, record: AccessRecord): string | undefined {
  const { http } = record;
  switch (told) {
    case Told.Time:
      return new Date(Math.floor(record.atMs)).toISOString().slice(0, -1);
    case Told.ClfTime:
      return clfTime(record.atMs);
    case Told.Client:
      return known(record.client);
    case Told.ClientAddress:
      return known(record.client.replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1"));
    case Told.ClientPort:
      return /:([0-9]+)$/.exec(record.client)?.[1];
    case Told.Listener:
      return known(record.listener);
    case Told.Upstream:
      return known(record.upstream);
    case Told.Server:
      return known(record.server);
    case Told.UpBytes:
      return String(record.upBytes);
    case Told.DownBytes:
      return String(record.downBytes);
    case Told.UpDatagrams:
      return record.datagrams?.up.toString();
    case Told.DownDatagrams:
      return record.datagrams?.down.toString();
    case Told.DurationMs:
      return milliseconds(record.durationMs);
    case Told.Tried:
      return String(record.tried);
    case Told.Reason:
      return REASONS[record.reason].name;
    case Told.Type:
      return REASONS[record.reason].type ?? undefined;
    case Told.Errno:
      return record.errno === 0 ? undefined : errnoName(record.errno);
    case Told.Detail:
      return known(record.detail);
    case Told.Status:
      return http === undefined || http.status === 0 ? undefined : String(http.status);
    case Told.QueueMs:
      return milliseconds(http?.queueMs ?? -1);
    case Told.ConnectMs:
      return milliseconds(http?.connectMs ?? -1);
    case Told.FirstByteMs:
      return milliseconds(http?.firstMs ?? -1);
    case Told.Reused:
      return http?.reused ? "" : undefined;
    default:
      return undefined;
  }
}

function known(text: string): string | undefined {
  return text === "" ? undefined : text;
}

/** One decimal: 12.3; undefined for what is below 0. */
function milliseconds(ms: number): string | undefined {
  if (ms < 0) return undefined;
  const tenths = Math.round(ms * 10);
  return `${Math.floor(tenths / 10)}.${tenths % 10}`;
}

/** `10/Oct/2000:13:55:36` */
function clfTime(atMs: number): string {
  const [, day, month, year, time] = /, (..) (...) (....) (.*) GMT$/.exec(new Date(atMs).toUTCString()) ?? [];
  return `${day}/${month}/${year}:${time}`;
}
