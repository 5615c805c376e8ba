import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Name } from "../../src/proto/head.ts";
import { nameOf, NAMES } from "../../src/proto/names.ts";
import { ascii } from "../../src/proto/octet.ts";

const find = (text: string) => nameOf(ascii(`x${text}x`), 1, 1 + text.length);

describe("nameOf", () => {
  it("finds each name, in any case, and none that differs from it in one octet", () => {
    for (let name = 1; name < NAMES.length; name++) {
      const text = String.fromCharCode(...NAMES[name]);
      strictEqual(find(text), name, text);
      strictEqual(find(text.toUpperCase()), name, text);
      for (let at = 0; at < text.length; at++) {
        const other = `${text.slice(0, at)}_${text.slice(at + 1)}`;
        strictEqual(find(other), text[at] === "-" ? Name.Lookalike : Name.Other, other);
      }
      strictEqual(find(`${text}s`), Name.Other);
    }
  });

  const cases: [text: string, want: Name, why: string][] = [
    ["host", Name.Host, "the first"],
    ["max-forwards", Name.MaxForwards, "the last"],
    ["x-forwarded-host", Name.XForwardedHost, "of two that differ in one octet"],
    ["x-forwarded-port", Name.XForwardedPort, "the other"],
    ["X_Forwarded_FOR", Name.Lookalike, "with underscores for all its hyphens"],
    ["X-Forwarded_Fox", Name.Other, "with an underscore, and another octet"],
    ["a", Name.Other, "one octet"],
    ["", Name.Other, "none"],
  ];
  for (const [text, want, why] of cases) it(why, () => strictEqual(find(text), want));
});
