import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { clfStampOf, dateField, stampOf } from "../../src/proto/http_date.ts";

function fieldOf(ms: number): string {
  const field = dateField(ms);
  return new TextDecoder().decode(field.bytes.subarray(0, field.length));
}

describe("dateField", () => {
  it("is what the runtime says, on leap days and at the ends of years and centuries", () => {
    const dates = [
      "1970-01-01T00:00:00Z",
      "1994-11-06T08:49:37Z",
      "2000-02-29T23:59:59Z",
      "2023-12-31T23:59:59Z",
      "2024-02-29T12:00:00Z",
      "2024-03-01T00:00:00Z",
      "2100-02-28T01:02:03Z",
      "2100-03-01T01:02:03Z",
    ];
    for (const date of dates) {
      strictEqual(fieldOf(Date.parse(date) + 999), `Date: ${new Date(date).toUTCString()}\r\n`);
    }
  });

  it("is right on every day of 400 years", () => {
    for (let day = 0; day < 146_097; day++) {
      const ms = day * 86_400_000 + 3_723_000 + day % 1_000;
      strictEqual(fieldOf(ms), `Date: ${new Date(ms).toUTCString()}\r\n`);
      const stamp = stampOf(ms);
      const text = new TextDecoder().decode(stamp.bytes.subarray(0, stamp.length));
      strictEqual(text, new Date(ms).toISOString().slice(0, 23));
      const clf = clfStampOf(ms), [, date, month, year, time] = fieldOf(ms).slice(0, -6).split(" ").slice(1);
      strictEqual(
        new TextDecoder().decode(clf.bytes.subarray(0, clf.length)),
        `${date}/${month}/${year}:${time}`,
      );
    }
  });
});
