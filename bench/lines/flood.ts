/**
 * What does a flood from one source do to another? Sluice alone, with a limit on new connections of each source:
 * small messages of one source at a fixed rate, in open loop, quiet and while 5,000 connections a second come from
 * another address, of which nearly all are refused. What the flood's own tool and the kernel need is on the load's
 * core and on Sluice's: it is part of the answer.
 */
import { type Figure, inRounds, type Line } from "../line.ts";
import { numbers, run } from "../measure.ts";
import { sluiceLimited } from "../peers.ts";
import { type Load, LOAD_CORE, loadOf, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";

/** Requests a second of the one that is measured: a fraction of what goes. */
const RATE = 2_000;
const FLOOD = 5_000;

type Key = "quietP99" | "floodP99" | "ratio" | "refused";

const FIGURES: Figure<Key>[] = [
  { key: "quietP99", question: `latency p99 at ${RATE}/s, quiet`, unit: "us", better: "less", digits: 0 },
  { key: "floodP99", question: `the same, ${FLOOD}/s beside it`, unit: "us", better: "less", digits: 0 },
  { key: "ratio", question: "flooded / quiet", unit: "x", better: "less", digits: 2 },
  { key: "refused", question: "of the flood, refused", unit: "%", better: "more", digits: 1 },
];

async function p99(port: number, { seconds, warmupSeconds }: Load): Promise<number> {
  const command = [
    ...[tool("openloop"), "--port", String(port), "--rate", String(RATE), "--connections", "64"],
    ...["--seconds", String(seconds), "--warmup", String(warmupSeconds)],
  ];
  const deadlineMs = (seconds + warmupSeconds + 20) * 1000;
  return numbers(await run(command, { deadlineMs, core: LOAD_CORE })).p99_us;
}

function measure(load: Load): Promise<Record<Key, number>> {
  const lasts = load.seconds + load.warmupSeconds, seconds = 2 * lasts + 60;
  return withProxy(sluiceLimited, { pinned: true, threads: 1, seconds }, async (_, port) => {
    const quietP99 = await p99(port, load);
    const command = [
      tool("flood"),
      "--port",
      String(port),
      "--rate",
      String(FLOOD),
      "--seconds",
      `${lasts + 1}`,
    ];
    const flooding = run(command, { deadlineMs: (lasts + 20) * 1000, core: LOAD_CORE });
    const [floodP99, said] = await Promise.all([p99(port, load), flooding]);
    const { made, ended } = numbers(said);
    return { quietP99, floodP99, ratio: floodP99 / quietP99, refused: 100 * ended / made };
  });
}

export const line: Line = {
  name: "flood",
  question: `Sluice alone: latency of one source while another connects ${FLOOD} times a second`,
  proxies: [sluiceLimited],
  run: (setting) => inRounds(line, setting, setting.rounds, FIGURES, () => measure(loadOf(setting.quick))),
};
