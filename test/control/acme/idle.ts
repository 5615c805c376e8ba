// A process with a certificate on the disk and nothing to do: STORAGE DIRECTORY NAME.
import { Acme } from "../../../src/control/acme/acme.ts";

const [storage, directory, name] = process.argv.slice(2);
const quiet = () => {};
const acme = await Acme.open({ storage, directory, names: [name], whileIssuing: "refuse" }, {
  install: quiet,
  challenge: quiet,
  unchallenge: quiet,
  log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
});
await acme.start();
console.log(acme.status().names[0].state);
