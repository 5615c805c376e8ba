// The host names and protocols by which TCP listeners choose an upstream, as the tables of a Plan (plan/sni.ts).
import { assert } from "../../base/assert.ts";
import { NONE } from "../../base/limits.ts";
import type { Sni, SniSizes } from "../../plan/sni.ts";
import { hostHash, hostPlace } from "../../policy/route.ts";
import type { ArenaWriter } from "./arena.ts";
import type { SniChoice, SniChoices } from "./sni_schema.ts";
import { protocolList, SNI_DEFAULT } from "./tls_values.ts";

/** A listener's number, and what it chooses by: listeners with the same object share a chooser. */
export interface SniOwner {
  readonly number: number;
  readonly choices: SniChoices | undefined;
}

/** The choosers of one generation. */
export interface PlacedSni {
  readonly sizes: SniSizes;
  fill(sni: Sni): void;
}

const WILD = "*.";
const NO_BYTES = new Uint8Array(0);

interface Name {
  readonly textAt: number;
  readonly bytes: Uint8Array;
  exact: number;
  wild: number;
}

/** A row: `protocolAt` and `protocolBytes` are its protocol's. */
interface Choice {
  readonly upstream: number;
  readonly terminate: boolean;
  readonly protocolAt: number;
  readonly protocolBytes: number;
  readonly next: number;
}

interface Chooser {
  readonly first: number;
  readonly mask: number;
  readonly any: number;
}

/** Adds the names to the arena, each once for a chooser. They have been checked: of two that differ in their
 * letters' case alone the first counts. `numberOf`: NONE for an upstream that was left out. */
export function placeSni(
  arena: ArenaWriter,
  owners: readonly SniOwner[],
  numberOf: (upstream: string) => number,
): PlacedSni {
  const placing = new Placing(arena, numberOf);
  const listeners: number[] = [], known = new Map<SniChoices, number>();
  for (const { number, choices } of owners) {
    while (listeners.length <= number) listeners.push(NONE);
    if (choices === undefined) continue;
    listeners[number] = known.get(choices) ?? placing.chooser(choices);
    known.set(choices, listeners[number]);
  }
  return {
    sizes: { ...placing.sizes, listeners: listeners.length },
    fill: (sni) => {
      sni.listenerChooser.set(listeners);
      placing.fill(sni);
    },
  };
}

/** The tables while they grow, row 0 of each nobody's. */
class Placing {
  readonly #arena: ArenaWriter;
  readonly #numberOf: (upstream: string) => number;
  readonly #choosers: Chooser[] = [{ first: NONE, mask: -1, any: NONE }];
  readonly #names: (Name | undefined)[] = [undefined];
  readonly #choices: Choice[] = [
    { upstream: NONE, terminate: false, protocolAt: 0, protocolBytes: 0, next: NONE },
  ];
  readonly #choiceOf = new Map<string, number>();

  constructor(arena: ArenaWriter, numberOf: (upstream: string) => number) {
    this.#arena = arena;
    this.#numberOf = numberOf;
  }

  get sizes(): Omit<SniSizes, "listeners"> {
    return {
      choosers: this.#choosers.length,
      names: this.#names.length,
      choices: this.#choices.length,
    };
  }

  chooser(choices: SniChoices): number {
    const names = new Map<string, Name>();
    let any = NONE;
    for (const [key, targets] of Object.entries(choices)) {
      const choice = this.#choice(targets), text = key.toLowerCase();
      if (text === SNI_DEFAULT) {
        any = choice;
        continue;
      }
      const isWild = text.startsWith(WILD), name = this.#name(names, isWild ? text.slice(WILD.length) : text);
      if (isWild) name.wild ||= choice;
      else name.exact ||= choice;
    }
    const first = this.#names.length, mask = this.#hash([...names.values()]);
    return this.#choosers.push({ first: mask < 0 ? NONE : first, mask, any }) - 1;
  }

  fill(sni: Sni): void {
    this.#choosers.forEach(({ first, mask, any }, chooser) => {
      sni.chooserFirst[chooser] = first;
      sni.chooserMask[chooser] = mask;
      sni.chooserAny[chooser] = any;
    });
    this.#names.forEach((name, row) => {
      if (name === undefined) return;
      sni.nameTextAt[row] = name.textAt;
      sni.nameTextBytes[row] = name.bytes.length;
      sni.nameExact[row] = name.exact;
      sni.nameWild[row] = name.wild;
    });
    this.#choices.forEach(({ upstream, terminate, protocolAt, protocolBytes, next }, choice) => {
      sni.choiceProtocolAt[choice] = protocolAt;
      sni.choiceProtocolBytes[choice] = protocolBytes;
      sni.choiceNext[choice] = next;
      sni.choiceUpstream[choice] = upstream;
      sni.choiceTerminate[choice] = terminate ? 1 : 0;
    });
  }

  /** The first row of a name's. Few, however many names lead to them: equal ends are one. */
  #choice(targets: SniChoice): number {
    return targets.reduceRight((next, { to, terminate, protocol = "" }) => {
      const key = JSON.stringify([to, terminate, protocol, next]), known = this.#choiceOf.get(key);
      if (known !== undefined) return known;
      const bytes = protocol === "" ? NO_BYTES : protocolList([protocol]), protocolBytes = bytes.length;
      const protocolAt = protocolBytes === 0 ? 0 : this.#arena.add(bytes);
      const row = { upstream: this.#numberOf(to), terminate, protocolAt, protocolBytes, next };
      const choice = this.#choices.push(row) - 1;
      this.#choiceOf.set(key, choice);
      return choice;
    }, NONE);
  }

  #name(names: Map<string, Name>, text: string): Name {
    const known = names.get(text);
    if (known !== undefined) return known;
    const bytes = new TextEncoder().encode(text);
    assert(bytes.length > 0, "sni: an empty name");
    const name = { textAt: this.#arena.add(bytes), bytes, exact: NONE, wild: NONE };
    names.set(text, name);
    return name;
  }

  /** Appends a table of names, at most half full; returns its mask. */
  #hash(names: readonly Name[]): number {
    if (names.length === 0) return -1;
    let size = 2;
    while (size < 2 * names.length) size *= 2;
    const first = this.#names.length, mask = size - 1;
    for (let place = 0; place < size; place++) this.#names.push(undefined);
    for (const name of names) {
      let place = hostPlace(hostHash(name.bytes, 0, name.bytes.length), mask);
      while (this.#names[first + place] !== undefined) place = (place + 1) & mask;
      this.#names[first + place] = name;
    }
    return mask;
  }
}
