import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { type HttpCheck, requestOf, statusSet } from "../../../src/control/config/http_check.ts";
import { STATUS_END, STATUS_FIRST } from "../../../src/plan/plan.ts";

const CHECK: HttpCheck = { method: "GET", target: "/healthz", host: undefined, header: {}, statuses: [] };

function text(check: Partial<HttpCheck>, authority = "10.0.0.1:8080"): string {
  return new TextDecoder().decode(requestOf({ ...CHECK, ...check }, authority));
}

test("requestOf is the whole request", () => {
  const ending = "User-Agent: sluice\r\nAccept: */*\r\nConnection: close\r\n\r\n";
  equal(text({}), `GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n${ending}`);
  equal(
    text({ method: "HEAD", target: "/h?x=1", host: "a.example" }),
    `HEAD /h?x=1 HTTP/1.1\r\nHost: a.example\r\n${ending}`,
  );
  equal(
    text({ header: { "user-agent": "me", "X-A": "ü" } }),
    "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nAccept: */*\r\nuser-agent: me\r\nX-A: ü\r\nConnection: close\r\n\r\n",
    "its own field instead of ours",
  );
});

test("statusSet has exactly the bits of its statuses", () => {
  const ranges = [[100, 100], [200, 299], [404, 404], [599, 599]] as const;
  const set = statusSet(ranges);
  const found: number[] = [];
  for (let status = STATUS_FIRST; status < STATUS_END; status++) {
    const bit = status - STATUS_FIRST;
    if (set[bit >> 3] & (1 << (bit & 7))) found.push(status);
  }
  const want = ranges.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, at) => first + at)
  );
  deepEqual(found, want);
});
