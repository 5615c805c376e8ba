// Connections opened and closed as fast as a small C program can: none fails, and after a hundred thousand of
// them memory and file descriptors are where they were.
import { ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { type Sluice, withSluice } from "../support/executable.ts";
import { residentBytes } from "../support/status.ts";
import { Tools } from "../support/tools.ts";

const MANY = 10_000;
/** Until code is compiled, pools are filled and the logs' buffers have grown. */
const WARM_UP = 20_000;
const GROWTH_BYTES_MAX = 8 << 20;
/** Connections after the warm-up; `npm run soak` asks for many more. */
const LATER = Number(process.env.SLUICE_CHURN ?? 80_000);
/** One run of the client: it ends by itself after a minute. */
const RUN_MOST = 100_000;

const tools = new Tools();
after(() => tools[Symbol.dispose]());

async function churn(sluice: Sluice, count: number, mode: "request" | "connect" | "reset"): Promise<void> {
  const { connections, failed, first_error } = await tools.churn(sluice.port(), count, mode);
  strictEqual(failed, "0", first_error);
  strictEqual(connections, String(count));
}

describe("churn", () => {
  for (const accept of ["balanced", "reuseport"]) {
    for (const reactors of ["1", "2", "4"]) {
      it(`${MANY} requests, --accept ${accept}, --reactors ${reactors}: none fails`, async () => {
        using origin = await tools.origin();
        const words = ["--accept", accept, "--reactors", reactors, "--access-log", "off", "--health", "off"];
        await withSluice([...words, `tcp://127.0.0.1:0=127.0.0.1:${origin.port}`], async (sluice) => {
          await churn(sluice, MANY, "request");
          const { totals, upstreams: [{ servers: [server] }], reactors: all } = await sluice.until(
            "all to have ended",
            ({ totals }) => totals.ended.finished === MANY,
          );
          strictEqual(totals.connections.total, MANY);
          strictEqual(server.connections.total, MANY);
          strictEqual(server.connections.failed, 0);
          const shares = all.filter(({ role }) => role === "reactor").map(({ connections }) =>
            connections.total
          );
          strictEqual(shares.reduce((sum, share) => sum + share), MANY);
          if (accept === "balanced") {
            for (const share of shares) ok(share > MANY / Number(reactors) / 2, `shares ${shares.join()}`);
          }
        });
      });
    }
  }

  for (const mode of ["connect", "reset"] as const) {
    it(`${MANY} clients that leave at once (${mode})`, async () => {
      using origin = await tools.origin();
      const words = ["--reactors", "2", "--access-log", "off", "--health", "off"];
      await withSluice([...words, `tcp://127.0.0.1:0=127.0.0.1:${origin.port}`], async (sluice) => {
        await churn(sluice, MANY, mode);
        const { totals } = await sluice.until(
          "all to be over",
          ({ totals }) =>
            totals.connections.now === 0 &&
            Object.values(totals.ended).reduce((sum, count) => sum + count, 0) >= MANY / 2,
        );
        for (const reason of Object.keys(totals.ended)) ok(/^(finished|client_reset)$/.test(reason), reason);
        await churn(sluice, 1_000, "request");
      });
    });
  }

  it(
    `${WARM_UP + LATER} connections leave memory and file descriptors where they were`,
    { timeout: 120_000 + LATER },
    async () => {
      using origin = await tools.origin();
      await withSluice([
        "--reactors",
        "2",
        "--access-log",
        "off",
        `tcp://127.0.0.1:0=127.0.0.1:${origin.port}`,
      ], async (sluice) => {
        await churn(sluice, WARM_UP, "request");
        await sluice.assertQuiet();
        const before = residentBytes(sluice.pid);
        for (let left = LATER; left > 0; left -= RUN_MOST) {
          await churn(sluice, Math.min(left, RUN_MOST), "request");
        }
        await sluice.assertQuiet();
        const growth = residentBytes(sluice.pid) - before;
        ok(growth < GROWTH_BYTES_MAX, `grew by ${growth} bytes`);
        strictEqual((await sluice.status()).totals.connections.total, WARM_UP + LATER);
      });
    },
  );

  it("with an access log: a record for each, none lost", { timeout: 120_000 }, async () => {
    using origin = await tools.origin();
    await withSluice(
      ["--reactors", "2", "--health", "off", `tcp://127.0.0.1:0=127.0.0.1:${origin.port}`],
      async (sluice) => {
        await churn(sluice, MANY, "request");
        const records = await sluice.ended(MANY);
        strictEqual(records.length, MANY);
        for (const { reason, client } of records) ok(reason === "finished" && client !== null);
        const { log_dropped } = (await sluice.status()).totals;
        strictEqual(log_dropped.records + log_dropped.log + log_dropped.access_log, 0);
      },
    );
  });
});
