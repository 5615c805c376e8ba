// An upgrade, from the side of the process that runs: starts the next one, gives it everything, and lets go once it
// serves. Until it says so (`ready`), whatever fails or comes late ends the new process and leaves this one as it was.
// Knows the order and the deadlines; what is given is in state.ts and sessions.ts.
import { errnoName } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";
import type { Config } from "../config/schema.ts";
import { counted } from "../config/units.ts";
import type { Directory } from "../directory.ts";
import type { Socket } from "../listen_sockets.ts";
import type { Log } from "../log.ts";
import type { Reactors } from "../reactors.ts";
import type { Phase } from "../sight.ts";
import { VERSION } from "../version.ts";
import type { UpgradeAnswer } from "./answer.ts";
import { type Channel, ChannelError, type Message } from "./channel.ts";
import { FORMAT, Section } from "./format.ts";
import { jsonBytes, makeState } from "./memory.ts";
import { findProgram, type Program, ProgramError, refusal } from "./program.ts";
import { handedSessions } from "./sessions.ts";
import { type ControlState, handedServers, handedSockets } from "./state.ts";
import { FailedError, Successor } from "./successor.ts";

/** The whole start of the new process: its runtime, its configuration, the names in it. */
const START_DEADLINE_MS = 20_000;
/** For reactors to stand still; they answer within a turn. */
const FREEZE_DEADLINE_MS = 2_000;
/** For the new process to go on with what it has: nobody reads datagrams meanwhile. */
const SWITCH_DEADLINE_MS = 5_000;
/** For its admin API to be there. */
const COMPLETE_DEADLINE_MS = 5_000;
/** For what was being accepted just now. */
const YIELD_DEADLINE_MS = 2_000;

/** What the process is made of, as far as it goes on in the next one. */
export interface Estate {
  readonly log: Log;
  readonly phase: () => Phase;
  readonly reactors: () => Reactors;
  readonly directory: Directory;
  readonly config: () => Config;
  /** Those that listen now. */
  readonly sockets: () => readonly Socket[];
  /** Our own keys of session tickets. */
  readonly tickets: () => ControlState["tickets"];
  /** What an operator said. */
  readonly overrides: () => unknown;
  /** What the process before this one said of itself; undefined: there was none. */
  readonly before: ControlState | undefined;
  /** Resolves once nothing else is being changed; from the beginning of an upgrade on nothing is. */
  readonly settled: () => Promise<void>;
  /** Of the admin API; 0: it has none. */
  readonly adminPort: () => number;
  /** Closes the listening sockets, which another process has, and nothing else about them. */
  readonly letGo: () => void;
  /** Lets the address of the admin API be opened by another process. Requests that are open are still answered. */
  readonly releaseAdmin: () => void;
  /** `pid` is the process that a service manager is to look after from here on. */
  readonly speaksForUs: (pid: number) => void;
  /** The other process has everything: this one drains and ends. */
  readonly succeeded: () => void;
}

export class Upgrading {
  readonly #estate: Estate;
  #successor: Successor | undefined;
  #underWay: Promise<unknown> | undefined;
  #cancelled: string | undefined;

  constructor(estate: Estate) {
    this.#estate = estate;
  }

  get underWay(): boolean {
    return this.#underWay !== undefined;
  }

  /** Upgrades that led to this process. */
  get count(): number {
    const { before } = this.#estate;
    return before === undefined ? 0 : before.upgrades + 1;
  }

  /** The version that this process follows; undefined: it follows none. */
  get fromVersion(): string | undefined {
    return this.#estate.before?.version;
  }

  /** Upgrades to the executable at `path`, or to the one this was started as, as it is now. Does not throw: if it comes
   * to nothing, all is as before. */
  async upgrade(path: string | undefined): Promise<UpgradeAnswer> {
    const begunMs = performance.now(), why = this.#refusal();
    if (why !== undefined) return this.#failed(begunMs, why);
    this.#cancelled = undefined;
    const attempt = this.#attempt(path, begunMs);
    this.#underWay = attempt;
    return await attempt;
  }

