// The PROXY header before a connection, as explain tells it: who may send one, and whom it makes the client. Which
// listeners expect one, and from whom, is decided as the data plane does it.
import { PEER_BYTES } from "../../base/limits.ts";
import { isIn } from "../../policy/prefix.ts";
import { mayIntroduce } from "../../policy/trust.ts";
import { Reason } from "../../shared/reason.ts";
import { arenaBytes } from "../../sys/sys.ts";
import { addressText } from "../config/address.ts";
import { type ConfigProblem, shown } from "../config/errors.ts";
import type { ListenerEntry } from "../directory.ts";
import { decide, ended } from "./decision.ts";
import type { Decision, IntroductionView } from "./explanation.ts";
import { fromText, type Question } from "./question.ts";
import { inputs, placeClient } from "./request.ts";
import type { World } from "./world.ts";

/** What a connection begins with; `decision`: it comes no further. */
export interface Begun {
  readonly view: IntroductionView | null;
  readonly decision: Decision | undefined;
}

/** Looks whether a question's client may introduce whom it does. Leaves whoever counts as the client in the arena. */
export function introduction(
  world: World,
  entry: ListenerEntry,
  question: Question,
  certified: boolean,
): Begun | { problems: ConfigProblem[] } {
  const { plan, config } = world, { proxied } = question, name = shown(entry.name);
  if (plan.listenerProxyCount[entry.number] === 0) {
    placeClient(question, certified);
    if (proxied === null) return { view: null, decision: undefined };
    return {
      problems: [{
        where: "--proxied",
        what:
          `listener ${name} expects no PROXY header, and would take it for a part of what the client says`,
        remedy: `leave it out, or write accept-proxy: ${
          fromText({ ...question, proxied: null }).replace(/:[0-9]+$/, "")
        }`,
        severity: "error",
      }],
    };
  }
  placeClient({ ...question, proxied: null }, certified);
  const { clientAt } = inputs, record = arenaBytes.slice(clientAt, clientAt + PEER_BYTES);
  const first = plan.listenerProxyFirst[entry.number];
  const by = config.listeners[entry.name]["accept-proxy"].find((_, at) =>
    isIn(plan.arena, plan.trustedAt[first + at], record, 0)
  );
  const view = {
    proxy: fromText(question),
    by: by?.text ?? null,
    client: proxied === null ? null : proxied === "local" ? fromText(question) : addressText(proxied),
  };
  if (!mayIntroduce(plan, entry.number, record, 0)) {
    return { view, decision: ended(Reason.ProxyUntrusted, null) };
  }
  if (proxied === null) {
    const text = `listener ${name} expects a PROXY header from ${view.proxy}, and ends what comes without ` +
      "(proxy_missing); ask with --proxied CLIENT, or --proxied local for a connection of the proxy's own";
    return { view, decision: decide("ask", text) };
  }
  placeClient(question, certified);
  return { view, decision: undefined };
}
