// A process to look at, made of the real shared memory and no Workers: two reactors and the health
// Worker's room, one listener, one upstream with three servers. Tests write the columns themselves.
import type { AcmeStatus } from "../../src/control/acme/acme.ts";
import { Log, type LogOptions } from "../../src/control/log.ts";
import { AccessLog } from "../../src/control/access_log.ts";
import type { AcceptQueue } from "../../src/control/listeners.ts";
import type { CertificateStatus } from "../../src/control/certificates/store.ts";
import { Directory } from "../../src/control/directory.ts";
import { HealthHistory } from "../../src/control/health_history.ts";
import { Overrides } from "../../src/control/overrides.ts";
import { Output } from "../../src/control/output.ts";
import { Recent } from "../../src/control/recent.ts";
import type { Phase, ReactorView, Sight } from "../../src/control/sight.ts";
import { type ClosingRow, Outcome } from "../../src/shared/closing.ts";
import { Field, LogRing } from "../../src/shared/log_ring.ts";
import { makeShared, openShared } from "../../src/shared/servers.ts";
import { makeTable } from "../../src/shared/columns.ts";
import { makeSources, openSources } from "../../src/shared/sources.ts";
import { makeStats, openStats } from "../../src/shared/stats.ts";
import { EXCHANGES, FLOWS, SLOTS, TIMERS } from "../../src/shared/tables.ts";

export const LISTENER = 3;
export const UPSTREAM = 2;
export const SERVERS = [4, 5, 6];
export const PROBES = [7, 8, 9];

/** An output that keeps what was written. */
export class Kept {
  text = "";
  readonly output: Output;

