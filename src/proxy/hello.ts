// A connection whose upstream is chosen by the name and the protocols in its ClientHello. The hello is looked at and left in the
// socket: who is passed on sends it to the server, who is terminated begins its handshake with it.
import { ARENA_PRINT, ARENA_RECEIVE, HELLO_PEEK_BYTES, NONE } from "../base/limits.ts";
import { Ready, readyClear } from "../net/ready.ts";
import { slotReady } from "../net/slots.ts";
import { chooseByName, chooseByProtocol } from "../policy/sni.ts";
import {
  Hello,
  helloAlpnAt,
  helloAlpnBytes,
  helloNameAt,
  helloNameBytes,
  readHello,
} from "../proto/client_hello.ts";
import { detailOfFault, Fault } from "../proto/tls_fault.ts";
import { Reason } from "../shared/reason.ts";
import { EAGAIN } from "../sys/errno.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { plan } from "./context.ts";
import { exDown, exListener } from "./exchanges.ts";

/** Why there is no choice: see `helloChoose`. */
export let helloReason = Reason.None;
export let helloDetail = 0;

/**
 * What the client's hello chooses: a row of plan.sni; NONE: `helloReason` says why there is none, where None
 * means that the rest of the hello is awaited.
 */
export function helloChoose(ex: number): number {
  const down = exDown[ex], ready = slotReady[down];
  helloReason = Reason.None;
  helloDetail = 0;
  if (!(ready & (Ready.In | Ready.Err))) return NONE;
  const seen = sys.peek(down, ARENA_RECEIVE, HELLO_PEEK_BYTES);
  if (seen === -EAGAIN) {
    readyClear(down, Ready.In);
    return NONE;
  }
  if (seen <= 0) return refused(seen === 0 ? Reason.ClientGone : Reason.ClientReset, -seen);
  switch (readHello(arenaBytes, ARENA_RECEIVE, ARENA_RECEIVE + seen, ARENA_PRINT)) {
    case Hello.Found:
      break;
    case Hello.NeedMore:
      if (ready & Ready.Fin) return refused(Reason.ClientGone, 0);
      readyClear(down, Ready.In); // what is there stays there; more of it makes an event
      return NONE;
    case Hello.PlainHttp:
      return refused(Reason.PlainHttp, detailOfFault(Fault.PlainHttp));
    case Hello.NotTls:
      return refused(Reason.NotTls, detailOfFault(Fault.NotTls));
    default:
      return refused(Reason.HandshakeFailed, detailOfFault(Fault.Protocol));
  }
  const named = chooseByName(plan, exListener[ex], arenaBytes, helloNameAt, helloNameAt + helloNameBytes);
  const choice = chooseByProtocol(plan, named, arenaBytes, helloAlpnAt, helloAlpnAt + helloAlpnBytes);
  // Its record tells of it. Without memory it does not; who is terminated says it once more.
  const ends = choice !== NONE && plan.sni.choiceTerminate[choice] === 1;
  if (!ends && helloNameBytes > 0) sys.tls_named(down, helloNameAt, helloNameBytes);
  return choice === NONE ? refused(Reason.NoRoute, 0) : choice;
}

function refused(reason: Reason, detail: number): number {
  helloReason = reason;
  helloDetail = detail;
  return NONE;
}
