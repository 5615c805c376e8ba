// A Worker: opens the library, enters its room, builds its tables, runs the reactor until it is told to
// leave. What goes wrong in here ends the Worker; the control plane looks after what it leaves behind.
import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { reactorOpen, reactorRun } from "./proxy/reactor.ts";
import type { Message, WorkerBirth } from "./shared/mailbox.ts";
import { enterRoom, openLibrary, sys } from "./sys/sys.ts";

const { birth, mailbox } = workerData as { birth: WorkerBirth; mailbox: MessagePort };
await openLibrary(birth.library);
enterRoom(birth.room);
sys.run_soon(); // the control plane may be at work on the same core, reading a large configuration
reactorOpen(birth);
reactorRun(() => receiveMessageOnPort(mailbox)?.message as Message | undefined);
sys.leave();
mailbox.close();