  constructor(pendingBytesMax?: number) {
    this.output = new Output((bytes) => {
      this.text += new TextDecoder().decode(bytes);
      return Promise.resolve(bytes.length);
    }, { pendingBytesMax });
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

export function keptLog(options: Partial<LogOptions> = {}): { log: Log; kept: Kept } {
  const kept = new Kept();
  return { log: Log.open({ level: "debug", format: "text", output: kept.output, ...options }), kept };
}

const PLAIN = { weight: 1, configuredWeight: 1, disabled: false, backup: false };

/** `host` as directory entries name it: server N of three has the address 10.0.0.N:9001. */
export function fillDirectory(directory: Directory, upstream = "app"): void {
  directory.begin();
  directory.add("listeners", {
    number: LISTENER,
    name: "web",
    bind: "[::]:9000",
    upstreams: [upstream],
    upstream,
  });
  directory.add("upstreams", { number: UPSTREAM, name: upstream, servers: SERVERS, names: ["app1"] });
  SERVERS.forEach((number, index) => {
    const address = `10.0.0.${index + 1}:9001`;
    const probe = PROBES[index];
    directory.add("servers", { number, upstream, target: `app${index + 1}:9001`, address, probe, ...PLAIN });
    directory.add("probes", {
      number: probe,
      address,
      servers: [number],
      intervalMs: 2000,
      fall: 3,
      rise: 2,
      check: { http: undefined, expect: undefined },
    });
  });
}

export interface Fixture {
  readonly sight: Sight;
  readonly reactors: (ReactorView & { readonly log: LogRing })[];
  readonly kept: Kept;
  phase: Phase;
  /** The reactors' clock. */
  nowMs: number;
  /** How often a new generation was asked for. */
  compiled: number;
  /** What becomes of connections that are to be closed: they are, unless a test says otherwise. */
  close: (room: number, rows: readonly ClosingRow[]) => Uint8Array;
  /** Peer records by room and slot: `1 7`. */
  readonly peers: Map<string, Uint8Array>;
}

interface FixtureOptions {
  readonly upstream?: string;
  readonly certificates?: readonly CertificateStatus[];
  readonly acme?: AcmeStatus;
  readonly settingProblems?: ReadonlyMap<string, string>;
  readonly acceptQueue?: AcceptQueue;
}

/** One that a listener presents, until the first of March. */
export const CERTIFICATE: CertificateStatus = {
  listeners: ["web"],
  upstreams: [],
  file: "/etc/sluice/shop.pem",
  names: ["shop.example", "*.shop.example"],
  issuer: "An Authority",
  notBefore: Date.UTC(2026, 0, 1),
  notAfter: Date.UTC(2026, 2, 1),
  fingerprint: "ab".repeat(32),
  problem: undefined,
};

export function makeFixture(options: FixtureOptions = {}): Fixture {
  const { log, kept } = keptLog();
  const directory = new Directory();
  fillDirectory(directory, options.upstream);
  const reactors = [1, 2, 3].map((room) => ({
    room,
    role: room === 3 ? "health" as const : "reactor" as const,
    stats: openStats(makeStats()),
    ...makeTables(),
    worker: {},
    log: new LogRing(LogRing.make()),
  }));
  const shared = openShared(makeShared());
  let nowMs = 1_000_000;
  const recent = new Recent(reactors, () => nowMs);
  const fixture: Fixture = {
    phase: "ready",
    get nowMs() {
      return nowMs;
    },
    set nowMs(ms) {
      nowMs = ms;
    },
    compiled: 0,
    close: (_, rows) => new Uint8Array(rows.length).fill(Outcome.Closed),
    peers: new Map(),
    reactors,
    kept,
    sight: {
      startedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
      phase: () => fixture.phase,
      upgrading: {
        count: 0,
        underWay: false,
        fromVersion: undefined,
        upgrade: () => Promise.reject(new Error("nothing runs here")),
      },
      generation: () => 5,
      published: () => undefined,
      maxConnections: 1000,
      reactors,
      clockMs: () => nowMs,
      peerOf: (room, slot, into) => {
        const peer = fixture.peers.get(`${room} ${slot}`);
        if (peer !== undefined) into.set(peer);
        return peer !== undefined;
      },
      deaths: () => 1,
      shared,
      overrides: new Overrides({
        directory,
        shared,
        log,
        clockMs: () => nowMs,
        changed: () => fixture.compiled++,
        opened: () => {},
      }),
      close: (room, rows) => Promise.resolve(fixture.close(room, rows)),
      sources: openSources(makeSources(1, 1)),
      lists: () => [],
      reload: () => Promise.resolve({ reloaded: false, status: 1, why: ["no file"], text: "no file\n" }),
      reloads: () => ({ done: 0, refused: 0, last: undefined }),
      leaving: () => [],
      settingProblems: () => options.settingProblems ?? new Map(),
      directory,
      health: new HealthHistory(),
      names: new Map(),
      certificates: () => options.certificates ?? [],
      acme: () => options.acme,
      presented: () => [],
      recent: () => recent.view(),
      log,
      acceptQueues: () => new Map(options.acceptQueue === undefined ? [] : [[LISTENER, options.acceptQueue]]),
      datagramsLost: () => 0,
      accessLog: new AccessLog({ to: { kind: "off" }, format: "text", log }),
    },
  };
  return fixture;
}

/** Rows of a reactor's tables. */
export const ROWS = 64;

function makeTables(): Pick<ReactorView, "sizes" | "tables"> {
  const sizes = { slots: ROWS, exchanges: ROWS, timers: ROWS, pipes: 1 };
  const tables = {
    slots: makeTable(SLOTS, ROWS),
    exchanges: makeTable(EXCHANGES, ROWS),
    timers: makeTable(TIMERS, ROWS),
    flows: makeTable(FLOWS, ROWS),
  };
  return { sizes, tables };
}

/** Pushes a record into a ring, as a reactor does; false when the ring is full. */
export function pushRecord(
  ring: LogRing,
  fields: Readonly<Partial<Record<Field, number>>>,
  peer?: readonly number[],
): boolean {
  const row = ring.room();
  if (row < 0) return false;
  for (const [field, value] of Object.entries(fields)) ring.numbers[row + Number(field)] = value ?? 0;
  const bytes = new Uint8Array(24);
  bytes.set(peer ?? [4, 0, 0x9c, 0x40, 192, 0, 2, 7]); // 192.0.2.7:40000
  ring.setPeer(row, bytes, 0);
  ring.push();
  return true;
}
