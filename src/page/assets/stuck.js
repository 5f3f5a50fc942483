// Why is it stuck: for each task that does not run, the chain of reasons down to the one that can be acted on.

import { h, words } from './dom.js';
import { agentLink, ago, button, capped, command, empty, head, plural, resource, search, span, state, taskLink, typed } from './parts.js';
import { cancelTask, retryTask } from './actions.js';

const OPEN_FIRST = 3;

export function waiting(store) {
  return [...store.tasks.values()].filter((task) => task.state === 'blocked' || task.state === 'ready');
}

export function view(app) {
  const { store } = app;
  const filter = typed(app, 'stuck');
  const list = waiting(store).filter((task) => !filter || `#${task.task} ${task.title}`.toLowerCase().includes(filter));
  const stuck = list.filter((task) => task.stuck?.length);
  const others = list.filter((task) => !task.stuck?.length);
  return h('div', { key: 'stuck' },
    head('Why is it stuck?', h('p.lead', 'Each task that does not run, with every reason, and what to do about it. The same as ', h('code', 'coord task explain'), '.'), search(app, 'stuck', 'Find a waiting task')),
    h('section', h('h2', 'Will not run until somebody acts', h('span.count', stuck.length)),
      stuck.length === 0 ? h('p.calm', 'No task is stuck.') : h('div.stack', capped(app, 'stuck', stuck, 30, (task, i) => item(app, task, i < OPEN_FIRST)))),
    h('section', h('h2', 'Waits, and will go on by itself', h('span.count', others.length)),
      others.length === 0 ? empty('No task waits.', 'Submit one: ', command('coord task submit "write the parser"'))
        : h('div.stack', capped(app, 'others', others, 30, (task) => item(app, task, false)))),
    waiters(app), resourceCheck(app));
}

/** Acquires that wait: no event tells of them, so they are asked for, at most every 3 s. */
function waiters(app) {
  const { store } = app;
  const known = app.answers.waiters;
  if (!known?.busy && !(performance.now() - known?.at < 3000)) {
    app.answers.waiters = { ...known, busy: true };
    store.call('lease.list', { waiting: true, count_max: 100 }).then((answer) => answer.waiting ?? [], () => known?.list ?? [])
      .then((list) => { app.answers.waiters = { list, at: performance.now() }; app.draw(); });
  }
  const list = known?.list ?? [];
  return h('section', h('h2', 'Waits for a lease', h('span.count', list.length)),
    list.length === 0 ? h('p.calm', 'No agent waits for a lease.') : h('ul.plain', capped(app, 'waiters', list, 30, (wait, i) => h('li', { key: i },
      h('p', agentLink(wait.agent), ' wants ', wait.resources.slice(0, 4).map((text) => [resource(text), ' ']), wait.resources.length > 4 && `and ${wait.resources.length - 4} more `,
        h('span.quiet', `for ${span(wait.waited_ms)}, gives up in ${span(wait.left_ms)}`), wait.note && [': ', words(wait.note, 160)]),
      wait.conflicts.map((conflict) => holder(store, conflict))))));
}

const holder = (store, conflict) => h('p.reason', agentLink(conflict.holder), ' holds ', resource(conflict.held),
  conflict.since_ms !== undefined && [' for ', ago(store, conflict.since_ms)], conflict.note && [': ', words(conflict.note, 160)],
  conflict.expires_at_ms !== undefined && conflict.expires_at_ms !== null && h('span.quiet', `, ${span(conflict.expires_at_ms - store.now())} left unless renewed`),
  conflict.example && h('span.quiet', ', both match ', h('code', words(conflict.example, 90))));

function item(app, task, open) {
  const name = `why${task.task}`;
  const isOpen = app.opened[name] ?? open;
  if (isOpen) explain(app, task);
  return h('details.why', { key: task.task, open: isOpen, class: task.stuck?.length ? 'bad' : '', ontoggle: (event) => {
    if (app.opened[name] === event.target.open) return;
    app.opened[name] = event.target.open;
    app.draw();
  } },
  h('summary', h('span.grow', h('span.num', `#${task.task}`), ' ', words(task.title, 120)), h('span.line', state(task.state), h('span.quiet.small', ago(app.store, task.since_ms)))),
  isOpen && chain(app, app.answers[name]));
}

/** Asks at most every 3 s for each task that is shown. */
export function explain(app, task) {
  const name = `why${task.task}`;
  const known = app.answers[name];
  if (known && (known.busy || performance.now() - known.at < 3000)) return;
  app.answers[name] = { ...known, busy: true, at: performance.now() };
  app.store.call('task.explain', { task: task.task }).then(
    (result) => { app.answers[name] = { result, at: performance.now() }; },
    (error) => { app.answers[name] = { error, at: performance.now() }; },
  ).then(() => app.draw());
}

export function chain(app, answer) {
  const { store } = app;
  if (answer?.error) return h('p.bad-text', words(answer.error.message));
  if (!answer?.result) return h('p.quiet', 'Asking…');
  const { coordinator, tasks, left_out: left } = answer.result;
  return h('div.chain',
    (coordinator ?? []).map((reason) => h('p.bad-text', words(reason.text))),
    h('ol', tasks.map((task, i) => h('li', { key: task.task, style: { '--depth': Math.min(task.depth, 8) } },
      i > 0 && h('p', h('span.quiet', 'waits for '), taskLink(task.task, task.title), ' ', state(task.state)),
      task.reasons.map((reason) => h('p.reason', { class: reason.kind }, words(reason.text, 300),
        reason.until_ms !== undefined && reason.until_ms !== null && h('span.quiet', ` (${span(reason.until_ms - store.now())} left)`),
        reason.agents?.length > 0 && h('span.quiet', ' – ', reason.agents.slice(0, 6).map((name, j) => [j > 0 && ', ', agentLink(name)])),
        reason.next && h('span.next', 'Next: ', words(reason.next, 300)))),
      store.acts && (task.state === 'dead' || task.state === 'cancelled') && h('p', button('Retry', () => retryTask(task))),
      store.acts && i === 0 && task.reasons.some((reason) => reason.kind === 'no_agent_with_capability') && h('p', button('Cancel task', () => cancelTask(task), 'plain'))))),
    left > 0 && h('p.quiet', `At least ${plural(left, 'more task')} in between.`));
}

function resourceCheck(app) {
  const { store } = app;
  const answer = app.answers.check;
  const ask = async (event) => {
    event.preventDefault();
    let text = (app.typed.check ?? '').trim();
    if (!text) return;
    if (!/^(path|file|name|port|port-pool):/.test(text)) text = /[*?[{]/.test(text) ? `path:${text}` : `file:${text}`;
    try {
      app.answers.check = { text, result: await store.call('lease.check', { resources: [text] }) };
    } catch (error) {
      app.answers.check = { text, error };
    }
    app.draw();
  };
  return h('section', h('h2', 'Who holds it?'), h('p.quiet', 'A lease that somebody waits for: give a path, a file, a name or a port.'),
    h('form.line', { onsubmit: ask },
      h('input', { 'aria-label': 'Resource', placeholder: 'src/parser/**  or  name:release  or  port:host:8080', value: app.typed.check ?? '', oninput: (event) => { app.typed.check = event.target.value; } }),
      h('button.main', { type: 'submit' }, 'Look')),
    answer?.error && h('p.bad-text', words(answer.error.message)),
    answer?.result && (answer.result.ok ? h('p.calm', 'Nobody holds ', resource(answer.text), '.')
      : h('ul.plain', answer.result.conflicts.map((conflict) => h('li', holder(store, conflict))))));
}

