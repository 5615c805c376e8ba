// What a Sluice says of itself: /status and /metrics of its admin API, and what the kernel says of it.
import { request } from "node:http";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Status } from "../../src/control/status_view.ts";
import { within } from "./waiting.ts";

export type { Status };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Asks an admin API at `http://HOST:PORT` or `unix:/PATH`. */
export function ask(admin: string, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const url = new URL(admin.startsWith("unix:") ? "http://localhost" : admin);
  const where = admin.startsWith("unix:")
    ? { socketPath: admin.slice("unix:".length) }
    : { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port };
  const answer = new Promise<Answer>((resolve, reject) => {
    const asked = request({ ...where, path, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        const body = Buffer.concat(parts).toString("utf8");
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
    });
    asked.on("error", reject);
    asked.end();
  });
  return within(`an answer to ${path}`, answer);
}

/** Values by `name{label="value",...}`, labels as they are written. @throws on a line that is no metric */
export function parseMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || /^# (HELP|TYPE) [a-z_]+ \S/.test(line)) continue;
    const match = /^([a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})?) (-?[0-9.e+-]+|NaN|[+-]Inf)$/.exec(
      line,
    );
    if (match === null) throw new Error(`no line of metrics: ${line}`);
    if (values.has(match[1])) throw new Error(`twice in the metrics: ${match[1]}`);
    values.set(match[1], Number(match[2].replace("Inf", "Infinity")));
  }
  return values;
}

/** What a process has open: `socket:[123]`, `/dev/null`, sorted. */
export function openFds(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readlinkSync(`${folder}/${fd}`)];
    } catch {
      return []; // closed while we looked
    }
  }).sort();
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? NaN) * 1024;
}
