// The log Worker: opens the library and writes lines until it is told to leave. What goes wrong in here ends
// it, and nothing else: the control plane starts another, which goes on where it stood.
import { workerData } from "node:worker_threads";
import { type LogBirth, writeLogs } from "./control/log_writer.ts";
import { openLibrary } from "./sys/sys.ts";

const { birth } = workerData as { birth: LogBirth };
await openLibrary(birth.library);
writeLogs(birth);
