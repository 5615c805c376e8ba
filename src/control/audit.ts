// Who changed what through the admin API, and who was not let: lines of the log that are written whatever its level.
// Changes are told one by one, refusals as samples: whoever guesses at a token must not fill a disk.
import { shown } from "./config/errors.ts";
import type { Fields, Log } from "./log.ts";

/** Refusals that are told in a second; those beyond are counted. */
const REFUSALS_PER_SECOND = 5;
const WINDOW_MS = 1_000;
/** Of what a client says of itself. */
const SAYS_CHARACTERS_MAX = 80;

/** A client of the admin API. */
export interface Asker {
  /** `127.0.0.1:40000`, or that it came by the unix socket, which only its owner and root can. */
  readonly from: string;
  /** What it says of itself (User-Agent); "": nothing. */
  readonly says: string;
}

export class Audit {
  readonly #log: Log;
  #refused = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param what happened, with what was before and is now */
  changed(asker: Asker, what: string, fields: Fields): void {
    this.#log.audit("audit", `${what}; ${byText(asker)}`, { ...fields, ...byFields(asker) });
  }

  /** Somebody may not do this. */
  refused(asker: Asker, what: string, status: number, why: string): void {
    this.#timer ??= setTimeout(() => this.close(), WINDOW_MS).unref();
    if (++this.#refused > REFUSALS_PER_SECOND) return;
    const text = `${shown(what)} is refused with ${status}: ${why}; ${byText(asker)}`;
    this.#log.audit("audit", text, { status, ...byFields(asker) });
  }

  /** Says how many refusals of the second under way were not told. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const more = this.#refused - REFUSALS_PER_SECOND;
    if (more > 0) this.#log.audit("audit", `and ${more} more refused within a second`, { more });
    this.#refused = 0;
  }
}

export function byText({ from, says }: Asker): string {
  return `by ${from}${says === "" ? "" : ` (${shown(says, SAYS_CHARACTERS_MAX)})`}`;
}

function byFields({ from, says }: Asker): Fields {
  return { client: from, client_says: says === "" ? null : says.slice(0, SAYS_CHARACTERS_MAX) };
}
