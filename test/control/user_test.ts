// control/user.ts: who a configuration's user is, by the lines of /etc/passwd and /etc/group; and where things are by
// default for one who was root.
import { deepEqual, equal } from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultAdmin, defaultStorage } from "../../src/control/config/check.ts";
import { type Identity, identityOf } from "../../src/control/user.ts";

const KNOWN = {
  users: ["root:x:0:0:root:/root:/bin/sh", "www:x:33:34::/:/bin/false", "lone:x:40:40::/:", ""].map((line) =>
    line.split(":")
  ),
  groups: ["web:x:34:", "keys:x:50:www,other", "logs:x:51:other", "ssl:x:52:www", ""].map((line) =>
    line.split(":")
  ),
};

describe("identityOf", () => {
  it("has a user's groups, and one of its own if asked", () => {
    const www: Identity = { uid: 33, gid: 34, groups: [34, 50, 52], name: "www" };
    const cases: [config: Parameters<typeof identityOf>[0], who: Identity | undefined][] = [
      [{}, undefined],
      [{ user: { name: "www" } }, www],
      [{ user: { id: 33 } }, www],
      [{ user: { name: "www" }, group: { name: "logs" } }, { ...www, gid: 51, groups: [51, 50, 52] }],
      [{ user: { id: 4_000 }, group: { id: 4_001 } }, {
        uid: 4_000,
        gid: 4_001,
        groups: [4_001],
        name: "4000",
      }],
      [{ user: { name: "lone" } }, { uid: 40, gid: 40, groups: [40], name: "lone" }],
    ];
    for (const [config, who] of cases) deepEqual(identityOf(config, KNOWN), who);
  });

  it("says who is not known, and what to do", () => {
    const cases: [config: Parameters<typeof identityOf>[0], path: string, what: string][] = [
      [{ user: { name: "ww" } }, "user", '"ww" is no user of this machine'],
      [{ user: { name: "www" }, group: { name: "we" } }, "group", '"we" is no group of this machine'],
      [{ user: { id: 4_000 } }, "user", "user 4000 has no group in /etc/passwd"],
      [{ group: { id: 1 } }, "group", "no user for this group"],
    ];
    for (const [config, path, what] of cases) {
      const found = identityOf(config, KNOWN);
      if (found === undefined || !("what" in found)) throw new Error(`taken: ${what}`);
      deepEqual([found.path, found.what, found.severity], [[path], what, "error"]);
    }
  });
});

describe("what is by default", () => {
  const path = (env: Record<string, string>, uid: number, becomes: boolean) => {
    const admin = defaultAdmin({ env, uid }, becomes);
    return admin.kind === "unix" ? admin.address.path : admin.kind;
  };

  it("is in one place before and after Sluice is another user", () => {
    for (const uid of [0, 33]) {
      equal(path({}, uid, true), "/run/sluice/sluice.sock");
      equal(defaultStorage({ env: {}, uid }, true), "/var/lib/sluice/acme");
    }
    equal(path({}, 0, false), "/run/sluice.sock");
    equal(path({}, 33, false), "off");
  });

  it("is in the directories that systemd made", () => {
    const env = {
      RUNTIME_DIRECTORY: "/run/edge:/run/other",
      STATE_DIRECTORY: "/var/lib/edge",
      XDG_RUNTIME_DIR: "/run/user/33",
    };
    equal(path(env, 33, false), "/run/edge/sluice.sock");
    equal(defaultStorage({ env, uid: 33 }), "/var/lib/edge/acme");
  });
});
