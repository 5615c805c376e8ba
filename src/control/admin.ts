// The admin API. (Being written: the signatures are final.)
import type { Admin as AdminAddress } from "./config/schema.ts";
import type { Sight } from "./sight.ts";

export interface AdminOptions {
  readonly admin: AdminAddress;
  readonly token: string | undefined;
  readonly sight: Sight;
}

/** The admin address could not be opened: one line with the remedy. */
export class AdminError extends Error {
  override name = "AdminError";
}

export class Admin {
  /** Where it listens: `http://127.0.0.1:9900`, `unix:/run/sluice.sock`. */
  readonly where: string = "";
  /** Opens the API. @returns undefined when it is off, or when a default one failed (logged as a warning)
   * @throws AdminError when one that was asked for cannot be opened */
  static open(_options: AdminOptions): Promise<Admin | undefined> {
    return Promise.resolve(undefined);
  }
  /** Ends at once, open requests included; removes the unix socket. */
  close(): void {}
}
