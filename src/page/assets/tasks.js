// Tasks as a board by state, and the whole story of one.

import { h, json, longText, words } from './dom.js';
import { agentLink, ago, bar, button, capped, chip, command, empty, facts, head, icon, number, plural, search, span, state, taskLink, titleOf, typed, when } from './parts.js';
import { cancelTask, retryTask, sendMessage } from './actions.js';
import { sentence } from './timeline.js';
import { chain, explain } from './stuck.js';

const COLUMNS = [['blocked', 'Blocked'], ['ready', 'Ready'], ['claimed', 'Running'], ['done', 'Done'], ['ended', 'Dead or cancelled']];
const CARDS = 40;

export function view(app) {
  const { store } = app;
  const filter = typed(app, 'tasks');
  const mine = app.chosen.agent ?? '';
  const columns = new Map(COLUMNS.map(([name]) => [name, []]));
  const holders = new Set();
  for (const task of store.tasks.values()) {
    if (task.attempt) holders.add(task.attempt.agent);
    if (mine && task.attempt?.agent !== mine) continue;
    if (filter && !text(task).includes(filter)) continue;
    columns.get(columns.has(task.state) ? task.state : 'ended').push(task);
  }
  columns.get('ready').sort((a, b) => b.priority - a.priority || a.task - b.task);
  columns.get('claimed').sort((a, b) => a.attempt?.claimed_at_ms - b.attempt?.claimed_at_ms);
  for (const name of ['done', 'ended']) columns.get(name).sort((a, b) => b.since_ms - a.since_ms);
  return h('div', { key: 'tasks' },
    head('Tasks', search(app, 'tasks', 'Title, #number, label=value or agent'),
      holders.size > 0 && h('select', { 'aria-label': 'Agent', value: mine, onchange: (event) => { app.chosen.agent = event.target.value; app.draw(); } },
        h('option', { value: '' }, 'All agents'), [...holders].sort().map((name) => h('option', { key: name, value: name }, name)))),
    store.tasks.size === 0 ? empty('No tasks yet.', 'Submit one: ', command('coord task submit "write the parser"'))
      : h('div.board', { tabindex: '0', role: 'group', 'aria-label': 'Tasks by state' }, COLUMNS.map(([name, title]) => column(app, name, title, columns.get(name)))));
}

function text(task) {
  const labels = Object.entries(task.labels ?? {}).map(([name, value]) => `${name}=${value}`).join(' ');
  return `#${task.task} ${task.title} ${labels} ${task.attempt?.agent ?? ''} ${task.submitted_by} ${(task.requires ?? []).join(' ')}`.toLowerCase();
}

function column(app, name, title, tasks) {
  return h('section.column', { key: name, 'aria-label': title }, h('h2', title, h('span.count', number(tasks.length))),
    h('ul.plain', capped(app, `col-${name}`, tasks, CARDS, (task) => h('li', { key: task.task }, small(app.store, task)))),
    tasks.length === 0 && h('p.quiet.none', 'None'));
}

