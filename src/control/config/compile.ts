// Config -> Plan: names become numbers that keep their meaning, addresses and texts become bytes in the
// arena. Pure but for the numbers it takes. Everything a user can get wrong was refused before; what
// may still be missing is a name without an address, which is an upstream with fewer servers.
import {
  LISTENERS_MAX,
  NONE,
  PROBES_MAX,
  SERVERS_MAX,
  SERVERS_PER_UPSTREAM_MAX,
  UPSTREAMS_MAX,
} from "../../base/limits.ts";
import { ARENA_FIRST, checkPlan, makePlan, type Plan, ProbeKind } from "../../plan/plan.ts";
import type { Directory } from "../directory.ts";
import { Numbers } from "../numbers.ts";
import { type Address, addressText, encodeAddress, type LiteralAddress } from "./address.ts";
import type { Config, HealthCheck } from "./schema.ts";

/** A listening socket that is open. */
export interface OpenSocket {
  /** Its index in C. */
  readonly socket: number;
  /** The configured listener, and which of its binds. */
  readonly listener: string;
  readonly bind: string;
  /** Where the kernel bound it. */
  readonly bound: string;
}

/** Numbers of everything that has an identity, for the life of the process. */
export class Identities {
  readonly listeners = new Numbers(LISTENERS_MAX);
  readonly upstreams = new Numbers(UPSTREAMS_MAX);
  readonly servers = new Numbers(SERVERS_MAX);
  readonly probes = new Numbers(PROBES_MAX);
}

export interface CompileInput {
  readonly config: Config;
  readonly generation: number;
  readonly sockets: readonly OpenSocket[];
  /** The addresses a target stands for now. */
  readonly resolve: (target: Address) => readonly LiteralAddress[];
  /** The number of a compiled regular expression. */
  readonly patternOf: (source: Uint8Array) => number;
}

/** Something that does not fit: told, and left out. */
export type CompileWarning = string;

interface Probe {
  readonly number: number;
  readonly check: HealthCheck;
  readonly address: LiteralAddress;
  readonly servers: number[];
}

interface Server {
  readonly number: number;
  readonly upstream: number;
  readonly address: LiteralAddress;
}

/**
 * Compiles one generation. `directory` learns its names; `identities` keeps the numbers of what is
 * still there and lets go of the rest.
 */
