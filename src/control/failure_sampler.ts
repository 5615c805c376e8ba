// When there is no access log, connections that ended by an error are still told, but as samples: a few
// a second for each reason, then how many more there were. A server that is down must not fill a disk.
import { REASON_COUNT, REASONS } from "../shared/reason.ts";
import { errnoName } from "../sys/errno.ts";
import type { AccessRecord } from "./access_record.ts";
import type { Log } from "./log.ts";

/** Lines a second for each reason. */
const SAMPLES_PER_SECOND = 5;
const WINDOW_MS = 1_000;

export class FailureSampler {
  readonly #log: Log;
  /** By reason, in the second under way. */
  readonly #seen = new Float64Array(REASON_COUNT);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Tells of a record, or only counts it. Reasons that are no error are nothing to tell. */
  add(record: AccessRecord): void {
    const { name, type, text } = REASONS[record.reason];
    if (type === null) return;
    this.#timer ??= setTimeout(() => this.close(), WINDOW_MS);
    if (++this.#seen[record.reason] > SAMPLES_PER_SECOND) return;
    const { client, listener, upstream, server, errno, tried, detail } = record;
    const because = errno === 0 ? detail : errnoName(errno);
    const more = because === "" ? "" : ` (${because})`;
    const where = server === "" ? "" : `; last server ${server}`;
    const from = client === "" ? "a client" : `client ${client}`;
    this.#log.write(
      "warn",
      "connection",
      `${from} of listener "${listener}": ${name}${more}: ${text}${where}`,
      {
        client: known(client),
        listener: known(listener),
        upstream: known(upstream),
        server: known(server),
        reason: name,
        type,
        errno: errno === 0 ? null : errnoName(errno),
        detail: known(detail),
        tried,
        up_bytes: record.upBytes,
        down_bytes: record.downBytes,
        duration_ms: record.durationMs,
      },
      record.atMs,
    );
  }

  /** Ends the second under way: says how many records of each reason were not told. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#seen.forEach((seen, reason) => {
      const more = seen - SAMPLES_PER_SECOND;
      const { name } = REASONS[reason];
      if (more > 0) {
        this.#log.warn("connection", `and ${more} more within a second: ${name}`, { reason: name, more });
      }
    });
    this.#seen.fill(0);
  }
}

/** What there is none of is null, as in the access log and in the admin API's answers. */
function known(text: string): string | null {
  return text === "" ? null : text;
}
