// The running process as status, metrics and the admin API see it, put together from its parts.
import type { AccessLog } from "./access_log.ts";
import type { Configured } from "./configured.ts";
import { monotonicMs, peerOf } from "./control_room.ts";
import { acceptQueuesOf, datagramsLost } from "./listeners.ts";
import type { Reactors } from "./reactors.ts";
import type { Recent } from "./recent.ts";
import type { Reloading } from "./reload.ts";
import { type Sight, sum } from "./sight.ts";
import { settingProblems } from "./sockets.ts";

type Own =
  | "startedAtMs"
  | "phase"
  | "maxConnections"
  | "directory"
  | "health"
  | "overrides"
  | "upgrading"
  | "log";

/** What it is put together from. */
export interface Seen extends Pick<Sight, Own> {
  readonly configured: Configured;
  readonly reactors: Reactors;
  readonly reloading: Reloading;
  readonly recent: Recent;
  readonly accessLog: AccessLog;
}

export function sightOf({ configured, reactors, reloading, recent, ...own }: Seen): Sight {
  const { generations, listeners, lists, discovery, certificates, departures } = configured;
  return {
    ...own,
    generation: () => generations.number,
    published: () => {
      const { plan } = generations;
      return plan === undefined ? undefined : { plan, ...configured.inForce };
    },
    reactors: reactors.all,
    clockMs: monotonicMs,
    peerOf,
    close: (room, rows) => reactors.close(room, rows),
    acceptQueues: () => acceptQueuesOf(listeners.all, generations.plan),
    datagramsLost: () => datagramsLost(listeners.all),
    deaths: () => reactors.deaths,
    shared: reactors.shared,
    sources: reactors.sources,
    lists: () => lists.status(),
    settingProblems: () => settingProblems(configured.config, configured.inForce.settings),
    names: discovery.names,
    certificates: () => certificates.status(),
    presented: (listener) => certificates.presented(listener),
    acme: () => configured.inForce.issuing?.status(),
    recent: () => recent.view(),
    reload: (by) => reloading.reload(by),
    reloads: () => reloading.reloads,
    leaving: () => departures.view((listener) => sum(reactors.all, "listenerCurrent", listener)),
  };
}