export function compile(
  input: CompileInput,
  identities: Identities,
  directory: Directory,
): { plan: Plan; warnings: CompileWarning[] } {
  const { config, generation } = input;
  const warnings: CompileWarning[] = [];
  const kept = {
    listeners: new Set<string>(),
    upstreams: new Set<string>(),
    servers: new Set<string>(),
    probes: new Set<string>(),
  };
  const take = (kind: keyof typeof kept, key: string): number => {
    const number = identities[kind].take(key);
    if (number !== NONE) kept[kind].add(key);
    return number;
  };

  directory.begin();
  const members: { upstream: number; connectMs: number; servers: number[] }[] = [];
  const servers: Server[] = [];
  const probes = new Map<string, Probe>();
  for (const [name, upstream] of Object.entries(config.upstreams)) {
    const number = take("upstreams", name);
    if (number === NONE) {
      warnings.push(`upstream "${name}": more than ${UPSTREAMS_MAX - 1} upstreams; it is left out`);
      continue;
    }
    const numbers: number[] = [];
    const seen = new Map<string, number>();
    for (const { address: target } of upstream.servers) {
      for (const address of input.resolve(target)) {
        const text = addressText(address);
        const key = `${name}\n${addressText(target)}\n${text}`;
        const nth = (seen.get(key) ?? 0) + 1;
        seen.set(key, nth);
        const record = recordOf(address);
        if (typeof record === "string") {
          warnings.push(`upstream "${name}": ${text} is left out: ${record}`);
          continue;
        }
        const server = numbers.length < SERVERS_PER_UPSTREAM_MAX ? take("servers", `${key}\n${nth}`) : NONE;
        if (server === NONE) {
          warnings.push(`upstream "${name}": too many servers; ${text} is left out`);
          continue;
        }
        numbers.push(server);
        servers.push({ number: server, upstream: number, address });
        const probe = upstream.health === "off"
          ? NONE
          : addProbe(probes, take, upstream.health, address, server);
        directory.add("servers", {
          number: server,
          upstream: name,
          target: addressText(target),
          address: text,
          probe,
        });
      }
    }
    members.push({ upstream: number, connectMs: upstream.timeouts.connect, servers: numbers });
    directory.add("upstreams", { number, name, servers: numbers });
  }

  const listeners = new Map<
    string,
    { number: number; to: string; idleMs: number; bound: string; name: string }
  >();
  for (const socket of input.sockets) {
    const listener = config.listeners[socket.listener];
    if (listener === undefined) continue;
    const key = `${socket.listener}\n${socket.bind}`;
    const number = take("listeners", key);
    listeners.set(key, {
      number,
      to: listener.to,
      idleMs: listener.timeouts["tunnel-idle"],
      bound: socket.bound,
      name: socket.listener,
    });
    directory.add("listeners", { number, name: socket.listener, bind: socket.bound, upstream: listener.to });
  }

  const arena = new ArenaWriter();
  const probeList = [...probes.values()];
  const texts = probeList.map(({ check }) => ({
    sendAt: arena.add(check.send),
    expectAt: check.expect?.kind === "text" ? arena.add(check.expect.bytes) : 0,
  }));
  const serverAddresses = servers.map(({ address }) => arena.add(encodeAddress(address)));
  const probeAddresses = probeList.map(({ address }) => arena.add(encodeAddress(address)));

  const plan = makePlan(generation, {
    sockets: input.sockets.reduce((end, { socket }) => Math.max(end, socket + 1), 0),
    listeners: identities.listeners.end,
    upstreams: identities.upstreams.end,
    servers: identities.servers.end,
    members: servers.length,
    probes: identities.probes.end,
    probeMembers: probeList.reduce((sum, probe) => sum + probe.servers.length, 0),
    arenaBytes: arena.bytes,
    accessAll: config.log.access.to.kind === "off" ? 0 : 1,
  });
  arena.copyTo(plan.arena);

  for (const { socket, listener, bind } of input.sockets) {
    plan.socketListener[socket] = listeners.get(`${listener}\n${bind}`)?.number ?? NONE;
  }
  const upstreamNumbers = new Map([...directory.current.upstreams].map((number) => [
    directory.upstreams.get(number)!.name,
    number,
  ]));
  for (const { number, to, idleMs } of listeners.values()) {
    plan.listenerUpstream[number] = upstreamNumbers.get(to) ?? NONE;
    plan.listenerTunnelIdleMs[number] = idleMs;
  }
  let member = 0;
  for (const { upstream, connectMs, servers: numbers } of members) {
    plan.upstreamFirst[upstream] = member;
    plan.upstreamCount[upstream] = numbers.length;
    plan.upstreamConnectMs[upstream] = connectMs;
    for (const number of numbers) plan.upstreamMember[member++] = number;
  }
  servers.forEach(({ number, upstream }, index) => {
    plan.serverAddressAt[number] = serverAddresses[index];
    plan.serverUpstream[number] = upstream;
  });
  let probeMember = 0;
  probeList.forEach(({ number, check, address, servers: about }, index) => {
    plan.probeKind[number] = check.tcp ? ProbeKind.Connect : ProbeKind.Text;
    plan.probeAddressAt[number] = probeAddresses[index];
    plan.probeFirst[number] = probeMember;
    plan.probeCount[number] = about.length;
    for (const server of about) plan.probeMember[probeMember++] = server;
    plan.probeIntervalMs[number] = check.interval;
    plan.probeTimeoutMs[number] = check.timeout;
    plan.probeFall[number] = check.fall;
    plan.probeRise[number] = check.rise;
    plan.probeSendAt[number] = texts[index].sendAt;
    plan.probeSendBytes[number] = check.send.length;
    plan.probeExpectAt[number] = texts[index].expectAt;
    const expected = check.expect?.kind === "pattern" ? check.expect.source : check.expect?.bytes;
    plan.probeExpectBytes[number] = expected?.length ?? 0;
    plan.probePattern[number] = check.expect?.kind === "pattern"
      ? input.patternOf(check.expect.source)
      : NONE;
    directory.add("probes", {
      number,
      address: addressText(address),
      servers: about,
      intervalMs: check.interval,
      fall: check.fall,
      rise: check.rise,
    });
  });

  for (const kind of ["listeners", "upstreams", "servers", "probes"] as const) {
    identities[kind].retain(kept[kind], generation);
  }
  checkPlan(plan);
  return { plan, warnings };
}

/** The address as C has it; or why it has no such form: an interface that is not there. */
function recordOf(address: LiteralAddress): Uint8Array | string {
  try {
    return encodeAddress(address);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** One address is probed once, whoever names it, as long as it is asked the same thing. */
function addProbe(
  probes: Map<string, Probe>,
  take: (kind: "probes", key: string) => number,
  check: HealthCheck,
  address: LiteralAddress,
  server: number,
): number {
  const expect = check.expect === undefined
    ? ""
    : check.expect.kind + hex(check.expect.kind === "text" ? check.expect.bytes : check.expect.source);
  const { interval, timeout, fall, rise } = check;
  const key = [addressText(address), check.tcp, hex(check.send), expect, interval, timeout, fall, rise].join(
    "\n",
  );
  const known = probes.get(key);
  if (known !== undefined) {
    known.servers.push(server);
    return known.number;
  }
  const number = take("probes", key);
  if (number !== NONE) probes.set(key, { number, check, address, servers: [server] });
  return number;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Gathers the arena's bytes; what is added twice is there twice (addresses are short). */
class ArenaWriter {
  readonly #parts: { at: number; bytes: Uint8Array }[] = [];
  bytes = ARENA_FIRST;

  /** Returns the offset; 0 for nothing. */
  add(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const at = this.bytes;
    this.#parts.push({ at, bytes });
    this.bytes += bytes.length;
    return at;
  }

  copyTo(arena: Uint8Array): void {
    for (const { at, bytes } of this.#parts) arena.set(bytes, at);
  }
}
