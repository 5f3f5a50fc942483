// A busy project, for the views and their pictures.

export async function busy(coordinator) {
  const alice = await coordinator.agent('alice', { kind: 'claude-code', capabilities: ['rust', 'review'] });
  const bob = await coordinator.agent('bob', { kind: 'codex', capabilities: ['rust', 'python'] });
  const carol = await coordinator.agent('carol', { kind: 'gemini-cli', capabilities: ['web', 'docs'] });
  const box = await coordinator.agent('build-box', { kind: 'shell', capabilities: ['ci'] });
  const team = { alice, bob, carol, box };
  const submit = async (by, title, more = {}) => (await by.call('task.submit', { title, ...more })).task;
  const claim = async (by, task, more = {}) => (await by.call('task.claim', { task, wait_ms: 5000, ...more })).claim;
  await alice.call('agent.update', { status: 'busy', note: 'splitting the parser, tests next' });
  await bob.call('agent.update', { status: 'busy', note: 'measuring the journal' });

  const parser = await submit(alice, 'Split the parser into lexer and grammar', { priority: 5, labels: { area: 'parser' }, payload: { file: 'src/parser.rs' }, requires: ['rust'] });
  const bench = await submit(bob, 'Measure group commit on eMMC', { labels: { area: 'journal' }, requires: ['rust'] });
  const nightly = await submit(box, 'Nightly integration run', { attempts_max: 1, requires: ['ci'], labels: { area: 'ci' } });
  const release = await submit(alice, 'Release 0.2.0', { after: [parser, nightly], priority: 9 });
  const gpu = await submit(alice, 'Train the classifier', { requires: ['gpu'], labels: { area: 'ml' } });
  await submit(alice, 'Publish the classifier', { after: [gpu] });
  const deploy = await submit(carol, 'Deploy staging', { requires: ['web'], concurrency: { key: 'deploy', max: 1 } });
  await submit(carol, 'Deploy production', { requires: ['web'], after: [deploy] });
  for (const title of ['Document the lexer', 'Speed up the client', 'Review the firewall rules', 'Rename the crate']) {
    const task = await submit(carol, title, { labels: { area: 'docs' } });
    if (title[0] !== 'R') {
      const { fence } = await claim(bob, task);
      await bob.call('task.complete', { task, fence, result: { ok: true } });
    }
  }
  const failing = await claim(box, nightly);
  await box.call('task.fail', { task: nightly, fence: failing.fence, error: 'tests/net.rs:88: connection refused (os error 111)' });
  const running = await claim(alice, parser);
  await alice.call('task.progress', { task: parser, fence: running.fence, percent: 60, note: 'the grammar is split' });
  await claim(bob, bench, { ttl_ms: 900000 });
  await claim(carol, deploy);

  await alice.call('lease.acquire', { resources: ['path:src/parser/**', 'file:Cargo.toml'], note: 'splitting the parser', tree: 'main' });
  await bob.call('lease.acquire', { resources: ['path:benches/**/*.rs', 'name:perf-box'], ttl_ms: 600000, note: 'no other load, please' });
  await carol.call('lease.acquire', { resources: ['path:web/src/pages/**', 'port:gateway:5173'] });
  await carol.call('lease.acquire', { resources: ['file:docs/guide.md', 'file:docs/index.md'], mode: 'shared' });
  await box.call('lease.acquire', { resources: ['port:gateway:8080', 'name:release'] });

  const { message } = await alice.call('message.send', { to: { agent: 'bob' }, subject: 'the perf box', body: 'Do you need it for long?', importance: 'high' });
  await bob.call('message.send', { to: { agent: 'alice' }, body: 'Ten minutes, then it is yours.', reply_to: message });
  await alice.call('message.send', { to: { agent: 'operator' }, subject: 'need a decision', body: `Task ${nightly} is dead: the proxy refuses connections. Retry it, or drop the release?`, importance: 'high' });
  await alice.call('context.put', { key: 'build/last-green', value: { commit: '5cca0ffd' } });
  await bob.call('context.put', { key: 'build/branch', value: 'main' });
  await carol.call('context.put', { key: 'docs/style', value: 'plain English, short sentences' });
  return { ...team, parser, nightly, release, bench };
}

const MARKUP = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><svg onload=window.pwned=1>';
const TERMINAL = '\u001b[31mred\u001b[0m\u001b]0;title\u0007\u001b[2J';
const BACKWARDS = '\u202egnp.exe\u2066';

/** Everything that an agent can write, written by one that means ill. What the coordinator takes no control characters in
 * has none here. */
export async function hostile(coordinator) {
  const mallory = await coordinator.agent('mallory');
  const long = 'W'.repeat(60000);
  await mallory.call('agent.update', { note: `${MARKUP}${BACKWARDS}${'W'.repeat(800)}`, labels: { u: MARKUP } });
  const { task } = await mallory.call('task.submit', { title: `${MARKUP} ${BACKWARDS}`, payload: { [MARKUP]: TERMINAL, long }, labels: { area: '<script>' } });
  const { claim } = await mallory.call('task.claim', { task });
  await mallory.call('task.fail', { task, fence: claim.fence, error: `${MARKUP}${BACKWARDS}${'E'.repeat(800)}`, retry: false });
  await mallory.call('lease.acquire', { resources: [`path:a/${'b'.repeat(150)}/**`, 'file:a/<img src=x onerror=pwned=1>\u202e.rs'], note: MARKUP, tree: `${'t'.repeat(300)}<b>` });
  await mallory.call('message.send', { to: { agent: 'operator' }, subject: `${BACKWARDS}${MARKUP}`, body: long });
  await mallory.call('message.send', { to: { agent: 'operator' }, subject: 'short', body: MARKUP + TERMINAL });
  await mallory.call('context.put', { key: `evil/${'x'.repeat(240)}`, value: TERMINAL + MARKUP + long.slice(0, 30000) });
  return { mallory, task };
}
