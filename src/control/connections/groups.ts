// Connections counted by what they have in common: their source's address, listener, upstream, server or state. The
// groups are bounded; what finds no place among them is counted as others.
import { NONE } from "../../base/limits.ts";
import { formatAddress } from "../config/address.ts";
import type { Directory } from "../directory.ts";
import type { Grouping } from "./columns.ts";
import type { Sample } from "./rates.ts";
import { DOINGS, type Row } from "./row.ts";

/** Groups that are told apart. */
export const GROUPS_MAX = 65_536;

const PORT_AT = 2;
const PORT_BYTES = 2;

export class Group {
  readonly name: string | null;
  connections = 0;
  upBytes = 0;
  downBytes = 0;
  upRate = 0;
  downRate = 0;

  constructor(name: string | null) {
    this.name = name;
  }

  add(row: Row, nowMs: number, sample: Sample | undefined): void {
    this.connections++;
    this.upBytes += row.upBytes;
    this.downBytes += row.downBytes;
    if (sample === undefined) return;
    const up = sample.since(row, nowMs, "upBytes"), down = sample.since(row, nowMs, "downBytes");
    if (!Number.isNaN(up)) this.upRate += up;
    if (!Number.isNaN(down)) this.downRate += down;
  }
}

export class Groups {
  readonly others = new Group(null);
  readonly #by: Grouping;
  readonly #directory: Directory;
  readonly #most: number;
  readonly #groups = new Map<number | string, Group>();

  constructor(by: Grouping, directory: Directory, most: number = GROUPS_MAX) {
    this.#by = by;
    this.#directory = directory;
    this.#most = most;
  }

  get all(): Iterable<Group> {
    return this.#groups.values();
  }

  of(row: Row): Group {
    const key = this.#keyOf(row);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    if (this.#groups.size >= this.#most) return this.others;
    const group = new Group(this.#nameOf(row));
    this.#groups.set(key, group);
    return group;
  }

  #keyOf({ peer, listener, upstream, server, doing }: Row): number | string {
    switch (this.#by) {
      case "source":
        return String.fromCharCode(peer[0], ...peer.subarray(PORT_AT + PORT_BYTES));
      case "listener":
        return listener;
      case "upstream":
        return upstream;
      case "server":
        return server;
      case "state":
        return doing;
    }
  }

  /** Null: it has none. */
  #nameOf({ peer, listener, upstream, server, doing }: Row): string | null {
    switch (this.#by) {
      case "source":
        return sourceText(peer);
      case "listener":
        return this.#directory.listeners.get(listener)?.name ?? null;
      case "upstream":
        return this.#directory.upstreams.get(upstream)?.name ?? null;
      case "server":
        return server === NONE ? null : this.#directory.servers.get(server)?.address ?? null;
      case "state":
        return DOINGS[doing][0];
    }
  }
}

/** An address without its port: `10.1.2.3`, `2001:db8::1`, `unix`. */
function sourceText(peer: Uint8Array): string | null {
  if (peer[0] === 0) return null;
  if (peer[0] === 1) return "unix";
  return formatAddress(peer, 0).replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1");
}
