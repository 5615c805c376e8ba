// An instance in a process of its own, to be killed by its test: STORAGE DIRECTORY CA NAME.
import { Instance } from "./acme_fixture.ts";

const LIFE_MS = 60_000;

const [storage, directory, ca, name] = process.argv.slice(2);
const instance = await Instance.start({ storage, names: [name], challenges: ["http-01"] }, { directory, ca });
setTimeout(() => instance.acme.stop().then(() => process.exit(1)), LIFE_MS);
