// What the page must do, one scene each.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { axeSource, Coordinator, enter, freePort, go, live, until, visit, Wire } from './bed.mjs';
import { busy, hostile } from './world.mjs';

export const VIEWS = ['now', 'stuck', 'tasks', 'leases', 'messages', 'context', 'timeline', 'box'];

async function box({ keep }) {
  const coordinator = await keep(new Coordinator()).start();
  const wire = await keep(new Wire()).start(coordinator.port);
  return { coordinator, wire };
}

const text = (page) => page.locator('body').innerText();

/** No script ran that is not ours, nothing went wrong, nothing is wider than the window. */
export async function sound(page, what) {
  assert.deepEqual(page.faults, [], what);
  assert.equal(await page.evaluate(() => window.pwned), undefined, what);
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wider <= 0, `${what}: ${wider} px wider than the window`);
}

async function accessible(page, what) {
  // The policy of the page would keep it out as a script of the page.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter((found) => found.impact === 'serious' || found.impact === 'critical');
  assert.deepEqual(serious.map((found) => `${found.id}: ${found.nodes[0].html}`), [], what);
}

/** Does in a shell what the page says, as the user of an agent, and takes a lease in the repository that was set up. */
async function setUp(folder, secret, save, setup) {
  const [home, clone] = [join(folder, 'home'), join(folder, 'clone')];
  for (const made of [home, clone]) mkdirSync(made);
  const env = { HOME: home, USER: 'dora', PATH: `${dirname(process.env.PAGE_COORD)}:${process.env.PATH}` };
  // The wire to the coordinator runs here too, so nothing may block.
  const run = async (command, input = '') => {
    const shell = promisify(execFile)('bash', ['-c', command], { cwd: clone, env });
    shell.child.stdin.end(input);
    return (await shell).stdout;
  };
  await run('git init --quiet');
  await run(save, `${secret}\n`);
  await run(`${setup} git`);
  return JSON.parse(await run('coord --json lease acquire name:from-setup --ttl 1h')).lease;
}

