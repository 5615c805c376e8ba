// Where listeners lead: which upstreams, and what that says of an upstream.
import type { Listen } from "./listen.ts";
import type { Route } from "./route_schema.ts";
import { type SniChoices, sniTargets } from "./sni_schema.ts";

/** What of a listener says where it leads. */
interface Leading {
  readonly bind: readonly Pick<Listen, "protocol">[];
  readonly to?: string;
  readonly routes: readonly Pick<Route, "action">[];
  readonly sni?: SniChoices;
}

/** The upstreams that a listener leads to, each once. */
export function upstreamsOf({ to, routes, sni }: Leading): string[] {
  const targets = [
    ...routes.flatMap(({ action }) => action.kind === "upstream" ? [action.to] : []),
    ...sniTargets({ sni }).map(({ to }) => to),
  ];
  return [...new Set(to === undefined ? targets : [...targets, to])];
}

/** The upstreams that listeners of a protocol lead to. */
export function ledToBy(listeners: readonly Leading[], protocol: Listen["protocol"]): ReadonlySet<string> {
  return new Set(listeners.filter(({ bind }) => bind[0].protocol === protocol).flatMap(upstreamsOf));
}

/** The upstreams whose servers get datagrams and no connections: udp:// leads to them, and nothing else. */
export function onlyByDatagrams(listeners: readonly Leading[]): ReadonlySet<string> {
  const [tcp, http] = [ledToBy(listeners, "tcp"), ledToBy(listeners, "http")];
  return new Set(
    [...ledToBy(listeners, "udp")].filter((upstream) => !tcp.has(upstream) && !http.has(upstream)),
  );
}
