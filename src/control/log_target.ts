// Where access records go, as the control plane holds it: it opens files before anything starts, and again
// when they were renamed; the log Worker only writes.
import { hostname } from "node:os";
import process from "node:process";
import { ADDRESS_BYTES } from "../base/limits.ts";
import type { LogState } from "../shared/log_state.ts";
import { EACCES, EISDIR, ENOENT, ENOTDIR, ENXIO, EPERM, EROFS, errnoName } from "../sys/errno.ts";
import { sys } from "../sys/sys.ts";
import { type Address, encodeAddress, type LiteralAddress } from "./config/address.ts";
import { shown } from "./config/errors.ts";
import type { AccessLogTarget } from "./config/log_place.ts";
import type { LogBirth } from "./log_writer.ts";
import { hostnameFit } from "./syslog_sink.ts";

/** A place that could not be opened; the message says why and what to do. */
export class LogTargetError extends Error {
  override name = "LogTargetError";
}

/** The addresses that a host name stands for now. */
export type Resolve = (address: Address) => readonly LiteralAddress[];

type Target = Exclude<AccessLogTarget, { readonly kind: "off" }>;

const STDOUT = 1, STDERR = 2;

export class LogTarget {
  readonly #to: Target;
  readonly #state: LogState;
  /** -1: lines go to a syslog. */
  #fd = -1;
  #address: Uint8Array = new Uint8Array(ADDRESS_BYTES);

  /** Opens it. @throws LogTargetError when a file cannot be opened */
  constructor(to: Target, state: LogState) {
    this.#to = to;
    this.#state = state;
    if (to.kind === "file") this.#fd = openFile(to.path, -1);
    else if (to.kind !== "syslog") this.#fd = to.kind === "stdout" ? STDOUT : STDERR;
  }

  /** What the log Worker is told. */
  get birth(): LogBirth["to"] {
    const to = this.#to;
    return to.kind === "syslog"
      ? { kind: "syslog", transport: to.transport, hostname: hostnameFit(hostname()), pid: process.pid }
      : { kind: "fd", fd: this.#fd };
  }

  /** Opens a file again, under the fd that it has: the Worker's next write goes there.
   * @throws LogTargetError: the old file stays in use */
  reopen(): void {
    if (this.#to.kind === "file") openFile(this.#to.path, this.#fd);
  }

  /** Whether the syslog's address is one here. @throws LogTargetError as `resolve` does */
  check(resolve: Resolve): void {
    if (this.#to.kind === "syslog") recordOf(this.#to, resolve);
  }

  /** Takes the syslog's address as it is now; the first one, if a name has several.
   * @throws LogTargetError when it names an interface that this machine does not have: the first time only */
  resolve(resolve: Resolve): void {
    if (this.#to.kind !== "syslog") return;
    if (this.#to.address.kind !== "name" && this.#address[0] !== 0) return; // it stays what it is
    const record = recordOf(this.#to, resolve);
    if (record.every((byte, at) => byte === this.#address[at])) return;
    this.#address = record;
    this.#state.putAddress(record);
  }

  /** What it means that writing fails by `errno`. */
  failureText(errno: number): string {
    const name = errnoName(errno);
    return this.#to.kind === "syslog"
      ? `cannot reach ${
        shown(this.#to.text)
      }: ${name}; records wait for it as far as there is room, the rest is lost`
      : `cannot write: ${name}; records are lost until it works again`;
  }

  /** Whether the log of Sluice itself goes to the same place, where nobody reads that it fails. */
  get isStderr(): boolean {
    return this.#to.kind === "stderr";
  }

  close(): void {
    if (this.#to.kind === "file" && this.#fd >= 0) sys.log_close(this.#fd);
    this.#fd = -1;
  }
}

/** @param as an fd that the file takes the place of; -1: a new one */
function openFile(path: string, as: number): number {
  const fd = sys.log_open(new TextEncoder().encode(path + "\0"), as);
  if (fd < 0) throw new LogTargetError(`cannot open ${shown(path)}: ${openProblem(-fd)}`);
  return fd;
}

function openProblem(errno: number): string {
  switch (errno) {
    case ENOENT:
    case ENOTDIR:
      return "its directory does not exist; create it first";
    case EACCES:
    case EPERM:
      return "permission denied; choose a file that this user may write";
    case EISDIR:
      return "it is a directory; write the path of a file";
    case EROFS:
      return "the file system is read-only; choose another place";
    case ENXIO:
      return "it is a pipe or a socket that nobody reads; start its reader first";
    default:
      return errnoName(errno);
  }
}

/** The address of a syslog as it is now, all zeroes where it has none. @throws LogTargetError */
function recordOf({ address, text }: Extract<Target, { kind: "syslog" }>, resolve: Resolve): Uint8Array {
  const [found] = resolve(address);
  try {
    return found === undefined ? new Uint8Array(ADDRESS_BYTES) : encodeAddress(found);
  } catch (error) {
    throw new LogTargetError(`${shown(text)}: ${(error as Error).message}`);
  }
}