  async #attempt(path: string | undefined, begunMs: number): Promise<UpgradeAnswer> {
    try {
      await this.#estate.settled();
      return await this.#replace(await findProgram(path), begunMs);
    } catch (error) {
      const isTold = [ChannelError, FailedError, ProgramError].some((kind) => error instanceof kind);
      if (!isTold) this.#estate.log.error("upgrade", `${(error as Error).stack ?? error}`);
      const said = this.#cancelled ??
        (isTold ? (error as Error).message : "an error of Sluice; the log says more");
      return this.#failed(begunMs, said, error instanceof FailedError ? error.lines.slice(1) : []);
    } finally {
      this.#underWay = undefined;
      this.#successor = undefined;
    }
  }

  /** The process is to end, or whatever else speaks against going on: until the new process serves, it is ended. Resolves
   * once the upgrade under way has come to its end, whichever that is. */
  async cancel(why: string): Promise<void> {
    this.#cancelled = why;
    this.#successor?.channel.close();
    await this.#underWay;
  }

  #refusal(): string | undefined {
    if (this.underWay) return "another upgrade is under way";
    const phase = this.#estate.phase();
    if (phase !== "ready") return `this process is ${phase}`;
    return refusal();
  }

  async #replace(program: Program, begunMs: number): Promise<UpgradeAnswer> {
    const { log } = this.#estate;
    log.info("upgrade", `starting ${program.path}, version ${program.version}`, { version: program.version });
    if (this.#cancelled !== undefined) throw new ChannelError(this.#cancelled);
    const successor = this.#successor = Successor.start(program);
    let sessions: { sent: number; taken: number };
    try {
      await this.#prepare(successor, performance.now() + START_DEADLINE_MS);
      sessions = await this.#switch(successor);
    } catch (error) {
      await successor.end();
      throw error;
    }
    return await this.#letGo(successor, program, sessions, begunMs);
  }

  /** The new process starts with what stands still anyway. */
  async #prepare(successor: Successor, untilMs: number): Promise<void> {
    const { message } = await successor.expect("hello", untilMs);
    if (message.newest < FORMAT || message.oldest > FORMAT) {
      throw new ChannelError(
        `version ${message.version} reads states of format ${message.oldest} to ${message.newest}, and this one ` +
          `writes ${FORMAT}: restart instead`,
      );
    }
    const { directory, reactors, config, sockets, tickets, overrides } = this.#estate;
    const state: ControlState = {
      version: VERSION,
      pid: process.pid,
      upgrades: this.count,
      adminPort: this.#estate.adminPort(),
      sockets: handedSockets(sockets(), config()),
      servers: handedServers(directory, reactors().shared),
      tickets: tickets(),
      overrides: overrides(),
    };
    const fds = sockets().map(({ socket }) => must(sys.listener_fd(socket)));
    const sections = new Map([[Section.Control, jsonBytes(state)]]);
    await hand(successor.channel, { kind: "state", sockets: fds.length }, sections, fds, untilMs);
    await successor.expect("prepared", untilMs);
  }

  /** Sessions go over while nobody reads datagrams; then the new process watches, beside this one. */
  async #switch(successor: Successor): Promise<{ sent: number; taken: number }> {
    const { directory, overrides, sockets } = this.#estate, reactors = this.#estate.reactors();
    const { channel } = successor;
    try {
      if (!await reactors.freeze(FREEZE_DEADLINE_MS)) {
        throw new ChannelError("a reactor of this process did not halt");
      }
      const untilMs = performance.now() + SWITCH_DEADLINE_MS;
      const sent = reactors.flows;
      const { sections, fds } = handedSessions(reactors.traffic, sockets(), directory);
      const control = jsonBytes({ overrides: overrides() });
      const all = new Map([[Section.Control, control], ...sections]);
      await hand(channel, { kind: "switch", sessions: fds.length }, all, fds, untilMs);
      const { message } = await successor.expect("ready", untilMs);
      return { sent, taken: message.sessions };
    } catch (error) {
      reactors.thaw();
      throw error;
    }
  }

  /** There is no way back: the new process serves. Nothing of this may throw. */
  async #letGo(
    successor: Successor,
    { version }: Program,
    { sent, taken }: { readonly sent: number; readonly taken: number },
    begunMs: number,
  ): Promise<UpgradeAnswer> {
    const { log, reactors, letGo, releaseAdmin, speaksForUs, succeeded } = this.#estate, { pid } = successor;
    await reactors().yield(YIELD_DEADLINE_MS);
    letGo();
    releaseAdmin();
    speaksForUs(pid); // before it says anything itself: who is not known is not heard
    let admin = "";
    try {
      const untilMs = performance.now() + COMPLETE_DEADLINE_MS;
      await successor.channel.send({ kind: "released" }, untilMs);
      await successor.expect("complete", untilMs);
    } catch (error) {
      admin = `; of its admin API nothing was heard: ${(error as Error).message}`;
    }
    successor.channel.close();
    const took = Math.round(performance.now() - begunMs);
    const text = `process ${pid}, version ${version}, has taken over${
      sent === 0 ? "" : `, with ${taken} of ` +
        counted(sent, "session")
    }${admin}; this one drains`;
    log.info("upgrade", text, { pid, version, sessions: taken, took_ms: took });
    succeeded();
    return {
      upgraded: true,
      pid,
      version,
      sessions: taken,
      sessions_lost: Math.max(0, sent - taken),
      took_ms: took,
      why: null,
      lines: [],
    };
  }

  #failed(begunMs: number, why: string, lines: readonly string[] = []): UpgradeAnswer {
    const more = lines.length === 0 ? "" : ` (${lines.join("; ")})`;
    this.#estate.log.error("upgrade", `no upgrade: ${why}${more}; this process goes on`);
    return {
      upgraded: false,
      pid: null,
      version: null,
      sessions: 0,
      sessions_lost: 0,
      took_ms: Math.round(performance.now() - begunMs),
      why,
      lines,
    };
  }
}

function must(fd: number): number {
  if (fd < 0) throw new ChannelError(`a listening socket is not there: ${errnoName(-fd)}`);
  return fd;
}

/** Sends a message with its memory, and behind it the descriptors that it tells of. @throws ChannelError */
async function hand(
  channel: Channel,
  message: Message,
  sections: ReadonlyMap<Section, Uint8Array>,
  fds: readonly number[],
  untilMs: number,
): Promise<void> {
  const memory = makeState(sections);
  try {
    await channel.send(message, untilMs, [memory]);
  } finally {
    sys.handover_close(memory);
  }
  await channel.sendFds(fds, untilMs);
}
