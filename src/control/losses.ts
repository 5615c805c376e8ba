// What was lost, or let by, since it was last told: a line of the log each.
import { Count } from "../shared/stats.ts";
import { counted } from "./config/units.ts";
import type { Log } from "./log.ts";
import { type ReactorView, sumCount } from "./sight.ts";

export class Losses {
  readonly #reactors: readonly ReactorView[];
  readonly #log: Log;
  #dropped = 0;
  #uncounted = 0;

  constructor(reactors: readonly ReactorView[], log: Log) {
    this.#reactors = reactors;
    this.#log = log;
  }

  tell(): void {
    this.#tellDropped();
    this.#tellUncounted();
  }

  /** Lines of the access log that found no room: who reads it does not keep up. */
  #tellDropped(): void {
    const dropped = sumCount(this.#reactors, Count.LogDropped), lost = dropped - this.#dropped;
    this.#dropped = dropped;
    if (lost <= 0) return;
    const lines = counted(lost, "record");
    this.#log.warn("access-log", `${lines} found no room and ${lost === 1 ? "is" : "are"} lost`, { lost });
  }

  /** Connections whose source found no row: more sources than the table has are at it at once. */
  #tellUncounted(): void {
    const all = sumCount(this.#reactors, Count.SourcesFull), uncounted = all - this.#uncounted;
    this.#uncounted = all;
    if (uncounted <= 0) return;
    const came = `${
      counted(uncounted, "connection")
    } came from sources that found no place in the table of sources`;
    this.#log.warn("limits", `${came}: they are let in without limits of their own`, { uncounted });
  }
}
