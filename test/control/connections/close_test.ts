import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { test } from "node:test";
import { closeNamed } from "../../../src/control/connections/close.ts";
import { identityOf, slotOf } from "../../../src/control/connections/row.ts";
import { idOf, readId, tagOf } from "../../../src/control/connections/tags.ts";
import { CLOSING_MAX, Outcome } from "../../../src/shared/closing.ts";
import { makeFixture } from "../sight_fixture.ts";

test("an id names the tables, the slot and its generation, and nothing else is one", () => {
  const { reactors } = makeFixture(), tags = reactors.map(({ tables }) => tagOf(tables));
  equal(new Set(tags).size, tags.length);
  equal(tagOf(reactors[0].tables), tags[0]);
  notEqual(tagOf({ ...reactors[0].tables }), tags[0], "a replaced reactor has other tables");
  for (const [slot, gen] of [[1, 0], [2 ** 20, 2 ** 32 - 1], [17, 3]]) {
    deepEqual(slotOf(identityOf(slot, gen)), { slot, gen });
    const id = idOf({ tag: tags[0], identity: identityOf(slot, gen) });
    match(id, /^[0-9a-z]{4}-[0-9]+-[0-9]+$/);
    deepEqual(readId(id), { tag: tags[0], slot, gen });
  }
  for (
    const text of ["", "17", "k3f9-17", "k3f9-17-4294967296", "K3F9-1-1", "k3f9--1", "k3f9-1-1-1", "k3f9-x-1"]
  ) {
    equal(readId(text), undefined, text);
  }
});

test("connections are closed where they are, in small parts, and each is accounted for", async () => {
  const fixture = makeFixture(), [one, two] = fixture.reactors.map(({ tables }) => tagOf(tables));
  const asked: [room: number, slots: number[]][] = [];
  fixture.close = (room, rows) => {
    asked.push([room, rows.map(({ slot }) => slot)]);
    return Uint8Array.from(rows, ({ slot }) => slot === 3 ? Outcome.Gone : Outcome.Closed);
  };
  const unknown = one === "zzzz" || two === "zzzz" ? "yyyy-1-1" : "zzzz-1-1";
  const answer = await closeNamed(fixture.sight, [
    `${one}-2-0`,
    `${two}-3-1`,
    unknown,
    `${one}-4-0`,
    `${one}-2-0`,
  ]);
  deepEqual(asked.sort(), [[1, [2, 4]], [2, [3]]]);
  deepEqual({ ...answer, gone_connections: [...answer.gone_connections].sort() }, {
    closed: 2,
    gone: 2,
    gone_connections: [`${two}-3-1`, unknown].sort(),
    unanswered: 0,
  });

  asked.length = 0;
  const many = Array.from({ length: 2 * CLOSING_MAX + 1 }, (_, nth) => `${one}-${nth + 10}-0`);
  equal((await closeNamed(fixture.sight, many)).closed, many.length);
  deepEqual(asked.map(([, slots]) => slots.length), [CLOSING_MAX, CLOSING_MAX, 1]);

  fixture.close = (_, rows) => new Uint8Array(rows.length);
  deepEqual(await closeNamed(fixture.sight, many), {
    closed: 0,
    gone: 0,
    gone_connections: [],
    unanswered: many.length,
  });
});
