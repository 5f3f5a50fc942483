// Drives the page in a real Chromium, against real coordinators: `tests/run --page [WORD…]`.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from './bed.mjs';
import { scenes } from './scenes.mjs';
import { pictures } from './pictures.mjs';
import { figures } from './figures.mjs';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

const words = process.argv.slice(2);
const all = { ...scenes, 'the pictures of docs/page are made': pictures, 'figures: bytes, first paint, processor time': figures };
const chosen = Object.entries(all).filter(([title]) => words.every((word) => title.includes(word)));
if (!chosen.length) {
  console.error(`there is no scene for ${words.join(' ')}`);
  process.exit(2);
}

let failed = 0;
for (const [title, scene] of chosen) {
  const begun = Date.now();
  const profile = mkdtempSync(join(tmpdir(), 'coord-chromium-'));
  // A browser of its own for each, so that none finds what another left.
  const context = await chromium.launch({ executablePath: process.env.PAGE_CHROMIUM, headless: true, args: FLAGS, env: { ...process.env, HOME: profile } });
  const made = [];
  let fault = null;
  try {
    await scene({ browser: context, keep: (thing) => { made.push(thing); return thing; } });
  } catch (error) {
    fault = error;
  }
  await context.close();
  for (const thing of made.reverse()) await thing.stop();
  rmSync(profile, { recursive: true, force: true });
  console.log(`${fault ? 'FAILED' : 'passed'} ${((Date.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${title}`);
  if (fault) {
    failed += 1;
    console.log(`    ${String(fault.stack).replaceAll('\n', '\n    ')}`);
  }
}
process.exit(failed ? 1 : 0);
