// Assembles every .wat of the folders it is given, or of its own, beside it, and appends a custom section that holds the SHA-256 of the
// text: a test compares the two, so that no .wasm is committed that isn't made of its .wat. Run by `make wat`.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import wabt from "wabt";

const section = "sortie.source";

// custom encodes a custom section: identifier 0, its length, its name's length, the name, the content. Lengths below 128 are one byte.
function custom(name, content) {
  const body = Buffer.concat([Buffer.from([name.length]), Buffer.from(name), content]);
  return Buffer.concat([Buffer.from([0, body.length]), body]);
}

const assembler = await wabt();
for (const folder of process.argv.length > 2 ? process.argv.slice(2) : [import.meta.dirname]) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".wat"))) {
    const path = join(folder, file);
    const text = readFileSync(path, "utf8");
    const module = assembler.parseWat(file, text);
    module.validate();
    const { buffer } = module.toBinary({ canonicalize_lebs: true, write_debug_names: false });
    module.destroy();
    const wasm = Buffer.concat([buffer, custom(section, createHash("sha256").update(text).digest())]);
    writeFileSync(path.replace(/\.wat$/, ".wasm"), wasm);
    console.log(`${basename(path, ".wat")}.wasm: ${wasm.length} bytes`);
  }
}
