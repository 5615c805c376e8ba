// The TLS handshake of a slot, on either side. Above the FFI three facts are known of TLS: that a slot is in
// its handshake, that its bytes come in pieces (Ready.Pieces), and whether they may go by splice.
import { ARENA_SCRATCH, HANDSHAKES_PER_TURN } from "../base/limits.ts";
import { Ready, readyAdd, readyClear, runAgain } from "../net/ready.ts";
import { slotFlags, slotReady, slotSetState } from "../net/slots.ts";
import type { Plan } from "../plan/plan.ts";
import { detailOfFault, Fault, FAULT_MASK } from "../proto/tls_fault.ts";
import { Reason } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { SlotFlag, SlotState } from "../shared/tables.ts";
import { EAGAIN, EINPROGRESS, ENOMEM, EPROTO } from "../sys/errno.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { count } from "./context.ts";

/** How far a handshake came. */
export const enum Shaken {
  /** The slot is open: what is read and sent from here on is what the two sides say. */
  Done,
  Waiting,
  /** There is no certificate yet for the name that the client asked for. */
  Asking,
  /** `shakenReason` and `shakenDetail` say why. */
  Failed,
}

export let shakenReason = Reason.None;
/** An errno, or what `tellsDetail` says it is. */
export let shakenDetail = 0;

/** Steps left in this turn: each may be a signature, of a tenth of a millisecond and more. */
let stepsLeft = 0;

/** A turn begins. */
export function handshakesTurn(): void {
  stepsLeft = HANDSHAKES_PER_TURN;
}

/** A client's slot begins with TLS. */
export function handshakeAccept(slot: number, profile: number): Shaken {
  slotSetState(slot, SlotState.Handshake);
  if (sys.tls_accept(slot, profile, slotReady[slot]) < 0) return failed(Reason.OutOfResources, ENOMEM);
  return handshakeGo(slot);
}

/** The slot of a server's connection, which is there, begins with TLS. `server`: whose session is resumed; NONE for
 * a health check. */
export function handshakeConnect(
  slot: number,
  held: Plan,
  profile: number,
  nameAt: number,
  nameBytes: number,
  server: number,
): Shaken {
  slotSetState(slot, SlotState.Handshake);
  for (let byte = 0; byte < nameBytes; byte++) arenaBytes[ARENA_SCRATCH + byte] = held.arena[nameAt + byte];
  if (sys.tls_connect(slot, profile, ARENA_SCRATCH, nameBytes, server, slotReady[slot]) < 0) {
    return failed(Reason.OutOfResources, ENOMEM);
  }
  slotReady[slot] |= Ready.In; // it is ours to begin
  return handshakeGo(slot);
}

/** Goes on after an event, or again. */
export function handshakeGo(slot: number): Shaken {
  if (!(slotReady[slot] & (Ready.In | Ready.Err))) return Shaken.Waiting;
  if (stepsLeft === 0) {
    runAgain(slot);
    return Shaken.Waiting;
  }
  stepsLeft--;
  const result = sys.handshake(slot);
  switch (result) {
    case 0:
      return opened(slot);
    case -EAGAIN:
      readyClear(slot, Ready.In);
      return Shaken.Waiting;
    case -EINPROGRESS:
      readyClear(slot, Ready.In);
      return Shaken.Asking;
    case -EPROTO:
      return fault(slot);
    default:
      return failed(isDown(slot) ? Reason.ClientReset : Reason.ServerReset, -result);
  }
}

/** Whether a server's connection, whose read said `errno`, was broken off by an alert: `shakenDetail` says which. In
 * TLS 1.3 a server looks at our certificate when the handshake is done for us. */
export function isAlerted(slot: number, errno: number): boolean {
  if (errno !== EPROTO || !(slotFlags[slot] & SlotFlag.Sealed)) return false;
  const told = sys.tls_fault(slot);
  shakenDetail = detailOfFault(told);
  return (told & FAULT_MASK) === Fault.Alert;
}

function opened(slot: number): Shaken {
  slotSetState(slot, SlotState.Open);
  if (sys.can_splice(slot) !== 1) slotFlags[slot] |= SlotFlag.Sealed;
  // What came behind the handshake is in the session: no event tells of it.
  readyAdd(slot, Ready.In | Ready.Out | Ready.Pieces);
  count(isDown(slot) ? Count.Handshakes : Count.ServerHandshakes);
  return Shaken.Done;
}

function isDown(slot: number): boolean {
  return (slotFlags[slot] & SlotFlag.Down) !== 0;
}

function failed(reason: Reason, detail: number): Shaken {
  shakenReason = reason;
  shakenDetail = detail;
  return Shaken.Failed;
}

function fault(slot: number): Shaken {
  const told = sys.tls_fault(slot);
  const kind: Fault = told & FAULT_MASK;
  return failed(reasonOfFault(kind, isDown(slot)), detailOfFault(told));
}

/** Of a client's handshake (`down`), or of one with a server. */
export function reasonOfFault(fault: Fault, down: boolean): Reason {
  return down ? reasonDown(fault) : reasonUp(fault);
}

function reasonDown(fault: Fault): Reason {
  switch (fault) {
    case Fault.PlainHttp:
      return Reason.PlainHttp;
    case Fault.NotTls:
      return Reason.NotTls;
    case Fault.Alert:
      return Reason.ClientAlert;
    case Fault.NoCertificateForName:
      return Reason.NoCertificate;
    case Fault.NoCertificateGiven:
    case Fault.Expired:
    case Fault.NotYetValid:
    case Fault.Authority:
    case Fault.Name:
    case Fault.Revoked:
    case Fault.Certificate:
      return Reason.ClientCertificate;
    default:
      return Reason.HandshakeFailed;
  }
}

function reasonUp(fault: Fault): Reason {
  switch (fault) {
    case Fault.Alert:
      return Reason.ServerAlert;
    case Fault.Expired:
    case Fault.NotYetValid:
      return Reason.ServerCertificateExpired;
    case Fault.Name:
      return Reason.ServerCertificateName;
    case Fault.Authority:
      return Reason.ServerCertificateAuthority;
    case Fault.Revoked:
    case Fault.Certificate:
    case Fault.Pin:
      return Reason.ServerCertificate;
    default:
      return Reason.ServerTls;
  }
}
