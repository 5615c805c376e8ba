/** What does choosing a server cost? Sluice's own functions, by rule, for 2, 100 and 1,000 servers. */
import { execFileSync } from "node:child_process";
import process from "node:process";
import type { Line, Row } from "../line.ts";

const SERVERS = "2,100,1000";
const TIMEOUT_MS = 120_000;

export const line: Line = {
  name: "picks",
  question: "Sluice alone: one pick, by rule and number of servers",
  proxies: [],
  run({ rounds, quick, note }) {
    const rows = new Map<string, Row>();
    for (let round = 0; round < rounds; round++) {
      const command = [process.execPath, "bench/picks.ts", "--servers", SERVERS];
      const picks = ["--picks", quick ? "50000" : "300000"];
      let said: string;
      try {
        said = execFileSync("taskset", ["-c", "0", ...command, ...picks], {
          encoding: "utf8",
          timeout: TIMEOUT_MS,
        });
      } catch (error) {
        note(`picks, round ${round + 1}: ${error instanceof Error ? error.message : error}`);
        continue;
      }
      for (const pair of said.trim().split("\n")) {
        const [name, ns] = pair.split("="), [, rule, servers] = /^(.*)-([0-9]+)$/.exec(name)!;
        const row = rows.get(name) ?? rowOf(`${rule}, ${servers} servers`, rounds);
        row.samples.get("sluice")![round] = Number(ns);
        rows.set(name, row);
      }
      console.error(`picks, round ${round + 1} of ${rounds}: ${said.trim().replaceAll("\n", " ")}`);
    }
    return Promise.resolve([...rows.values()]);
  },
};

function rowOf(question: string, rounds: number): Row {
  const samples = new Map([["sluice", new Array<number | undefined>(rounds).fill(undefined)]]);
  return { line: line.name, question, unit: "ns", better: "less", digits: 1, samples };
}
