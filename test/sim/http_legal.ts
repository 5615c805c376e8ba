// Which ends of a request are legal, by what happened to it: everything else is a bug of ours.
import { Reason } from "../../src/shared/reason.ts";
import type { Attempt, Request } from "./http_messages.ts";
import type { Climate, Connection } from "./http_traffic.ts";
import { Trouble } from "./peer.ts";

const UNREACHED = [
  Reason.ConnectionRefused,
  Reason.ConnectionTimeout,
  Reason.Unroutable,
  Reason.DestinationUnavailable,
  Reason.ServerReset,
  Reason.OutOfResources,
  Reason.ServerTls,
  Reason.ServerAlert,
  Reason.ServerHandshakeTimeout,
];

export function allowedReasons(climate: Climate, connection: Connection, request: Request): Set<Reason> {
  const allowed = new Set<Reason>();
  const add = (...reasons: Reason[]) => reasons.forEach((reason) => allowed.add(reason));
  if (request.refusal === 0 && !request.badBody) add(Reason.Finished);
  if (request.refusal !== 0) add(Reason.BadRequest);
  if (request.badBody) add(Reason.BadRequest, Reason.Finished);
  if (climate.sick && request.refusal === 0) add(...UNREACHED);
  if (climate.scarce) add(Reason.OutOfResources);
  // Who drips its head (checked elsewhere); a kept connection that broke before a line was sent.
  if (request.attempts.length === 0) add(Reason.RequestTimeout, Reason.ServerReset);
  if (climate.limited) add(Reason.QueueTimeout);
  if (climate.staged) add(Reason.Bug);
  if (climate.hurried) add(Reason.ExchangeTimeout);
  if (connection.endedByUs) add(Reason.Drained, Reason.ClosedByOperator);
  addOfClient(connection, request, add);
  for (const attempt of request.attempts) addOfServer(attempt, add);
  return allowed;
}

function addOfClient(
  { client: { trouble, switched } }: Connection,
  request: Request,
  add: (...reasons: Reason[]) => void,
): void {
  if (switched?.request === request && trouble !== Trouble.None) add(Reason.TunnelIdle, Reason.WriteStall);
  switch (trouble) {
    case Trouble.None:
      return;
    case Trouble.Reset:
      return add(Reason.ClientReset, Reason.ClientGone);
    case Trouble.Close:
      return add(Reason.ClientReset, Reason.ClientGone, Reason.Finished);
    default:
      // While it waits for leave to send its body, it is the server's turn.
      if (request.expects) add(Reason.AnswerTimeout);
      return add(Reason.RequestTimeout, Reason.WriteTimeout);
  }
}

function addOfServer({ answer, raced, narrow, request }: Attempt, add: (...reasons: Reason[]) => void): void {
  if (raced) {
    const mayRepeat = request.attempts.length > 1;
    if (!mayRepeat) add(Reason.ServerReset);
    return;
  }
  if (narrow) add(Reason.AnswerTimeout);
  if (answer === undefined) return;
  // It resets, and what of its answer was not read yet is lost: all of it, or the rest.
  if (answer.then === "hang up") add(Reason.ServerReset, Reason.AnswerCut);
  switch (answer.misdeed) {
    case "none":
      return;
    case "cut":
      return add(Reason.AnswerCut, Reason.ServerReset);
    case "reset":
      return add(Reason.ServerReset, Reason.AnswerCut);
    case "stall":
      return add(Reason.AnswerTimeout, Reason.TunnelIdle, Reason.ServerWriteStall);
    case "never":
      return add(Reason.AnswerTimeout);
    case "chatter":
      return add(Reason.BadAnswer, Reason.AnswerTimeout);
    case "unasked":
      return add(Reason.UpgradeFailed, Reason.BadAnswer);
    default:
      return add(Reason.BadAnswer);
  }
}
