// What a configuration will ask of the machine, in numbers that the checks compare with what is there.
import { REACTORS_MAX } from "../../base/limits.ts";
import { type Capacity, capacityOf } from "../capacity.ts";
import type { Address } from "../config/address.ts";
import type { Config } from "../config/schema.ts";
import { limitOf, type Machine } from "./machine.ts";

/** As many as C makes a table for. */
const FDS_MAX = 16 << 20;

export interface Load {
  readonly config: Config;
  /** Whether somebody gave the configuration; else it is one of defaults. */
  readonly given: boolean;
  readonly reactors: number;
  /** Client connections asked for, and whether somebody asked. */
  readonly asked: number;
  readonly byDefault: boolean;
  /** Listening sockets. */
  readonly sockets: number;
  readonly servers: number;
  /** File descriptors that the process may have; undefined when nobody says. */
  readonly fds: number | undefined;
  /** What those carry. */
  readonly capacity: Capacity;
}

export function loadOf(config: Config, given: boolean, machine: Machine): Load {
  const reactors = config.reactors === "auto" ? Math.min(machine.cores, REACTORS_MAX) : config.reactors;
  const copies = config.accept === "reuseport" ? reactors : 1;
  const sockets = bindsOf(config).reduce((sum, { kind }) => sum + (kind === "unix" ? 1 : copies), 0);
  const servers = Object.values(config.upstreams).reduce((sum, { servers }) => sum + servers.length, 0);
  const { most: asked, byDefault } = config["max-connections"];
  const hard = limitOf(machine, "Max open files")?.hard;
  const fds = hard === undefined ? undefined : Math.min(hard, FDS_MAX);
  const needs = { connections: asked, reactors, listeners: sockets, servers };
  return {
    config,
    given,
    reactors,
    asked,
    byDefault,
    sockets,
    servers,
    fds,
    capacity: capacityOf(fds ?? FDS_MAX, needs),
  };
}

/** Where the configuration listens. */
export function bindsOf({ listeners }: Config): Address[] {
  return Object.values(listeners).flatMap(({ bind }) => bind.map(({ address }) => address));
}
