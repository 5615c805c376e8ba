// Why an address cannot be listened on: found without listening, or said by the kernel, in words with a remedy.
import { accessSync, constants, lstatSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { ARENA_SCRATCH, LISTENERS_MAX, NONE } from "../base/limits.ts";
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EMFILE, ENOENT, errnoName } from "../sys/errno.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { LISTEN_DRY, UDP_DRY } from "../sys/symbols.ts";
import { encodeAddress, type LiteralAddress } from "./config/address.ts";
import { settingFlaw } from "./sockets.ts";

/** The kernel cuts it to net.core.somaxconn. */
export const BACKLOG = 65_535;

/** A listener that could not be opened: one line with the remedy. */
export class ListenError extends Error {
  override name = "ListenError";
}

/** Why an address could not be listened on. `inUse`: by somebody who may be gone when it matters. */
export interface AddressFlaw {
  readonly what: string;
  readonly remedy: string;
  readonly inUse: boolean;
  /** The key under `socket` that it is about; without it, the address. */
  readonly key?: string;
}

/** Why an address could not be listened on now with settings `number`, found without listening. In use may mean: by
 * the running Sluice. */
export function addressFlaw(
  address: LiteralAddress,
  { number = NONE, datagrams = false, mptcp = false }: {
    readonly number?: number;
    readonly datagrams?: boolean;
    readonly mptcp?: boolean;
  } = {},
): AddressFlaw | undefined {
  if (address.kind === "unix") return pathFlaw(address.path);
  const flaw = (text: string) => {
    const [what, ...remedy] = text.split("; ");
    return { what, remedy: remedy.join("; "), inUse: false };
  };
  let record: Uint8Array;
  try {
    record = addressRecord(address.ip, address);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    return flaw(error.message);
  }
  arenaBytes.set(record, ARENA_SCRATCH);
  const result = datagrams
    ? sys.udp_listen(LISTENERS_MAX - 1, ARENA_SCRATCH, UDP_DRY)
    : sys.listen(LISTENERS_MAX - 1, ARENA_SCRATCH, LISTEN_DRY, BACKLOG, number);
  if (result === 0) return undefined;
  const setting = number === NONE || datagrams ? undefined : settingFlaw(-result, mptcp);
  if (setting !== undefined) return { ...setting, inUse: false };
  if (result !== -EADDRINUSE) return flaw(listenProblem(-result, address, datagrams));
  return {
    what: "the address is in use now, maybe by the running Sluice",
    remedy: `${shownBy(datagrams)} shows by whom`,
    inUse: true,
  };
}

function pathFlaw(path: string): AddressFlaw | undefined {
  const directory = dirname(path);
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT"
      ? { what: "the directory of that path does not exist", remedy: "create it first", inUse: false }
      : {
        inUse: false,
        what: "this user may not make a socket there",
        remedy: `change the owner or the mode of ${directory}`,
      };
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  return found.isSocket()
    ? {
      what: "a socket is there now, maybe of the running Sluice",
      remedy: "ss -lxp shows whose it is",
      inUse: true,
    }
    : {
      what: "a file is there that is no socket",
      remedy: "remove it, or choose another path",
      inUse: false,
    };
}

/** @throws ListenError when the address names an interface that is not there */
export function addressRecord(bind: string, address: LiteralAddress): Uint8Array {
  try {
    return encodeAddress(address);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ListenError(`${bind}: ${why}; \`ip -6 addr\` lists the interfaces`);
  }
}

/** The command that shows who has a port. */
function shownBy(datagrams: boolean): string {
  return datagrams ? "ss -lunp" : "ss -ltnp";
}

export function listenProblem(errno: number, address: LiteralAddress, datagrams: boolean): string {
  switch (errno) {
    case EADDRINUSE:
      return address.kind === "unix"
        ? "the address is already in use; stop what listens there (ss -lxp shows it), remove a file that is no " +
          "socket, or choose another path"
        : `the address is already in use; stop what listens there (${
          shownBy(datagrams)
        } shows it) or choose another port`;
    case EACCES:
      return address.kind === "ip" && address.port < unprivilegedPort()
        ? `port ${address.port} is privileged; run as root, grant CAP_NET_BIND_SERVICE, or choose a port of ` +
          `${unprivilegedPort()} or more`
        : "permission denied; choose a path or port that this user may use";
    case EADDRNOTAVAIL:
      return "this machine has no such address; `ip addr` lists those it has";
    case ENOENT:
      return "the directory of that path does not exist; create it first";
    case EAFNOSUPPORT:
      return "this machine has no IPv6; write the address as 0.0.0.0:PORT";
    case EMFILE:
      return "no file descriptors left; raise the limit (ulimit -n)";
    default:
      return errnoName(errno);
  }
}

function unprivilegedPort(): number {
  try {
    return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8")) || 1024;
  } catch {
    return 1024;
  }
}
