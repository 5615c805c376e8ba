// What automatic certificates sound like in the log: one sentence each, with the cause and what comes next.
import type { Log } from "../log.ts";
import type { Name } from "./name.ts";
import { type AcmeError, wordsOf } from "./problem.ts";

const TOPIC = "acme";
/** An ending certificate is an error, not a warning, from here on. */
const ENDING_MS = 7 * 24 * 3_600_000;

export type AcmeLog = Pick<Log, "debug" | "info" | "warn" | "error">;

export class Told {
  readonly #log: AcmeLog;

  constructor(log: AcmeLog) {
    this.#log = log;
  }

  storage(what: string): void {
    this.#log.warn(TOPIC, what);
  }

  account(what: string): void {
    this.#log.info(TOPIC, what);
  }

  issued(name: string, by: string, notAfterMs: number): void {
    const until = timeOf(notAfterMs);
    this.#log.info(TOPIC, `certificate for ${name} issued (${by}), valid until ${until}`, {
      name,
      by,
      not_after: until,
    });
  }

  failed({ name, facts, failures, nextMs }: Name, { message, type }: AcmeError, nowMs: number): void {
    const leftMs = facts === undefined ? Infinity : facts.notAfterMs - nowMs;
    const goesOn = facts === undefined
      ? ""
      : `; the old certificate, which ${leftMs > 0 ? "ends" : "ended"} ${timeOf(facts.notAfterMs)}, goes on`;
    const next = timeOf(nextMs);
    this.#log[leftMs < ENDING_MS ? "error" : "warn"](
      TOPIC,
      `no ${
        facts === undefined ? "" : "new "
      }certificate for ${name}: ${message}${goesOn}; next attempt ${next}`,
      {
        name,
        type,
        failures,
        next_attempt: next,
        not_after: facts === undefined ? null : timeOf(facts.notAfterMs),
      },
    );
  }

  ended(name: string, notAfterMs: number): void {
    const message = `the certificate of ${name} ended ${
      timeOf(notAfterMs)
    }; it goes on until there is a new one`;
    this.#log.error(TOPIC, message, { name, not_after: timeOf(notAfterMs) });
  }

  elsewhere(name: string): void {
    this.#log.debug(TOPIC, `${name} is being ordered by another instance`, { name });
  }

  notRenewed(name: string, why: string): void {
    this.#log.info(TOPIC, `${name} is not renewed: ${why}`, { name });
  }

  noName(name: string, flaw: string): void {
    this.#log.error(TOPIC, `no certificate for ${name}: ${flaw}`, { name });
  }

  /** Something beside the order itself; what is done about it follows from `what`. */
  trouble(level: "warn" | "error", name: string, what: string, error: unknown): void {
    this.#log[level](TOPIC, `${what}: ${wordsOf(error)}`, { name });
  }
}

export function timeOf(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, "Z");
}
