// Bugs to plant into a copy of the sources: the simulation must find each of them, or it would not find
// their like. A search that does not match exactly once says that the sources have moved on.

export interface Planted {
  readonly name: string;
  /** Runs over HTTP find it, not those of plain connections. */
  readonly http?: true;
  /** Runs of streams that may go only so fast do. */
  readonly steady?: true;
  /** The seed to begin with, where finding it takes long from the first on. */
  readonly from?: number;
  /** Below the root. */
  readonly file: string;
  readonly edits: readonly (readonly [search: string, replace: string])[];
}

const pump = "src/proxy/pump.ts",
  exchange = "src/proxy/exchange.ts",
  request = "src/proxy/request.ts",
  end = "src/proxy/end.ts",
  reach = "src/proxy/reach.ts",
  tunnel = "src/proxy/tunnel.ts";

export const PLANTED: readonly Planted[] = [
  {
    name: "no again-list after a budget",
    from: 90,
    file: pump,
    edits: [["if (!shaped || (!(slotFlags", "if (shaped && (!(slotFlags"]],
  },
  {
    name: "no generation check at the door",
    file: "src/proxy/reactor.ts",
    edits: [["  if (slotGen[slot] !== gen >>> 0) return;\n", ""]],
  },
  {
    name: "whoever has the place now is closed",
    file: "src/proxy/ending.ts",
    edits: [["slotGen[slot] === closingGen[row] && isClients(slot)", "isClients(slot)"]],
  },
  {
    name: "closed without looking whether somebody is there",
    file: "src/proxy/ending.ts",
    edits: [["slotGen[slot] === closingGen[row] && isClients(slot)", "slotGen[slot] === closingGen[row]"]],
  },
  {
    name: "closed before the sweep",
    file: "src/proxy/close.ts",
    edits: [
      [
        "  marked[markedCount++] = slot;\n",
        "  marked[markedCount++] = slot;\n  sys.close(slot, reset ? 1 : 0);\n",
      ],
      ["sys.close(slot, slotFlags[slot] & SlotFlag.Reset ? 1 : 0) === 0", "true"],
    ],
  },
  {
    name: "a full pipe taken for a dry socket",
    file: pump,
    edits: [[
      "if (read < 0 && read !== -EAGAIN) readyAdd(from, Ready.Err);",
      "if (read === -EAGAIN) readyClear(from, Ready.In);",
    ]],
  },
  {
    name: "an error met while topping up a pipe is forgotten",
    from: 420,
    file: pump,
    edits: [["  if (read < 0 && read !== -EAGAIN) readyAdd(from, Ready.Err);\n", ""]],
  },
  {
    name: "a broken sink's error is forgotten",
    from: 430,
    file: pump,
    edits: [["  readyAdd(to, Ready.In | Ready.Err);\n", ""]],
  },
  {
    name: "half-close passed on as close",
    file: pump,
    edits: [[
      "if (last && !(slotFlags[to] & SlotFlag.Sealed)) return",
      "if (!(slotFlags[to] & SlotFlag.Sealed)) return",
    ]],
  },
  {
    name: "an end of stream behind a short read is lost",
    file: pump,
    edits: [["  if (ready & Ready.Fin) {\n", "  if (ready === 0) {\n"]],
  },
  {
    name: "pieces taken for a dry socket",
    file: pump,
    edits: [["if (ready & (Ready.Err | Ready.Pieces)) return", "if (ready & Ready.Err) return"]],
  },
  {
    name: "a leftover from the wrong place",
    file: pump,
    edits: [[
      "holdLeftover(from, ARENA_RECEIVE + taken, read - taken)",
      "holdLeftover(from, ARENA_RECEIVE, read - taken)",
    ]],
  },
  {
    name: "a block sent twice from its beginning",
    file: pump,
    edits: [["    if (!piped) slotHoldFrom[from] += sent;\n", ""]],
  },
  {
    name: "a source without a place for leftovers is never read",
    file: pump,
    edits: [["      : copyPeeked(from, to);", "      : Pumped.Waiting;"]],
  },
  {
    name: "bytes only peeked at are sent twice",
    file: pump,
    edits: [["    const skipped = sys.skip(from, ARENA_WIDE, left);\n", "    const skipped = left;\n"]],
  },
  {
    name: "a sink that opened is not served",
    file: tunnel,
    edits: [[
      "return opened ? move(ex, slotPeer[slot]) : Reason.None;",
      "return opened && ex < 0 ? move(ex, slotPeer[slot]) : Reason.None;",
    ]],
  },
  {
    name: "a reset passed on as an end of stream",
    file: end,
    edits: [[
      "refusesByReset(exListener[ex]) : isReset[exReason[ex]] === 1;",
      "refusesByReset(exListener[ex]) : false;",
    ]],
  },
  {
    name: "a server is tried twice",
    file: reach,
    edits: [["    exWalk[ex] = walked;\n", "    if (exTried[ex] !== 1) exWalk[ex] = walked;\n"]],
  },
  {
    name: "a Plan is never given back",
    file: exchange,
    edits: [[
      "  tunnelBegin(ex);\n  planGive(exGeneration[ex]);\n",
      "  tunnelBegin(ex);\n",
    ]],
  },
  {
    name: "a given-up server stays in the gauge",
    file: reach,
    edits: [["  stats.serverCurrent[exServer[ex]]--;\n", ""]],
  },
  {
    name: "a server that speaks first is not heard",
    file: exchange,
    edits: [[
      "exUp[ex] === up) tunnelRun(ex, up, 0);",
      "exUp[ex] === NONE) tunnelRun(ex, up, 0);",
    ]],
  },
  {
    name: "a pipe is not given back on a reset",
    file: "src/proxy/close.ts",
    edits: [[
      "if (slotHold[slot] !== NONE) holdGive(slot, false);",
      "if (slotFlags[slot] & SlotFlag.Reset) slotHold[slot] = NONE;\n    else if (slotHold[slot] !== NONE) holdGive(slot, false);",
    ]],
  },
  {
    name: "a block is not given back",
    file: "src/net/holds.ts",
    edits: [["    giveBlock(hold);\n", "    if (hold === NONE) giveBlock(hold);\n"]],
  },
  {
    name: "a source that was muted is not heard again",
    file: "src/net/ready.ts",
    edits: [["const heard = sys.hear(slot, 1);", "const heard = 0;"]],
  },
  {
    name: "a deadline that moved falls off the wheel",
    file: "src/net/timers.ts",
    edits: [[
      "    if (timerTick[row] > now) {\n      hang(row);\n",
      "    if (timerTick[row] > now) {\n      buckets[0] += 0;\n",
    ]],
  },
  {
    name: "a refused newcomer is not counted as ended",
    file: "src/proxy/accept.ts",
    edits: [["  Atomics.add(shared.reactorEnded, room * PER_LINE, 1);\n", ""]],
  },
  {
    name: "who ends is counted for its source for ever",
    file: "src/proxy/end.ts",
    edits: [["    sourceGive(sources, exSource[ex]);\n", ""]],
  },
  {
    name: "a pause in accepting never ends",
    file: "src/proxy/accept.ts",
    edits: [["    pausedUntilMs = 0;\n    watchAll();\n", ""]],
  },
  {
    name: "one failed check less takes a server out",
    file: "src/policy/health.ts",
    edits: [["return streak + 1 >= fall ?", "return streak + 2 >= fall ?"]],
  },
  {
    name: "a newcomer's event dies with its reactor",
    file: "test/sim/calls.ts",
    edits: [["if (row.registered) kernel.edge(row);", "if (row.registered) row.ready = false;"]],
  },
];

