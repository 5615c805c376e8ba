/**
 * What a line of the bench is, and the one way its samples are taken: in rounds, each of which asks
 * every proxy once, so that the machine's slow minutes fall on all of them alike.
 */
import type { Proxy } from "./peers.ts";

export type Setting = {
  rounds: number;
  quick: boolean;
  /** Those of `proxies` that can be started. */
  present(proxies: Proxy[]): Proxy[];
  /** Something the reader of the table must know: a failed measurement. */
  note(text: string): void;
};

/** One row of the table. `samples` is by column, then by round; undefined where it failed. */
export type Row = {
  line: string;
  question: string;
  unit: string;
  better: "less" | "more";
  digits: number;
  /** What Sluice over the best peer must be at least (if more is better) or at most. */
  must?: number;
  samples: Map<string, (number | undefined)[]>;
};

export type Line = {
  name: string;
  question: string;
  /** Every proxy the line would ask. */
  proxies: Proxy[];
  run(setting: Setting): Promise<Row[]>;
};

/** What a row says, without its samples; `key` names the figure among those of one measurement. */
export type Figure<Key extends string> = Omit<Row, "line" | "samples"> & { key: Key };

/**
 * Takes `rounds` measurements of every proxy and returns one row per figure. Each round starts with
 * another proxy. A measurement that fails is noted and leaves a hole.
 */
export async function inRounds<Key extends string>(
  line: Line,
  setting: Setting,
  rounds: number,
  figures: Figure<Key>[],
  measure: (proxy: Proxy) => Promise<Record<Key, number>>,
): Promise<Row[]> {
  const proxies = setting.present(line.proxies);
  const rows: Row[] = figures.map(({ key: _, ...figure }) => ({
    ...figure,
    line: line.name,
    samples: new Map(proxies.map((proxy) => [proxy.column, new Array(rounds).fill(undefined)])),
  }));
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < proxies.length; turn++) {
      const proxy = proxies[(round + turn) % proxies.length];
      const where = `${line.name}, round ${round + 1} of ${rounds}, ${proxy.name}`;
      try {
        const got = await measure(proxy);
        figures.forEach((figure, index) => {
          rows[index].samples.get(proxy.column)![round] = got[figure.key];
        });
        const said = figures.map((figure) => `${got[figure.key].toFixed(figure.digits)}`);
        console.error(`${where}: ${said.join(" ")}`);
      } catch (error) {
        setting.note(`${where}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  return rows;
}