export const scenes = {
  async 'login with a token, look on, log out'(scene) {
    const { coordinator, wire } = await box(scene);
    const page = await visit(scene.browser, wire.url);
    await page.getByLabel('Or paste a token').fill('nonsense');
    await page.getByRole('button', { name: 'Enter' }).click();
    await page.getByRole('alert').waitFor();
    await accessible(page, 'login');
    await enter(page, coordinator.token);
    assert.match(await text(page), /looking on/);
    assert.equal(await page.evaluate(() => JSON.stringify([localStorage.length, sessionStorage.length, document.cookie])), '[0,0,""]');
    assert.match(await text(page), /No agents yet/);
    assert.equal(await page.getByRole('button', { name: 'Make a token' }).count(), 0);
    await page.reload();
    await live(page);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Or paste a token').waitFor();
    await page.reload();
    await page.getByLabel('Or paste a token').waitFor();
    await sound(page, 'login');
  },

  async 'a code works once, and leaves the address bar'(scene) {
    const { coordinator, wire } = await box(scene);
    const code = await coordinator.code(true);
    const page = await visit(scene.browser, `${wire.url}#code=${code}`);
    await live(page);
    assert.equal(page.url(), wire.url);
    assert.doesNotMatch(await text(page), /looking on/);
    const other = await visit(scene.browser, `${wire.url}#code=${code}`);
    await other.getByRole('alert').waitFor();
    assert.match(await text(other), /used before/);
    await sound(page, 'code');
  },

  async 'each view: accessible, sound, on a phone too, light and dark'(scene) {
    const { coordinator, wire } = await box(scene);
    const { parser } = await busy(coordinator);
    for (const [width, colorScheme] of [[1280, 'light'], [1280, 'dark'], [390, 'light']]) {
      const page = await visit(scene.browser, `${wire.url}#code=${await coordinator.code(true)}`, { width, colorScheme });
      await live(page);
      for (const view of [...VIEWS, `tasks/${parser}`]) {
        await go(page, view);
        if (view.includes('/')) await page.locator('.drawer dl').waitFor();
        await sound(page, `${view} at ${width}`);
        await accessible(page, `${view} at ${width}, ${colorScheme}`);
      }
      await page.context().close();
    }
  },

  async 'what is told is right, and changes by itself'(scene) {
    const { coordinator, wire } = await box(scene);
    const { alice, bob, parser, nightly, release } = await busy(coordinator);
    const page = await visit(scene.browser, wire.url);
    await enter(page, coordinator.token);
    const now = await text(page);
    for (const part of ['Nightly integration run', 'connection refused', 'Train the classifier', 'src/parser/**', '60 %']) assert.ok(now.includes(part), part);
    await go(page, 'stuck');
    await page.locator('.why', { hasText: 'Release 0.2.0' }).getByText(`task ${nightly}`).first().waitFor();
    await page.getByLabel('Resource').fill('src/parser/lexer.rs');
    await page.getByRole('button', { name: 'Look' }).click();
    await page.locator('li', { hasText: 'alice holds' }).waitFor();
    // It waits until the coordinator ends.
    bob.call('lease.acquire', { resources: ['file:src/parser/lexer.rs'], wait_ms: 60000, note: 'to fix a typo' });
    await page.locator('li', { hasText: 'to fix a typo' }).getByText('alice').waitFor();
    await go(page, 'tasks');
    await page.getByLabel(/Title/).fill('area=docs');
    await until('the filter', async () => (await page.locator('a.task').count()) === 4);
    await go(page, `tasks/${release}`);
    await page.locator('.drawer dl').waitFor();
    await go(page, 'context');
    await page.locator('summary', { hasText: 'docs/style' }).click();
    await page.getByText('plain English').waitFor();
    await bob.call('context.put', { key: 'docs/style', value: 'something new' });
    await page.getByText('something new').waitFor();
    await go(page, 'leases');
    await alice.call('lease.acquire', { resources: ['file:made/just/now.rs'] });
    await page.getByText('made/just/now.rs').waitFor();
    await go(page, 'tasks');
    await page.getByLabel(/Title/).fill('');
    const { task } = await alice.call('task.submit', { title: 'Came while you looked' });
    await page.locator('section[aria-label=Ready]', { hasText: 'Came while you looked' }).waitFor();
    await alice.call('task.cancel', { task });
    await page.locator('section[aria-label="Dead or cancelled"]', { hasText: 'Came while you looked' }).waitFor();
    await go(page, 'timeline');
    await page.locator('.gantt .row', { hasText: 'alice' }).locator('rect.busy').first().waitFor();
    await go(page, `timeline/alice`);
    assert.equal(await page.locator('.gantt .row').count(), 1);
    await go(page, 'now');
    await page.getByText(`#${parser}`).first().waitFor();
    await sound(page, 'changes');
  },

  async 'the box tells how far push and MQTT are behind'({ browser, keep }) {
    const nobody = `127.0.0.1:${await freePort()}`;
    const coordinator = await keep(new Coordinator()).start({ COORD_PUSH_URL: `http://${nobody}/api/v1/write`, COORD_PUSH_INTERVAL_MS: '1000', COORD_MQTT_URL: `mqtt://${nobody}` });
    const page = await visit(browser, `http://127.0.0.1:${coordinator.port}/#code=${await coordinator.code(false)}`);
    await live(page);
    await go(page, 'box');
    const fact = (name) => page.locator('dl.facts > div', { has: page.locator('dt', { hasText: new RegExp(`^${name}$`) }) });
    await fact('Metrics pushed').getByText('behind').waitFor();
    await fact('MQTT').getByText('not connected').waitFor();
    await sound(page, 'push and MQTT');
    await accessible(page, 'push and MQTT');
  },

  async 'an operator acts, and is asked first'(scene) {
    const { coordinator, wire } = await box(scene);
    const { bob, parser } = await busy(coordinator);
    const page = await visit(scene.browser, `${wire.url}#code=${await coordinator.code(true)}`);
    await live(page);
    await page.locator('.attention li', { hasText: 'Nightly' }).getByRole('button', { name: 'Retry' }).click();
    await page.locator('.attention li', { hasText: 'Nightly' }).waitFor({ state: 'detached' });
    await go(page, `tasks/${parser}`);
    await page.locator('.drawer').getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Leave it' }).click();
    assert.equal((await bob.call('task.get', { task: parser })).state, 'claimed');
    await page.locator('.drawer').getByRole('button', { name: 'Cancel' }).click();
    await page.getByLabel(/Why/).fill('not needed any more');
    await page.getByRole('button', { name: 'Cancel the task' }).click();
    const cancelled = await until('the end of the task', async () => { const task = await bob.call('task.get', { task: parser }); return task.state === 'cancelled' && task; });
    assert.equal(cancelled.cancelled.reason, 'not needed any more');
    await go(page, 'leases');
    await page.locator('li', { hasText: 'benches/**' }).getByRole('button', { name: /Revoke/ }).click();
    await page.getByRole('button', { name: 'Revoke the lease' }).click();
    await page.locator('li', { hasText: 'benches/**' }).getByText('bob').waitFor({ state: 'detached' });
    await go(page, 'messages');
    await page.getByText('Retry it, or drop the release?').waitFor();
    await page.getByRole('button', { name: 'Answer' }).click();
    await page.getByLabel('Text').fill('Retry it.');
    await page.getByRole('button', { name: 'Send' }).click();
    await until('the answer', async () => (await page.locator('.toast').innerText()).includes('alice'));
    await page.getByRole('button', { name: 'Done with it' }).click();
    await page.getByText('No mail for you.').waitFor();
    await go(page, 'now');
    await page.getByRole('button', { name: 'Make a token' }).click();
    await page.getByLabel('Name of the agent').fill('dora');
    await page.getByRole('button', { name: 'Make the token' }).click();
    const [secret, save, setup] = await page.locator('dialog pre').allInnerTexts();
    await accessible(page, 'a new token');
    await page.getByRole('button', { name: 'I have it' }).click();
    assert.doesNotMatch(await page.content(), new RegExp(secret));
    const lease = await setUp(coordinator.folder, secret, save, setup);
    const { leases: [held] } = await bob.call('lease.list', { after: lease - 1, count_max: 1 });
    assert.equal(held.agent, 'dora');
    await page.locator('summary', { hasText: 'Not here' }).click();
    await page.getByRole('button', { name: 'Remove dora' }).click();
    await page.getByRole('button', { name: 'Remove the agent' }).click();
    await page.getByRole('button', { name: 'Remove dora' }).waitFor({ state: 'detached' });
    await sound(page, 'acts');
  },

  async 'a lost connection, with 1,000 events missed'(scene) {
    const { coordinator, wire } = await box(scene);
    const alice = await coordinator.agent('alice');
    const page = await visit(scene.browser, wire.url);
    await enter(page, coordinator.token);
    await go(page, 'context');
    wire.cut();
    await page.getByText('not connected').waitFor();
    await alice.many(1000, (i) => ['context.put', { key: `missed/${i % 40}`, value: i }]);
    await alice.call('context.put', { key: 'the/last', value: 1 });
    wire.mend();
    await live(page);
    await page.getByText('the/last').waitFor();
    assert.equal(await page.locator('.banner').count(), 0, 'it says that it started over');
    await go(page, 'timeline');
    await until('all events', async () => Number((await page.locator('h2 .count').innerText()).replace(/\D/g, '')) > 1000);
    await sound(page, 'missed events');
  },

  async 'a cursor that is too old: it starts over, and says so'(scene) {
    const { coordinator, wire } = await box(scene);
    const alice = await coordinator.agent('alice');
    const page = await visit(scene.browser, wire.url);
    await enter(page, coordinator.token);
    await go(page, 'context');
    wire.cut();
    await page.getByText('not connected').waitFor();
    await alice.many(9000, (i) => ['context.put', { key: `missed/${i % 40}`, value: i }]);
    wire.mend();
    await page.locator('.banner', { hasText: 'gap' }).waitFor();
    await page.getByText('missed/7', { exact: true }).waitFor();
    await sound(page, 'an old cursor');
  },

  async 'kill -9 ends the session, and the page says so'(scene) {
    const { coordinator, wire } = await box(scene);
    await busy(coordinator);
    const page = await visit(scene.browser, wire.url);
    await enter(page, coordinator.token);
    await coordinator.kill();
    await page.getByText('not connected').waitFor();
    await page.getByText('src/parser/**').first().waitFor();
    await coordinator.run();
    await page.getByText('coordinator restarted').waitFor();
    await enter(page, coordinator.token);
    await page.getByText('Nightly integration run').first().waitFor();
    await sound(page, 'a restart');
  },

  async 'a revoked token ends the session'(scene) {
    const { coordinator, wire } = await box(scene);
    const alice = await coordinator.agent('alice');
    const page = await visit(scene.browser, wire.url);
    await enter(page, alice.secret, true);
    const operator = await coordinator.client();
    await operator.call('token.revoke', { token: alice.token });
    await page.getByText('was revoked').waitFor();
    await sound(page, 'revoked');
  },

  async 'hostile texts do nothing and fit'(scene) {
    const { coordinator, wire } = await box(scene);
    const { task } = await hostile(coordinator);
    for (const width of [1280, 390]) {
      const page = await visit(scene.browser, `${wire.url}#code=${await coordinator.code(true)}`, { width });
      await live(page);
      for (const view of [...VIEWS, `tasks/${task}`]) {
        await go(page, view);
        if (view === 'context') await page.locator('summary').first().click();
        if (view.includes('/')) await page.locator('.drawer dl').waitFor();
        await sound(page, `${view} at ${width}`);
        const raw = await page.evaluate(() => document.body.innerText.match(/[\u0007\u001b\u202e\u2066]/)?.[0]);
        assert.equal(raw, undefined, `${view} shows a control character`);
        assert.equal(await page.locator('main img, main script, main b, aside script').count(), 0, view);
      }
      await page.context().close();
    }
  },

  async 'the keyboard alone is enough'(scene) {
    const { coordinator, wire } = await box(scene);
    await busy(coordinator);
    const page = await visit(scene.browser, wire.url);
    await page.getByLabel('Or paste a token').waitFor();
    const tabTo = (what, is) => until(what, async () => {
      await page.keyboard.press('Tab');
      return page.evaluate(is);
    });
    await tabTo('the field', () => document.activeElement.name === 'token');
    await page.keyboard.insertText(coordinator.token);
    await page.keyboard.press('Enter');
    await live(page);
    await page.keyboard.press('3');
    await until('the board', () => page.evaluate(() => location.hash === '#tasks' && document.activeElement.tagName === 'H1'));
    await tabTo('a task', () => document.activeElement.className.includes('task '));
    await page.keyboard.press('Enter');
    await until('the story', () => page.evaluate(() => document.activeElement.className === 'drawer'));
    await page.keyboard.press('Escape');
    await page.locator('.drawer').waitFor({ state: 'detached' });
    await page.keyboard.press('/');
    await page.keyboard.type('classifier');
    await until('the filter', async () => (await page.locator('a.task').count()) === 2);
    // What is typed into a field is no shortcut.
    await page.keyboard.type(' 3 1');
    assert.equal(await page.evaluate(() => location.hash), '#tasks');
    await sound(page, 'keyboard');
  },
};