const unread = "src/net/unread.ts";

const HTTP: readonly Planted[] = [
  {
    name: "the connect's deadline goes on",
    file: reach,
    edits: [["  timerClear(up);\n", ""]],
  },
  {
    name: "bytes read too early are dropped",
    file: unread,
    edits: [["  return before + Math.max(0, read);\n", "  return Math.max(1, read);\n"]],
  },
  {
    name: "a connection is kept while its answer is under way",
    file: request,
    edits: [[
      "  if (slotBody[up] === Body.Ended && slotHold[up] === NONE) return answerDone(ex);\n",
      "  if (exFlags[ex] & ExFlag.Answered && slotHold[up] === NONE) {\n    slotBody[up] = Body.Ended;\n    return answerDone(ex);\n  }\n",
    ]],
  },
  {
    name: "bytes are spliced past those that were read before",
    file: pump,
    edits: [[
      "(body === Body.Length || body === Body.UntilClose) && slotUnread[from] === NONE",
      "body === Body.Length || body === Body.UntilClose",
    ]],
  },
  {
    name: "chunks are spliced into a pipe that is topped up",
    file: pump,
    edits: [[" || !splices(from)) return;", ") return;"]],
  },
  {
    name: "a kept head is not given back",
    file: "src/proxy/kept_head.ts",
    edits: [["  if (exKept[ex] === NONE) return;\n  giveBlock(exKept[ex]);\n", ""]],
  },
  {
    name: "a chunked body begins where the last one ended",
    file: "src/proxy/body.ts",
    edits: [["  slotPhase[slot] = 0;\n", ""]],
  },
  {
    name: "a POST is repeated on a new connection",
    file: request,
    edits: [["  const again = ExFlag.Reused | ExFlag.Repeatable;\n", "  const again = ExFlag.Reused;\n"]],
  },
  {
    name: "an answer to HEAD is read with a body",
    file: request,
    edits: [["exFlags[ex] & ExFlag.Bodiless ? Method.Head : Method.Get;", "Method.Get;"]],
  },
  {
    name: "a Plan is not given back by a request",
    file: end,
    edits: [[
      "  if (exGeneration[ex] !== 0) {\n    planGive(exGeneration[ex]);\n",
      "  if (exGeneration[ex] !== 0) {\n    if (exReason[ex] === Reason.Finished) planGive(exGeneration[ex]);\n",
    ]],
  },
  {
    name: "a 1xx is taken for the answer",
    file: request,
    edits: [[
      "if (status < 200 && status !== 101) return interimCame",
      "if (status < 103 && status !== 101) return interimCame",
    ]],
  },
  {
    name: "a place at a server is not given back by who came on a kept connection",
    file: reach,
    edits: [[
      "  exFlags[ex] &= ~(ExFlag.Placed | ExFlag.Granted);\n",
      "  exFlags[ex] &= ~(ExFlag.Placed | ExFlag.Granted);\n  if (exFlags[ex] & ExFlag.Reused) return;\n",
    ]],
  },
  {
    name: "a place is handed on and given back as well",
    file: reach,
    edits: [[
      "  if (heir !== NONE) return queueHand(heir, server);\n",
      "  if (heir !== NONE) queueHand(heir, server);\n",
    ]],
  },
  {
    name: "a place at a server that refused is looked for by nobody",
    from: 160,
    file: request,
    edits: [["      tellPlace(ex);\n", ""]],
  },
  {
    name: "the next request behind a body is not looked at",
    file: "src/proxy/request_end.ts",
    edits: [["  if (readable(down)) runAgain(down);\n", ""]],
  },
  {
    name: "a cut answer passes for a whole one",
    file: pump,
    edits: [["Body.UntilClose) return Pumped.Truncated;", "Body.UntilClose) return Pumped.Ended;"]],
  },
  {
    name: "an end of TCP alone ends a body that came by TLS",
    file: pump,
    edits: [["=== 1 ? Pumped.Truncated : Pumped.Ended;", "=== 1 ? Pumped.Ended : Pumped.Ended;"]],
  },
  {
    name: "handshakes are bounded by nothing",
    file: "src/proxy/handshake.ts",
    edits: [["  stepsLeft--;\n", ""]],
  },
  {
    name: "who is kept waiting by our own pacing is blamed",
    file: exchange,
    edits: [["  if (slot === exDown[ex] && isParked(ex) &&", "  if (slot === NONE && isParked(ex) &&"]],
  },
  {
    name: "a kept connection that was closed stays on its list",
    file: "src/proxy/pool.ts",
    edits: [[
      "  unlink(server, before, slot);\n  closeSlot(slot, false);\n",
      "  if (before === NONE) unlink(server, before, slot);\n  closeSlot(slot, false);\n",
    ]],
  },
];

