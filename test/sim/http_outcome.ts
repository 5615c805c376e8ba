// What must have come of every request in the end: an answer that is whole and its own, or an end that
// something explains, told to the client and to the log alike.
import { Reason, REASONS } from "../../src/shared/reason.ts";
import { allowedReasons } from "./http_legal.ts";
import type { Request } from "./http_messages.ts";
import type { Climate, Connection } from "./http_traffic.ts";
import { Trouble } from "./peer.ts";
import { must } from "./run.ts";

/** By these an answer of ours may end as well, told or half told. */
const CUTS_OWN: ReadonlySet<Reason> = new Set([
  Reason.Drained,
  Reason.ClosedByOperator,
  Reason.Bug,
  Reason.OutOfResources,
  Reason.ExchangeTimeout,
]);

/** Every request of a connection came to an end that something explains. */
export function checkConnection(climate: Climate, connection: Connection): void {
  const { client, adopted, died } = connection;
  if (!adopted || died) return;
  must(client.socket.closed, `client ${connection.number}: its socket is open`);
  let mayGoOn = true, mustGoOn = true;
  for (const request of client.requests) {
    if (request.begunMs < 0) break;
    const told = `request ${request.id} (${REASONS[request.record?.reason ?? 0].name}; ${tellOf(request)})`;
    if (request.record === undefined) {
      // What is no head may never end, and then its client leaves.
      const isExpected = mustGoOn && request.refusal === 0;
      must(!isExpected || isExcused(climate, connection), `${told}: was sent, and has no record`);
      break;
    }
    must(mayGoOn, `${told}: came behind the last one`);
    mayGoOn = checkRequest(climate, told, connection, request);
    // What of its body the server did not want was read, or was not.
    mustGoOn = mayGoOn && (request.told!.own !== "" || request.attempts.at(-1)?.whole === true);
  }
}

/** A connection that may end at any time. */
function isExcused({ scarce, slow, staged }: Climate, { client, endedByUs }: Connection): boolean {
  const { fate, session } = client.socket, shakes = fate.handshake === "well" && session?.asked !== true;
  // Bodies that come in pieces take so many calls that others' handshakes are served too late.
  if (slow && session?.open === false) return true;
  return endedByUs || scarce || staged || client.trouble !== Trouble.None || !shakes;
}

/** Returns whether the connection could go on behind it. */
function checkRequest(climate: Climate, told: string, connection: Connection, request: Request): boolean {
  const { client } = connection, { told: heard, attempts } = request;
  const { reason, status } = request.record!;
  const allowed = allowedReasons(climate, connection, request);
  must(allowed.has(reason), `${told}: nothing that happened explains it`);
  if (heard === undefined) {
    must(reason !== Reason.Finished, `${told}: finished without an answer`);
    return false;
  }
  must(status === heard.status, `${told}: its record says ${status}, its client was told ${heard.status}`);
  if (heard.own !== "") {
    // Else something else became of our own answer.
    const isIt = REASONS[reason].status !== 0 && !CUTS_OWN.has(reason);
    must(!isIt || heard.own === REASONS[reason].type, `${told}: its client was told ${heard.own}`);
    if (request.refusal !== 0 && reason === Reason.BadRequest) {
      must(status === request.refusal, `${told}: refused by ${status}, not by ${request.refusal}`);
    }
  }
  if (reason === Reason.Finished) checkFinished(climate, told, connection, request);
  else if (
    heard.own === "" && client.readsUntilClose && client.told.at(-1) === heard &&
    client.trouble === Trouble.None
  ) {
    must(
      client.socket.resetOut && !client.finSeen,
      `${told}: its client takes a part for the whole`,
    );
  }
  if (heard.own !== "") return !heard.isLast;
  const isCut = reason !== Reason.Finished && REASONS[reason].reset;
  if (reason === Reason.Bug) return false;
  const uploads = attempts.at(-1)?.whole !== true && !request.allSent;
  return heard.whole && !heard.isLast && !request.isLast && !isCut && !uploads;
}

function checkFinished(
  { staged }: Climate,
  told: string,
  { client, endedByUs }: Connection,
  request: Request,
): void {
  const heard = request.told!, answer = heard.attempt?.answer;
  must(answer !== undefined, `${told}: finished by no server's answer`);
  must(
    answer.framing !== "close" || answer.misdeed !== "cut",
    `${told}: a cut answer passes for a whole one`,
  );
  // A bug behind the record resets what the client has not read yet.
  if (staged && client.socket.resetOut) return;
  if (client.trouble !== Trouble.None && answer.framing === "close") return;
  if (answer.status === 101) {
    must(
      client.rawBytes === answer.body.length,
      `${told}: ${client.rawBytes} of ${answer.body.length} bytes`,
    );
    must(heard.attempt!.bodyBytes === request.body.length, `${told}: the tunnel lost bytes to the server`);
    return;
  }
  // What is on its way behind the last request may come when the connection is closed already.
  const isLate =
    client.requests.indexOf(request) < client.requests.findLastIndex(({ begunMs }) => begunMs >= 0);
  // All connections were reset while it lingered behind its end of stream.
  const ended = client.finSeen || !client.socket.resetOut || isLate || (endedByUs && client.socket.shut);
  must(heard.whole || (client.readsUntilClose && ended), `${told}: its answer is not whole`);
  const { session } = client.socket;
  const isSealed = session?.open === true && client.readsUntilClose && isNear(client);
  must(!isSealed || isLate || endedByUs || session.said, `${told}: its client takes the whole for a part`);
  must(
    heard.bodyBytes === answer.body.length,
    `${told}: ${heard.bodyBytes} of ${answer.body.length} bytes were passed on`,
  );
  const isPolite = client.trouble === Trouble.None && !client.socket.resetOut && !endedByUs;
  must(
    !isPolite || !heard.whole || client.received >= heard.endAt,
    `${told}: its client did not get all of it`,
  );
}

/** It was there to the end. */
function isNear(client: Connection["client"]): boolean {
  return client.trouble === Trouble.None && !client.socket.broken;
}

/** What happened to a request at its servers, in a few words. */
function tellOf({ method, framing, attempts }: Request): string {
  const tries = attempts.map(({ answer, raced, reused, whole }) =>
    `${reused ? "kept" : "new"}${whole ? " whole" : ""}${raced ? " raced" : ""} ${
      answer === undefined
        ? "unanswered"
        : `${answer.status} ${answer.framing} ${answer.misdeed} at ${answer.misdeedAt} of ` +
          `${answer.coded.length}, ${answer.then}`
    }`
  );
  return `${method} ${framing}; ${tries.join("; ")}`;
}
