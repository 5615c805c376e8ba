// The process's entry. The addresses of the Workers' entries must be said here: in the executable every
// module of the main thread has the address of this one.
import { command } from "./commands.ts";
import { libraryPath } from "./sys/library.ts";

const parts = {
  library: libraryPath,
  worker: new URL("./worker.ts", import.meta.url),
  logWorker: new URL("./log_worker.ts", import.meta.url),
};
process.exit(await command(process.argv.slice(2), parts));