/** The same for HTTP. */
export const PLANTED_HTTP = HTTP.map((planted): Planted => ({ ...planted, http: true }));

const pace = "src/proxy/pace.ts";

const STEADY: readonly Planted[] = [
  {
    name: "what was lent and not read is kept",
    file: pace,
    edits: [["  if (lookAt(from)) take(-left);\n", ""]],
  },
  {
    name: "what was lent is not counted",
    file: pace,
    edits: [["    take(slotLentBytes[from]);\n", ""]],
  },
  {
    name: "what a parked slot waits for is not counted",
    file: pace,
    edits: [["  take(quantum);\n", ""]],
  },
  {
    name: "what a parked slot has waited for is given back when its time comes",
    file: pace,
    edits: [["  slotLentBytes[from] = quantum;\n  take(quantum);\n", ""]],
  },
  {
    name: "a shaped source is read beyond what it was lent",
    file: pump,
    edits: [["? Math.min(most, stop - slotMovedBytes[from]) | 0 : most;", "? most : most;"]],
  },
  {
    name: "a source that is parked is not muted",
    file: pace,
    edits: [["  if (slotReady[from] & Ready.In) readyMute(from);\n", ""]],
  },
  {
    name: "a meter holds whatever comes in",
    file: "src/shared/meters.ts",
    edits: [["  if (isOver) Atomics.compareExchange", "  if (isOver && full === 0) Atomics.compareExchange"]],
  },
  {
    name: "a delay ends a wheel's round too late",
    file: "src/net/delays.ts",
    edits: [["Math.max(Math.ceil(untilMs), tick + 1)", "Math.max(Math.ceil(untilMs), tick + 100)"]],
  },
];

/** The same for streams that may go only so fast. */
export const PLANTED_STEADY = STEADY.map((planted): Planted => ({ ...planted, steady: true }));

/** @throws where the text has not exactly one place for an edit. */
export function plant(source: string, { name, file, edits }: Planted): string {
  return edits.reduce((text, [search, replace]) => {
    const parts = text.split(search);
    if (parts.length !== 2) {
      throw new Error(
        `planted bug "${name}": its place was found ${parts.length - 1} times in ${file}, not once`,
      );
    }
    return parts.join(replace);
  }, source);
}
