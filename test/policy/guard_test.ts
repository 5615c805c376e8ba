// What a guard says of one more connection, case by case.
import { equal } from "node:assert/strict";
import { describe, it } from "node:test";
import { NONE } from "../../src/base/limits.ts";
import { checkGuards } from "../../src/plan/guards.ts";
import { listenerVerdict, listVerdict, sourceVerdict } from "../../src/policy/guard.ts";
import { bucketTake, ticksAt } from "../../src/shared/buckets.ts";
import { Reason, REASONS } from "../../src/shared/reason.ts";
import { makeSources, openSources, SOURCES_FIRST } from "../../src/shared/sources.ts";
import { guardsOf, recordOf } from "./lists_fixture.ts";

const GUARD = 1;
const LIMITER = 1;
const SOURCE = SOURCES_FIRST + 5;
const NOW = ticksAt(1_000_000);

function nameOf(reason: Reason): string {
  return REASONS[reason].name;
}

describe("listVerdict", () => {
  const lists = { allow: ["10.0.0.0/8", "2001:db8::/32"], deny: ["10.1.0.0/16", "unix"] };
  const cases: [ip: string, isProxy: boolean, want: Reason, why: string][] = [
    ["10.2.0.1", false, Reason.None, "allowed, not denied"],
    ["10.1.0.1", false, Reason.Denied, "deny goes before allow"],
    ["192.0.2.1", false, Reason.NotAllowed, "in neither"],
    ["2001:db8::1", false, Reason.None, "IPv6"],
    ["2001:db9::1", false, Reason.NotAllowed, "IPv6, in neither"],
    ["::ffff:10.1.0.1", false, Reason.Denied, "mapped is IPv4"],
    ["unix", false, Reason.Denied, "a unix socket"],
    ["192.0.2.1", true, Reason.None, "allow is not about a proxy, but about whom it tells"],
    ["10.1.0.1", true, Reason.Denied, "deny is"],
  ];
  const guards = guardsOf([lists]);
  for (const [ip, isProxy, want, why] of cases) {
    it(`${ip}: ${why}`, () =>
      equal(nameOf(listVerdict(guards, GUARD, recordOf(ip), 0, isProxy)), nameOf(want)));
  }

  it("without an allow everybody may come, without a deny nobody is refused", () => {
    equal(listVerdict(guardsOf([{ deny: "10.0.0.1" }]), GUARD, recordOf("10.0.0.2"), 0, false), Reason.None);
    equal(listVerdict(guardsOf([{ allow: "10.0.0.1" }]), GUARD, recordOf("10.0.0.1"), 0, false), Reason.None);
  });
});

describe("sourceVerdict and listenerVerdict", () => {
  const cases: [
    limits: object,
    has: { source?: number; listener?: number; took?: number; listenerTook?: number },
    want: [source: Reason, listener: Reason],
    why: string,
  ][] = [
    [{ "connections-per-source": 3 }, { source: 2 }, [Reason.None, Reason.None], "the last one"],
    [{ "connections-per-source": 3 }, { source: 3 }, [Reason.SourceLimit, Reason.None], "one more"],
    [{ connections: 3 }, { source: 9, listener: 2 }, [Reason.None, Reason.None], "the listener's last"],
    [{ connections: 3 }, { listener: 3 }, [Reason.None, Reason.ListenerLimit], "one more there"],
    [{ "new-connections-per-source": "5/s" }, { took: 4 }, [Reason.None, Reason.None], "the last of a burst"],
    [{ "new-connections-per-source": "5/s" }, { took: 5 }, [Reason.SourceRate, Reason.None], "too fast"],
    [
      { "new-connections": "5/s" },
      { listenerTook: 5 },
      [Reason.None, Reason.ListenerRate],
      "too fast for all",
    ],
    [
      { "new-connections": { rate: "5/s", burst: 9 } },
      { listenerTook: 8 },
      [Reason.None, Reason.None],
      "a burst",
    ],
    [
      { "connections-per-source": 1, "new-connections-per-source": "1/s" },
      { source: 1, took: 1 },
      [Reason.SourceLimit, Reason.None],
      "both: the count is told",
    ],
  ];
  for (const [limits, has, [ofSource, ofListener], why] of cases) {
    it(`${JSON.stringify(limits)} with ${JSON.stringify(has)}: ${why}`, () => {
      const guards = guardsOf([{ limits }]), sources = openSources(makeSources(1, 1));
      checkGuards(guards);
      sources.sourceConnections[SOURCE] = has.source ?? 0;
      sources.sourceConnections[LIMITER] = has.listener ?? 0;
      for (let nth = 0; nth < (has.took ?? 0); nth++) {
        bucketTake(sources.sourceNew, SOURCE, NOW, ticksAt(200), 5);
      }
      for (let nth = 0; nth < (has.listenerTook ?? 0); nth++) {
        bucketTake(sources.sourceNew, LIMITER, NOW, ticksAt(200), 9);
      }
      equal(nameOf(sourceVerdict(guards, GUARD, sources, SOURCE, NOW)), nameOf(ofSource));
      equal(nameOf(listenerVerdict(guards, GUARD, sources, NOW)), nameOf(ofListener));
      equal(sourceVerdict(guards, GUARD, sources, NONE, NOW), Reason.None, "who has no row has no limit");
    });
  }
});
