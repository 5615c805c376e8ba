// What the reactors tell in numbers, on its way to whom it concerns: failures to the log's samples where there is
// no access log, results of health checks to their history and the log, trouble with accepting and contained
// bugs to the log.
// Asleep until a ring's bell; then it looks every 20 ms for as long as there is something to read.
import { DETAILS } from "../proto/detail.ts";
import { Field, HEARD_UNIT, type LogRing, RecordKind } from "../shared/log_ring.ts";
import { Reason } from "../shared/reason.ts";
import type { AccessLog } from "./access_log.ts";
import { monotonicMs } from "./control_room.ts";
import { formatAddress } from "./config/address.ts";
import type { Directory } from "./directory.ts";
import { tellAcceptPaused, tellAcceptResumed, tellBug, tellHealth } from "./events.ts";
import type { HealthHistory } from "./health_history.ts";
import type { Log } from "./log.ts";
import type { LostConnection } from "./settle.ts";

export interface RecordsOptions {
  /** `Reactors.all` is good. */
  readonly rings: readonly Ring[];
  readonly directory: Directory;
  readonly health: HealthHistory;
  readonly accessLog: AccessLog;
  readonly log: Log;
  /** A reactor asks something: the row in its asks. */
  readonly asked: (room: number, row: number) => void;
  /** Client connections at once, for what is said when they are reached. */
  readonly maxConnections: number;
  /** The reactors' clock, CLOCK_MONOTONIC in milliseconds; as the control room has it if not given. */
  readonly monotonicMs?: () => number;
}

interface Ring {
  readonly room: number;
  readonly log: LogRing;
}

/** Time between two looks while there is something to read: at most 50 a second. */
const COALESCE_MS = 20;
/** A bell is waited for at most so long, so that an ended `start` leaves nothing behind for longer. */
const BELL_MS = 1_000;

export class Records {
  readonly #options: RecordsOptions;
  readonly #monotonicMs: () => number;
  /** Rings whose bell is being waited for. */
  readonly #awaited = new Set<Ring>();
  #signal: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Wall clock minus the reactors' clock, as of this drain. */
  #epochMs = 0;

  constructor(options: RecordsOptions) {
    this.#options = options;
    this.#monotonicMs = options.monotonicMs ?? monotonicMs;
  }

  /** Drains from now on until `signal` is aborted; what comes after that is `drainNow`'s. */
  start(signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#signal = signal;
    signal.addEventListener("abort", () => clearTimeout(this.#timer), { once: true });
    this.#look();
  }

  /** Reads everything there is. */
  drainNow(): void {
    this.#drain();
  }

  /** Records connections that died with their reactor. What it told before comes first. */
  lost(connections: readonly LostConnection[]): void {
    this.#drain();
    const { directory, accessLog } = this.#options;
    const atMs = Date.now();
    for (const lost of connections) {
      const { listener, upstream, server, peer, upBytes, downBytes, tried, durationMs, datagrams, http } =
        lost;
      accessLog.add({
        atMs,
        client: clientOf(peer),
        listener: directory.listeners.get(listener)?.name ?? "",
        upstream: directory.upstreams.get(upstream)?.name ?? "",
        server: directory.servers.get(server)?.address ?? "",
        upBytes,
        downBytes,
        durationMs,
        reason: Reason.ReactorDied,
        errno: 0,
        tried,
        detail: "",
        datagrams,
        http,
      });
    }
    accessLog.flush();
  }

  /** Reads, and looks again soon if there was anything; else sleeps until a bell rings. */
  #look(): void {
    this.#timer = undefined;
    if (this.#signal?.aborted) return;
    if (this.#drain() > 0) {
      this.#timer = setTimeout(() => this.#look(), COALESCE_MS);
    } else {
      for (const ring of this.#options.rings) void this.#await(ring);
    }
  }

  async #await(ring: Ring): Promise<void> {
    if (this.#awaited.has(ring)) return;
    this.#awaited.add(ring);
    await ring.log.bell(BELL_MS);
    this.#awaited.delete(ring);
    if (this.#timer === undefined) this.#look();
  }

  /** Returns how many records there were. */
  #drain(): number {
    const { rings, accessLog } = this.#options;
    this.#epochMs = Date.now() - this.#monotonicMs();
    let records = 0;
    for (const { room, log } of rings) {
      log.drain((numbers, peer) => {
        records++;
        this.#take(room, numbers, peer);
      });
    }
    accessLog.flush();
    return records;
  }

  #take(room: number, numbers: Float64Array, peer: Uint8Array): void {
    const { log } = this.#options;
    const kind: RecordKind = numbers[Field.Kind];
    const atMs = this.#epochMs + numbers[Field.AtMs];
    switch (kind) {
      case RecordKind.Access:
      case RecordKind.Request:
        return this.#access(atMs, numbers, peer);
      case RecordKind.Probe:
        return this.#probe(atMs, numbers);
      case RecordKind.AcceptPaused:
        return tellAcceptPaused(log, atMs, room, numbers[Field.Errno], this.#options.maxConnections);
      case RecordKind.AcceptResumed:
        return tellAcceptResumed(log, atMs, room);
      case RecordKind.Ask:
        return this.#options.asked(room, numbers[Field.Detail]);
      case RecordKind.Bug:
        return tellBug(log, atMs, room, numbers[Field.Detail]);
      default:
        return log.error(
          "records",
          `reactor ${room} told something of kind ${String(kind)}: a bug, please report it`,
        );
    }
  }

  #access(atMs: number, numbers: Float64Array, peer: Uint8Array): void {
    const { directory, accessLog } = this.#options;
    const detail = numbers[Field.Detail];
    accessLog.add({
      atMs,
      client: clientOf(peer),
      listener: directory.listeners.get(numbers[Field.Listener])?.name ?? "",
      upstream: directory.upstreams.get(numbers[Field.Upstream])?.name ?? "",
      server: directory.servers.get(numbers[Field.Server])?.address ?? "",
      upBytes: numbers[Field.UpBytes],
      downBytes: numbers[Field.DownBytes],
      durationMs: numbers[Field.DurationMs],
      reason: numbers[Field.Reason],
      errno: numbers[Field.Errno],
      tried: numbers[Field.Tried],
      detail: DETAILS[detail],
    });
  }

  #probe(atMs: number, numbers: Float64Array): void {
    const { directory, health, log } = this.#options;
    const result = {
      probe: numbers[Field.Server],
      atMs,
      clockMs: numbers[Field.AtMs],
      reason: numbers[Field.Reason],
      errno: numbers[Field.Errno],
      heard: numbers[Field.Heard] % HEARD_UNIT,
      heardNumber: Math.trunc(numbers[Field.Heard] / HEARD_UNIT),
      durationMs: numbers[Field.DurationMs],
      streak: numbers[Field.Tried],
      verdict: numbers[Field.Detail] & 0xff,
    };
    if (!directory.current.probes.has(result.probe)) return; // of an earlier generation
    const before = health.note(result);
    tellHealth(log, directory, before, result);
  }
}

/** The address of a peer record; "" when it is not known. */
function clientOf(peer: Uint8Array): string {
  return peer[0] === 0 ? "" : formatAddress(peer, 0);
}
