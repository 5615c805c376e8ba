// The keys of session tickets: one set for the process, so that a session that one reactor opened another one
// resumes. Their own, rotated; or those of a file, which several machines share.
import { randomBytes } from "node:crypto";
import { errnoName } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";
import { readPem } from "./profiles.ts";

/** As nginx and ffi/tls_store.c have them. */
const KEY_BYTES = 80;
const KEYS_MAX = 16;
/** A ticket is good for a day: its key is known that long after the last ticket was sealed with it. */
const ROTATE_MS = 12 * 3_600_000;
const KEPT = 3;
/** How often it is looked whether it is time. */
export const LOOK_MS = 15 * 60_000;

/** As the next process gets them: in base64, the one that seals first. */
export interface OwnKeys {
  readonly keys: readonly string[];
  readonly rotatedAtMs: number;
}

export class TicketKeys {
  #keys: Buffer[] = [];
  readonly #path: string | undefined;
  /** Whether sessions are sealed with them. */
  #inUse = false;

  /** When the key was made that seals, by the wall clock. */
  #rotatedAtMs = 0;

  /**
   * @param handed what the process before this one told by `own`: its tickets are opened here
   * @throws Error with a line for people when the file is none of keys
   */
  constructor(path: string | undefined, handed?: OwnKeys) {
    this.#path = path;
    if (path !== undefined) this.read();
    else if (handed === undefined || !this.#restore(handed)) this.rotate();
  }

  /** Keys that are nobody else's; undefined: they are a file's. */
  get own(): OwnKeys | undefined {
    const keys = this.#keys.map((key) => key.toString("base64"));
    return this.#path === undefined ? { keys, rotatedAtMs: this.#rotatedAtMs } : undefined;
  }

  #restore({ keys, rotatedAtMs }: OwnKeys): boolean {
    const bytes = keys.map((key) => Buffer.from(key, "base64")).slice(0, KEPT);
    if (bytes.length === 0 || bytes.some(({ length }) => length !== KEY_BYTES)) return false;
    this.#set(bytes);
    this.#rotatedAtMs = rotatedAtMs;
    return true;
  }

  /** Rotates once the key that seals is old enough, whichever process made it. */
  rotateIfDue(): void {
    const ageMs = Date.now() - this.#rotatedAtMs;
    if (ageMs >= ROTATE_MS || ageMs < 0) this.rotate();
  }

  get path(): string | undefined {
    return this.#path;
  }

  /** From here on tickets are sealed and opened with these. */
  use(): void {
    this.#inUse = true;
    this.#set(this.#keys);
  }

  get paths(): readonly string[] {
    return this.#path === undefined ? [] : [this.#path];
  }

  /** A new key seals from here on; the last ones still open. Keys of a file are whoever writes it's to rotate. */
  rotate(): void {
    if (this.#path !== undefined) return;
    this.#set([randomBytes(KEY_BYTES), ...this.#keys].slice(0, KEPT));
    this.#rotatedAtMs = Date.now();
  }

  /** Reads the file again; true if other keys stand in it. */
  read(): boolean {
    if (this.#path === undefined) return false;
    const bytes = Buffer.from(readPem(this.#path));
    const count = bytes.length / KEY_BYTES;
    if (!Number.isInteger(count) || count < 1 || count > KEYS_MAX) {
      throw new Error(
        `${this.#path} has ${bytes.length} bytes; 1 to ${KEYS_MAX} keys of ${KEY_BYTES} are expected: ` +
          `openssl rand ${KEY_BYTES}`,
      );
    }
    const keys = Array.from(
      { length: count },
      (_, at) => bytes.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES),
    );
    if (Buffer.concat(keys).equals(Buffer.concat(this.#keys))) return false;
    this.#set(keys);
    return true;
  }

  #set(keys: Buffer[]): void {
    this.#keys = keys;
    if (!this.#inUse) return;
    const set = sys.ticket_keys(Buffer.concat(keys), keys.length);
    if (set < 0) throw new Error(`ticket keys: ${errnoName(-set)}`);
  }
}
