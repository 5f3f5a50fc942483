// The pictures of docs/page.md and README.md.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';

import { Coordinator, go, live, visit, Wire } from './bed.mjs';
import { busy } from './world.mjs';
import { VIEWS } from './scenes.mjs';

const BYTES_MAX = 300000;
const QUALITY = 36;
const SCALE = 0.75;

export async function pictures({ browser, keep }) {
  const coordinator = await keep(new Coordinator()).start();
  const wire = await keep(new Wire()).start(coordinator.port);
  const { parser } = await busy(coordinator);
  const folder = new URL('../../docs/page/', import.meta.url).pathname;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const take = async (page, name) => {
    await page.evaluate(() => document.activeElement?.blur());
    const session = await page.context().newCDPSession(page);
    const { width, height } = page.viewportSize();
    const clip = { x: 0, y: 0, width, height, scale: SCALE };
    const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: QUALITY, clip });
    writeFileSync(`${folder}${name}.webp`, Buffer.from(data, 'base64'));
  };
  for (const colorScheme of ['light', 'dark']) {
    const page = await visit(browser, `${wire.url}#code=${await coordinator.code(true)}`, { width: 1200, height: 750, colorScheme });
    await live(page);
    for (const view of VIEWS) {
      await go(page, view);
      if (view === 'stuck') await page.locator('.reason').first().waitFor();
      if (view === 'box') await page.locator('.spark').first().waitFor();
      await take(page, `${view}-${colorScheme}`);
    }
    if (colorScheme === 'dark') continue;
    await go(page, `tasks/${parser}`);
    await page.locator('.drawer dl').waitFor();
    await take(page, 'task-light');
  }
  const phone = await visit(browser, `${wire.url}#code=${await coordinator.code(false)}`, { width: 390, height: 780 });
  await live(phone);
  await take(phone, 'phone-light');
  const sizes = readdirSync(folder).map((name) => statSync(folder + name).size);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  console.log(`    ${sizes.length} pictures, ${bytes} bytes`);
  assert.ok(bytes <= BYTES_MAX, `the pictures have ${bytes} bytes`);
}
