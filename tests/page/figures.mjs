// What the page costs. Bounds are wide: they catch what got worse by a factor, on any machine.

import assert from 'node:assert/strict';

import { Coordinator, go, live, visit } from './bed.mjs';

const TASKS = 1000;
const LEASES = 200;
const AGENTS = 100;
const RATE = 50;
const WATCHED_MS = 10000;
const PAGES = 20;
const BYTES_MAX = 120000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function crowd(coordinator) {
  const team = [];
  for (let i = 0; i < AGENTS; i += 1) team.push(await coordinator.agent(`worker-${i}`, { kind: 'shell', capabilities: ['any'] }));
  for (let i = 0; i < TASKS; i += 200) await team[0].call('task.submit_many', { tasks: Array.from({ length: 200 }, (_, k) => ({ task: { title: `Bulk task ${i + k}`, labels: { area: `a${k % 9}` }, requires: ['any'] } })) });
  for (let i = 0; i < LEASES; i += 1) await team[i % AGENTS].call('lease.acquire', { resources: [`file:src/area${i % 20}/part${i}.rs`], ttl_ms: 3600000 });
  return team;
}

/** 50 changes a second for a while; the latencies of the writes, sorted. */
async function traffic(team, ms) {
  const spans = [];
  const begun = performance.now();
  const calls = [];
  for (let i = 0; performance.now() - begun < ms; i += 1) {
    const asked = performance.now();
    calls.push(team[i % AGENTS].call('context.put', { key: `busy/${i % 60}`, value: i }).then(() => spans.push(performance.now() - asked)));
    await sleep(Math.max(0, begun + ((i + 1) * 1000) / RATE - performance.now()));
  }
  await Promise.all(calls);
  return spans.sort((a, b) => a - b);
}

const p99 = (spans) => spans[Math.floor(spans.length * 0.99)].toFixed(1);

export async function figures({ browser, keep }) {
  const coordinator = await keep(new Coordinator()).start();
  const team = await crowd(coordinator);
  const url = `http://127.0.0.1:${coordinator.port}/`;
  const open = async () => visit(browser, `${url}#code=${await coordinator.code(false)}`);

  const alone = await traffic(team, WATCHED_MS);
  const page = await visit(browser, 'about:blank');
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  let bytes = 0;
  network.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength; });
  await page.goto(`${url}#code=${await coordinator.code(false)}`);
  await live(page);
  await page.locator('.card').first().waitFor();
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? performance.now());
  const whole = await page.evaluate(() => performance.now());
  console.log(`    ${bytes} bytes for the page and its first answers over HTTP; first paint after ${paint.toFixed(0)} ms, all ${TASKS} tasks read and drawn after at most ${whole.toFixed(0)} ms`);
  assert.ok(bytes <= BYTES_MAX, `${bytes} bytes are sent`);

  await network.send('Performance.enable');
  const busy = async () => Object.fromEntries((await network.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value])).TaskDuration;
  for (const view of ['now', 'tasks', 'timeline']) {
    await go(page, view);
    const [worked, cpu] = [await busy(), coordinator.cpu()];
    const spans = await traffic(team, WATCHED_MS);
    const share = ((await busy()) - worked) / (WATCHED_MS / 1000);
    const own = (coordinator.cpu() - cpu) / (WATCHED_MS / 1000);
    console.log(`    ${view} at ${RATE} events/s: page ${(share * 100).toFixed(0)} %, coordinator ${(own * 100).toFixed(0)} % of a processor, writes p99 ${p99(spans)} ms`);
    assert.ok(share < 0.8, `the page is busy for ${share}`);
  }

  for (let i = 1; i < PAGES; i += 1) await live(await open());
  const cpu = coordinator.cpu();
  const spans = await traffic(team, WATCHED_MS);
  console.log(`    ${PAGES} pages: coordinator ${(((coordinator.cpu() - cpu) / WATCHED_MS) * 100000).toFixed(0)} % of a processor, writes p99 ${p99(spans)} ms; without a page ${p99(alone)} ms`);
}
