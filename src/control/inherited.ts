// Listening sockets that are open already when we start: a service manager's, or those of the Sluice before this one.
// A listener that is bound where one of them is takes that one, and nothing is bound anew: nobody who waits in its
// queue is lost, and no right to its port is needed.
import { ARENA_SCRATCH } from "../base/limits.ts";
import { EAFNOSUPPORT, EBADF, EINVAL, EISCONN, ENOTSOCK, EPROTOTYPE, errnoName } from "../sys/errno.ts";
import { INHERITED_DATAGRAMS } from "../sys/symbols.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { decodeAddress, encodeAddress, formatAddress, type LiteralAddress } from "./config/address.ts";

export interface InheritedSocket {
  readonly fd: number;
  /** Where the kernel has it bound. */
  readonly address: LiteralAddress;
  readonly datagrams: boolean;
  /** Where it was to be bound, if that is not the same: on any port (0). */
  readonly asked?: LiteralAddress;
  /** Those of one set, which an earlier Sluice opened, are taken together, and no other with them: the kernel has shared
   * clients out among them, and would do it anew with one more. */
  readonly set?: string;
  /** Whoever gave it goes on having it, as a service manager does: it listens on when we stop, and what waits in its
   * queue then is for whom is started next. Without it, it is a Sluice's own. */
  readonly isLent?: boolean;
  /** What whoever gave it calls it. */
  readonly name?: string;
}

/** Those that are to be had; each is given once. */
export class Inherited {
  readonly #left: InheritedSocket[];

  constructor(sockets: readonly InheritedSocket[]) {
    this.#left = [...sockets];
  }

  /** At most `most` of those for an address, in their order. */
  take(address: LiteralAddress, datagrams: boolean, most: number): readonly InheritedSocket[] {
    const wanted = keyOf(address), taken: InheritedSocket[] = [];
    for (const socket of [...this.#left]) {
      if (taken.length > 0 && socket.set !== taken[0].set) continue;
      if (taken.length >= most || socket.datagrams !== datagrams) continue;
      if (keyOf(socket.address) !== wanted && (!socket.asked || keyOf(socket.asked) !== wanted)) continue;
      taken.push(socket);
      this.#left.splice(this.#left.indexOf(socket), 1);
    }
    return taken;
  }

  /** What nobody has asked for. */
  get left(): readonly InheritedSocket[] {
    return this.#left;
  }
}

/** Scopes are names or numbers: what is compared is what the kernel is told. */
function keyOf(address: LiteralAddress): string {
  if (address.kind === "unix") return address.path;
  try {
    return formatAddress(encodeAddress(address), 0);
  } catch {
    return ""; // no such interface: nothing is bound there
  }
}

/** What socket an fd is, that somebody else opened; or why it is none to listen with. From here on no child of ours
 * inherits it in turn. */
export function inheritedOf(fd: number): InheritedSocket | string {
  const kind = sys.inherited(fd, ARENA_SCRATCH);
  if (kind < 0) return notToListenWith(-kind);
  const address = decodeAddress(arenaBytes, ARENA_SCRATCH);
  if (address === undefined) return "a unix socket without a path, which no listener can name";
  return { fd, address, datagrams: (kind & INHERITED_DATAGRAMS) !== 0 };
}

/** Why an fd is not a listening socket, in words. */
export function notToListenWith(errno: number): string {
  switch (errno) {
    case EBADF:
      return "no open file";
    case ENOTSOCK:
      return "no socket";
    case EAFNOSUPPORT:
      return "neither an IP nor a unix socket";
    case EPROTOTYPE:
      return "a kind of socket that no listener has: TCP, UDP and unix streams are known";
    case EINVAL:
      return "a socket that does not listen (a socket unit needs Accept=no)";
    case EISCONN:
      return "a socket of datagrams for one peer alone";
    default:
      return errnoName(errno);
  }
}
