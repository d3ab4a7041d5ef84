// The child process that holds ngspice in WebAssembly: node ngspice_wasm.mjs ENGINE FOLDER REQUEST RESULT
//
// ENGINE is the module of eecircuit-engine, FOLDER where files lie that the netlist reads, REQUEST is JSON (deck and
// steps). RESULT is a folder: for each step one or more raw files of ngspice's own, STEP.K.raw, newest plot first, and,
// last of all, log.json. Commands are put to ngspice's prompt, one after the other, as a person would type them.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [engine, folder, requestPath, result] = process.argv.slice(2);
const request = JSON.parse(fs.readFileSync(requestPath, "utf8"));
const { Simulation } = await import(pathToFileURL(engine).href);

console.error = console.info = () => {}; // the engine prints what it also keeps
const simulation = new Simulation();
await simulation.start();
const module = simulation.__getSpiceModuleForTests?.();
if (!module?.FS || !module.setGetInput || typeof simulation.info !== "string" || typeof simulation.cmd !== "number") {
  process.stderr.write("this eecircuit-engine has another inside than version 1.8\n");
  process.exit(70);
}

const DECK = "/spu-deck.cir";
const RAW = "/spu.raw";

// What ngspice has printed since it was last asked, line by line.
const said = () => {
  const lines = simulation.info.split("\n").map((line) => line.replace(/^(ngspice \d+ -> )+/, "").trimEnd());
  simulation.info = "";
  return lines.filter((line) => line).map((line) => `stdout ${line}`);
};

// The plots of a kind that there are, newest first.
function* plots(kind) {
  said();
  yield "setplot";
  return said()
    .map((line) => line.match(/(?:^stdout |\s)([a-z]+\d+)\t/)?.[1])
    .filter((name) => name?.startsWith(kind));
}

function* session() {
  const log = { version: simulation.getInitInfo().match(/ngspice-(\S+)/)?.[1] ?? "", lines: [], marks: [], loaded: false };
  said();
  yield "set filetype=binary";
  yield `source ${DECK}`;
  log.lines.push(...said());
  log.marks.push(log.lines.length);
  yield "setcirc"; // lists the circuits
  log.loaded = said().some((line) => line.startsWith("stdout Current"));
  for (const [number, step] of log.loaded ? request.steps.entries() : []) {
    for (const command of step.commands) {
      yield command;
      log.lines.push(...said());
    }
    if (step.kind !== null) {
      for (const [k, plot] of (yield* plots(step.kind)).entries()) {
        yield `setplot ${plot}`;
        yield `write ${RAW}`;
        if (module.FS.analyzePath(RAW).exists) {
          fs.writeFileSync(path.join(result, `${number}.${k}.raw`), module.FS.readFile(RAW));
          module.FS.unlink(RAW);
        }
      }
      yield "destroy all";
      said();
    }
    log.marks.push(log.lines.length);
  }
  fs.writeFileSync(path.join(result, "log.part"), JSON.stringify(log));
  fs.renameSync(path.join(result, "log.part"), path.join(result, "log.json"));
  process.exit(0);
}

for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
  if (entry.isFile()) module.FS.writeFile(`/${entry.name}`, fs.readFileSync(path.join(folder, entry.name)));
}
module.FS.writeFile(DECK, request.deck);
const commands = session();
// ngspice may leave at any time, and node with it, as if all were well: what it said last is what went wrong.
process.on("exit", (status) => {
  if (status === 0 && !fs.existsSync(path.join(result, "log.json"))) {
    const lines = simulation.info.split("\n").filter((line) => line.trim());
    const telling = lines.filter((line) => /error|fatal|unknown|unable/i.test(line));
    fs.writeSync(2, `${(telling.length ? telling : lines).slice(-3).join("\n") || "nothing was said"}\n`);
    process.exitCode = 1;
  }
});
module.setGetInput(() => {
  simulation.cmd = 1; // 0 is the engine's own: it would wait for another run
  try {
    return commands.next().value;
  } catch (error) {
    process.stderr.write(`${error}\n`);
    return process.exit(70);
  }
});
simulation.setNetList("\n.end\n"); // the engine's own first command reads nothing of ours
simulation.runSim();