function small(store, task) {
  const percent = task.progress?.percent;
  return h('a.task', { href: `#tasks/${task.task}`, class: task.stuck?.length ? 'stuck' : task.state },
    h('span.title', h('span.num', `#${task.task}`), ' ', words(task.title, 110)),
    task.attempt && h('span.line', words(task.attempt.agent, 40), h('span.grow'), ago(store, task.attempt.claimed_at_ms)),
    task.state === 'claimed' && percent !== undefined && percent !== null && bar(percent, `progress of task ${task.task}`),
    task.stuck?.length > 0 && h('span.line.bad-text', words(task.stuck[0].text, 90)),
    !task.stuck?.length && task.waiting_on?.length > 0 && h('span.line', `waits for ${task.waiting_on.slice(0, 4).map((id) => `#${id}`).join(', ')}${task.waiting_on.length > 4 ? ' …' : ''}`),
    task.state === 'ready' && !task.stuck?.length && task.not_before_ms > store.now() && h('span.line', `in ${span(task.not_before_ms - store.now())}`),
    task.state === 'dead' && task.last_error && h('span.line.bad-text', words(task.last_error, 90)),
    task.state === 'cancelled' && h('span.line', 'cancelled', task.cancelled && [' by ', words(task.cancelled.by, 40)]),
    (task.priority !== 0 || task.labels) && h('span.chips', task.priority !== 0 && h('span.chip', `priority ${task.priority}`), Object.entries(task.labels ?? {}).slice(0, 3).map(([name, value]) => chip(`${name}=${value}`))));
}

/** The drawer with one task. */
export function story(app, id) {
  const { store } = app;
  const known = store.tasks.get(id);
  const name = `task${id}`;
  const stamp = known ? `${known.state}/${known.attempts}/${known.since_ms}` : 'none';
  const answer = app.answers[name];
  if (!answer || (answer.stamp !== stamp && !answer.busy)) {
    app.answers[name] = { ...answer, stamp, busy: true };
    store.call('task.get', { task: id }).then(
      (task) => { app.answers[name] = { task, stamp }; },
      (error) => { app.answers[name] = { error, stamp }; },
    ).then(() => app.draw());
  }
  const task = answer?.task ? { ...answer.task, ...known } : known;
  return h('aside.drawer', { key: 'drawer', 'aria-label': `Task ${id}`, tabindex: '-1' },
    h('header', h('h2', task ? [h('span.num', `#${id}`), ' ', words(task.title, 200)] : `Task ${id}`), h('a.button.plain.square', { href: '#tasks', 'aria-label': 'Close' }, icon('close'))),
    task ? body(app, task) : h('p.quiet', answer?.error ? words(answer.error.message) : 'Asking…'));
}

function body(app, task) {
  const { store } = app;
  const open = task.state === 'blocked' || task.state === 'ready';
  if (open) explain(app, task);
  const ended = task.state === 'dead' || task.state === 'cancelled';
  const happened = store.log.filter((entry) => entry.task === task.task);
  const messages = [...store.inbox].filter((message) => JSON.stringify([message.subject, message.body]).match(new RegExp(`(?:#|[Tt]ask )${task.task}\\b`)));
  return [
    h('p.line', state(task.state), h('span.quiet', 'for ', ago(store, task.since_ms)), h('span.grow'),
      store.acts && ended && button('Retry', () => retryTask(task)),
      store.acts && task.attempt && button('Write to its agent', () => sendMessage(task.attempt.agent, `Task ${task.task}: ${task.title}`.slice(0, 180))),
      store.acts && !ended && task.state !== 'done' && button('Cancel', () => cancelTask(task), 'danger')),
    task.progress && h('p.progress', task.progress.percent !== undefined && task.progress.percent !== null && [bar(task.progress.percent, 'progress'), `${task.progress.percent} %`], task.progress.note && h('span', words(task.progress.note, 300))),
    task.last_error && h('div.note.bad', h('h3', 'Last error'), longText(task.last_error, 1200)),
    task.handoff && h('div.note', h('h3', 'Handed over by ', agentLink(task.handoff.from)), task.handoff.note && h('p', words(task.handoff.note, 1000)), task.handoff.context !== undefined && task.handoff.context !== null && longText(json(task.handoff.context))),
    task.cancelled && h('div.note', h('h3', 'Cancelled by ', agentLink(task.cancelled.by)), task.cancelled.reason && h('p', words(task.cancelled.reason, 1000))),
    open && h('section', h('h3', 'Why it does not run'), chain(app, app.answers[`why${task.task}`])),
    facts([
      ['Submitted by', [agentLink(task.submitted_by), ' at ', when(store, task.submitted_at_ms)]],
      task.attempt && ['Running at', [agentLink(task.attempt.agent), ` (attempt ${task.attempt.number}, fence ${task.attempt.fence})`]],
      task.attempt?.expires_at_ms && ['Expires', `in ${span(task.attempt.expires_at_ms - store.now())} unless renewed`],
      ['Attempts', `${task.attempts}, ${task.failures} of at most ${task.attempts_max} failed`],
      task.priority !== 0 && ['Priority', task.priority],
      task.requires?.length && ['Requires', task.requires.map((name) => chip(name))],
      task.labels && Object.keys(task.labels).length && ['Labels', Object.entries(task.labels).map(([name, value]) => chip(`${name}=${value}`))],
      task.concurrency_key && ['Concurrency', words(task.concurrency_key, 128)],
      task.offered_to && ['Reserved for', agentLink(task.offered_to)],
      task.after?.length && ['After', h('ul.plain', task.after.slice(0, 20).map((id) => h('li', titleOf(store, id), ' ', store.tasks.has(id) && state(store.tasks.get(id).state))))],
    ]),
    task.payload !== undefined && task.payload !== null && h('section', h('h3', 'Payload'), longText(json(task.payload))),
    task.result !== undefined && task.result !== null && h('section', h('h3', 'Result'), longText(json(task.result))),
    messages.length > 0 && h('section', h('h3', 'Messages that name it'), h('ul.plain', messages.slice(0, 10).map((message) => h('li', agentLink(message.from), ': ', words(message.subject ?? json(message.body), 160))))),
    h('section', h('h3', 'Its story'), happened.length ? h('ol.log', happened.slice(-60).reverse().map((entry, i) => h('li', { key: happened.length - i }, when(store, entry.at), sentence(store, entry, true)))) : h('p.quiet', 'Nothing since the page, or the coordinator, began to listen.')),
    h('p.quiet.small', plural(task.attempts, 'attempt'), ' in all. Events go back as far as the coordinator keeps them. ', taskLink(task.task)),
  ];
}
