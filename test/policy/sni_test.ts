import { deepEqual, doesNotThrow, strictEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import { NONE } from "../../src/base/limits.ts";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { placeSni, type SniOwner } from "../../src/control/config/compile_sni.ts";
import type { SniChoice } from "../../src/control/config/sni_schema.ts";
import { checkPlan, makePlan, NO_SIZES, openPlan, type Plan } from "../../src/plan/plan.ts";
import { chooserOf, type Sni } from "../../src/plan/sni.ts";
import { chooseByName, chooseByProtocol } from "../../src/policy/sni.ts";
import { latin1 } from "../proto/hello_fixture.ts";

const LISTENER = 3;
const UPSTREAMS = 20_000;

/** What one name leads to, by number: for all protocols, or by protocol. */
interface Target {
  readonly upstream: number;
  readonly terminate: boolean;
  readonly protocol?: string;
}
type Targets = Readonly<Record<string, Target | readonly Target[]>>;

/** As the schema has it: upstreams by name, which are their numbers here. */
function owner(number: number, targets: Targets): SniOwner {
  const choiceOf = (target: Target | readonly Target[]): SniChoice =>
    [target].flat().map(({ upstream, terminate, protocol }) => ({
      to: `${upstream}`,
      terminate,
      protocol,
      path: [],
    }));
  const choices = Object.entries(targets).map(([name, target]) => [name, choiceOf(target)]);
  return { number, choices: Object.fromEntries(choices) };
}

function compile(owners: readonly SniOwner[]): Plan {
  const arena = new ArenaWriter(), placed = placeSni(arena, owners, Number);
  const sizes = { ...NO_SIZES, listeners: 1, upstreams: UPSTREAMS, servers: 1, probes: 1 };
  const plan = makePlan(1, { ...sizes, arenaBytes: arena.bytes, sni: placed.sizes });
  arena.copyTo(plan.arena);
  placed.fill(plan.sni);
  checkPlan(plan);
  return plan;
}

const planOf = (targets: Targets): Plan => compile([owner(LISTENER, targets)]);
const passed = (upstream: number): Target => ({ upstream, terminate: false });

/** What is chosen for a name that lies between other bytes; undefined: nothing fits. */
function choose(plan: Plan, name: string, listener = LISTENER): Target | undefined {
  const bytes = latin1(`a.${name}.example`), { sni } = plan;
  const choice = chooseByName(plan, listener, bytes, 2, 2 + name.length);
  if (choice === NONE) return undefined;
  return { upstream: sni.choiceUpstream[choice], terminate: sni.choiceTerminate[choice] === 1 };
}

describe("chooseByName", () => {
  const plan = planOf({
    "a.example": passed(1),
    "*.b.example": passed(2),
    "x.b.example": { upstream: 3, terminate: true },
    "b.example": passed(4),
    "*.deep.b.example": passed(5),
    "Capital.Example": passed(6),
    "*.Wild.Example": passed(7),
    "localhost": passed(8),
    "*.top": passed(9),
    "lost.example": passed(NONE),
    default: passed(10),
  });
  const cases: [name: string, upstream: number, why: string][] = [
    ["a.example", 1, "an exact name"],
    ["A.eXaMpLe", 1, "whatever the case of its letters"],
    ["capital.example", 6, "and of those of the configuration"],
    ["y.b.example", 2, "a wildcard"],
    ["Y.B.EXAMPLE", 2, "a wildcard, whatever the case"],
    ["z.wild.example", 7, "and of the configuration's"],
    ["x.b.example", 3, "the exact name comes before the wildcard"],
    ["b.example", 4, "a wildcard is not for the name it stands below"],
    ["x.y.b.example", 2, "it is for every depth below"],
    ["x.deep.b.example", 5, "each depth has its own"],
    ["deep.b.example", 2, "which is not for itself either"],
    ["deep.example", 10, "a name that is not there"],
    ["localhost", 8, "a single label"],
    ["x.top", 9, "a wildcard below a single label"],
    ["top", 10, "a name that is there for its wildcard alone"],
    ["example", 10, "what only others end with"],
    ["a.exampl", 10, "a name that is shorter"],
    ["a.example2", 10, "one that is longer"],
    ["aa.example", 10, "one that ends as another"],
    ["a_example", 10, "one that differs in an octet"],
    ["a\x0eexample", 10, "one that a hash without case takes for another"],
    ["", 10, "no name"],
    ["lost.example", NONE, "an upstream that was left out: chosen, and refused by whoever asks for it"],
  ];
  for (const [name, upstream, why] of cases) {
    it(`${why}: ${JSON.stringify(name)}`, () => {
      deepEqual(choose(plan, name), { upstream, terminate: upstream === 3 });
    });
  }

  it("chooses nothing when nothing fits and there is no default", () => {
    const strict = planOf({ "a.example": passed(1), "*.b.example": passed(2) });
    deepEqual(choose(strict, "a.example"), passed(1));
    strictEqual(choose(strict, "c.example"), undefined);
    strictEqual(choose(strict, "b.example"), undefined);
    strictEqual(choose(strict, ""), undefined);
  });

  it("chooses the default where there are no names", () => {
    const plan = planOf({ default: { upstream: 4, terminate: true } });
    deepEqual(choose(plan, "a.example"), { upstream: 4, terminate: true });
    deepEqual(choose(plan, ""), { upstream: 4, terminate: true });
  });

  it("chooses nothing where there is nothing", () => strictEqual(choose(planOf({}), "a.example"), undefined));

  it("keeps one name on two listeners apart", () => {
    const same = owner(1, { "a.example": passed(1) });
    const plan = compile([
      same,
      { number: 2, choices: undefined },
      owner(5, { "a.example": passed(2) }),
      { ...same, number: 4 },
    ]);
    deepEqual(choose(plan, "a.example", 1), passed(1));
    deepEqual(choose(plan, "a.example", 5), passed(2));
    strictEqual(chooserOf(plan.sni, 1), chooserOf(plan.sni, 4), "one object, one chooser");
    for (const listener of [2, 3, 6]) {
      strictEqual(chooserOf(plan.sni, listener), NONE, `listener ${listener}`);
    }
    throws(() => choose(plan, "a.example", 2), /does not choose by name/);
  });

  it("finds each of 10,000 names and wildcards, and none that is not there", () => {
    const targets: Record<string, Target> = { default: passed(19_999) };
    for (let number = 0; number < 10_000; number++) {
      targets[`shop-${number}.example`] = { upstream: 1 + number, terminate: number % 2 === 1 };
      if (number % 3 === 0) targets[`*.shop-${number}.example`] = passed(1 + (number + 5_000) % 10_000);
    }
    const plan = planOf(targets);
    for (let number = 0; number < 10_000; number++) {
      const wild = number % 3 === 0 ? 1 + (number + 5_000) % 10_000 : 19_999;
      deepEqual(choose(plan, `Shop-${number}.Example`), {
        upstream: 1 + number,
        terminate: number % 2 === 1,
      });
      deepEqual(choose(plan, `www.shop-${number}.example`), passed(wild));
      deepEqual(choose(plan, `a.www.shop-${number}.example`), passed(wild));
      deepEqual(choose(plan, `shop-${number}x.example`), passed(19_999));
    }
  });

  it("looks at few places of a table of 10,000 names", () => {
    const names = Array.from({ length: 10_000 }, (_, number) => `shop-${number}.example`);
    const { sni } = planOf(Object.fromEntries(names.map((name) => [name, passed(1)])));
    const first = sni.chooserFirst[1], mask = sni.chooserMask[1];
    let run = 0, longest = 0;
    for (let place = 0; place <= 2 * mask; place++) {
      run = sni.nameTextAt[first + (place & mask)] === NONE ? 0 : run + 1;
      longest = Math.max(longest, run);
    }
    strictEqual(longest < 200, true, `${longest} in a row are taken`);
  });
});

describe("chooseByProtocol", () => {
  const plan = planOf({
    "a.example": [
      { upstream: 1, terminate: false, protocol: "h2" },
      { upstream: 2, terminate: true, protocol: "acme-tls/1" },
      { upstream: 3, terminate: false },
    ],
    "b.example": [{ upstream: 1, terminate: false, protocol: "h2" }],
    "c.example": [{ upstream: 1, terminate: false, protocol: "h2" }, { upstream: 3, terminate: false }],
  });

  /** By a list that lies between other bytes. */
  function chooseFor(name: string, ...protocols: string[]): number | undefined {
    const list = protocols.map((protocol) => String.fromCharCode(protocol.length) + protocol).join("");
    const bytes = latin1(`${name}${list}\x02h2`), { sni } = plan, end = name.length + list.length;
    const named = chooseByName(plan, LISTENER, bytes, 0, name.length);
    const choice = chooseByProtocol(plan, named, bytes, name.length, end);
    return choice === NONE ? undefined : sni.choiceUpstream[choice];
  }

  const cases: [name: string, protocols: string[], upstream: number | undefined, why: string][] = [
    ["a.example", ["h2"], 1, "the protocol that is offered"],
    ["a.example", ["acme-tls/1"], 2, "each has its own"],
    ["a.example", ["http/1.1", "h2"], 1, "at any place in the list"],
    ["a.example", ["acme-tls/1", "h2"], 1, "the configuration's order counts, not the client's"],
    ["a.example", ["http/1.1"], 3, "a protocol that has no choice of its own: what is for all"],
    ["a.example", [], 3, "and for who offers none"],
    ["a.example", ["h2c"], 3, "a protocol that only begins alike"],
    ["a.example", ["h"], 3, "or only as far as it goes"],
    ["a.example", ["x\x02h2"], 3, "or has another one inside"],
    ["a.example", ["H2"], 3, "the case of letters counts"],
    ["b.example", ["http/1.1"], undefined, "nothing is for all: refused"],
    ["b.example", [], undefined, "and for who offers none"],
    ["c.example", ["h2"], 1, "names have their own lists"],
    ["d.example", ["h2"], undefined, "no name, no protocol"],
  ];
  for (const [name, protocols, upstream, why] of cases) {
    it(`${why}: ${name} ${JSON.stringify(protocols)}`, () => {
      strictEqual(chooseFor(name, ...protocols), upstream);
    });
  }

  it("has equal ends of lists once", () => strictEqual(plan.sni.sizes.choices, 1 + 5));
});

describe("Plan.sni", () => {
  const everything = (): Plan =>
    planOf({ "a.example": passed(1), "*.a.example": passed(2), default: passed(3) });

  it("is seen alike by who opens the memory", () => {
    const plan = everything(), opened = openPlan(plan.memory);
    deepEqual(opened.sni, plan.sni);
    deepEqual(opened.arena, plan.arena);
    deepEqual(choose(opened, "b.a.example"), passed(2));
  });

  it("is empty when nobody asks for it", () => {
    const plan = makePlan(1, { ...NO_SIZES, arenaBytes: 8 });
    strictEqual(plan.sni.sizes.choosers, 0);
    strictEqual(chooserOf(plan.sni, 1), NONE);
    doesNotThrow(() => checkPlan(plan));
  });

  const broken: [column: Exclude<keyof Sni, "sizes">, value: number, why: string][] = [
    ["listenerChooser", 9, "a chooser that is not there"],
    ["chooserMask", 4, "a table that is no power of two"],
    ["chooserMask", 1_023, "more names than there are"],
    ["chooserFirst", 0, "nobody's name"],
    ["chooserAny", 99, "a default that is not there"],
    ["nameTextAt", -1, "a text before the arena"],
    ["nameTextBytes", 1 << 20, "a text behind the arena"],
    ["nameExact", 99, "a choice that is not there"],
    ["nameWild", -1, "one before the first"],
    ["choiceUpstream", 1 << 20, "an upstream that is not there"],
    ["choiceTerminate", 2, "neither yes nor no"],
    ["choiceNext", 1, "choices that lead to themselves"],
    ["choiceProtocolAt", -1, "a protocol before the arena"],
    ["choiceProtocolBytes", 1 << 20, "a protocol behind the arena"],
  ];
  for (const [column, value, why] of broken) {
    it(`is refused with ${why} (${column})`, () => {
      const plan = everything();
      plan.sni[column][1] = value;
      throws(() => checkPlan(plan), /plan: /);
    });
  }

  it("is refused with a table that has no end", () => {
    const plan = everything();
    plan.sni.nameTextAt.fill(8);
    throws(() => checkPlan(plan), /come to an end/);
  });
});
