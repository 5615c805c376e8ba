// Whose connection a proxy passes on, as its PROXY header says: accepted of those who may say so. The header is
// looked at where it lies, and exactly it is read then: what is behind it is the stream's, be it a TLS hello, a
// request, or bytes by the gigabyte. From there on the client is whom it told.
import { ARENA_PRINT, ARENA_RECEIVE, ARENA_SCRATCH, PROXY_BYTES_MAX } from "../base/limits.ts";
import { Ready, readyClear } from "../net/ready.ts";
import { slotReady } from "../net/slots.ts";
import { mayIntroduce } from "../policy/trust.ts";
import { detailOfFlaw } from "../proto/detail.ts";
import { Proxy, proxyBytes, proxyEnd, proxyFlaw, readProxy } from "../proto/proxy_header.ts";
import { Reason } from "../shared/reason.ts";
import { EAGAIN, ECONNRESET, ENOMEM } from "../sys/errno.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { plan } from "./context.ts";

/** How far it came. */
export const enum Introduced {
  /** The header has been read: somebody else is the client. */
  Done,
  /** It has been read: the proxy itself is the client. */
  Itself,
  Waiting,
  /** `introducedReason` and `introducedDetail` say why. */
  Failed,
}

export let introducedReason = Reason.None;
/** An errno, or what `tellsDetail` says it is. */
export let introducedDetail = 0;

/** A client's connection has its slot: whether it may introduce others, asked again since the Plan may be another than
 * when it was accepted. */
export function introductionBegin(down: number, listener: number): Introduced {
  sys.client(down, ARENA_SCRATCH);
  if (!mayIntroduce(plan, listener, arenaBytes, ARENA_SCRATCH)) return failed(Reason.ProxyUntrusted, 0);
  return introductionGo(down);
}

/** Goes on after an event. */
export function introductionGo(down: number): Introduced {
  const ready = slotReady[down];
  if (!(ready & (Ready.In | Ready.Err))) return Introduced.Waiting;
  const seen = sys.peek(down, ARENA_RECEIVE, PROXY_BYTES_MAX);
  if (seen === -EAGAIN) {
    readyClear(down, Ready.In);
    return Introduced.Waiting;
  }
  if (seen <= 0) return gone(-seen);
  switch (readProxy(arenaBytes, ARENA_RECEIVE, ARENA_RECEIVE + seen, ARENA_PRINT, false)) {
    case Proxy.Found:
      return found(down);
    case Proxy.NeedMore:
      if (ready & Ready.Err) return gone(ECONNRESET);
      if (ready & Ready.Fin) return gone(0);
      readyClear(down, Ready.In); // what is there stays there; more of it makes an event
      return Introduced.Waiting;
    case Proxy.Missing:
      return failed(Reason.ProxyMissing, 0);
    case Proxy.TooLong:
      return failed(Reason.ProxyTooLong, 0);
    default:
      return failed(Reason.ProxyMalformed, detailOfFlaw(proxyFlaw));
  }
}

/** The header is whole: it is taken out of the stream, and what it says holds. */
function found(down: number): Introduced {
  for (let left = proxyBytes; left > 0;) { // in pieces, if urgent data lies between
    const skipped = sys.skip(down, ARENA_RECEIVE, left);
    if (skipped <= 0) return gone(-skipped);
    left -= skipped;
  }
  if (proxyEnd === 0) return Introduced.Itself;
  if (sys.introduce(down, ARENA_PRINT, proxyEnd - ARENA_PRINT) < 0) {
    return failed(Reason.OutOfResources, ENOMEM);
  }
  return Introduced.Done;
}

function gone(errno: number): Introduced {
  return failed(errno === 0 ? Reason.ClientGone : Reason.ClientReset, errno);
}

function failed(reason: Reason, detail: number): Introduced {
  introducedReason = reason;
  introducedDetail = detail;
  return Introduced.Failed;
}
