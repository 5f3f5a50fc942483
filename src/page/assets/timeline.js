// Timeline: attempts and leases as bars for each agent over the last hour, and what happened as sentences.

import { clean, h, words } from './dom.js';
import { agentLink, button, capped, choice, empty, head, number, resource, span, taskLink, typed, wall, when, search } from './parts.js';

const LANE = 13;
const WIDTH = 1000;
const ROWS = 24;
const BARS_A_ROW = 400;
const RANGES = [[600000, '10 min'], [3600000, '1 hour']];
const TASK_ENDS = new Set(['task.done', 'task.failed', 'task.lost', 'task.released', 'task.handed_off', 'task.dead', 'task.cancelled']);
const LEASE_ENDS = new Set(['lease.released', 'lease.lapsed', 'lease.revoked']);

/** Bars out of what is held now and what events told: `{agent, from, to, kind, id, tone}`. */
export function bars(store) {
  const list = [];
  const open = new Map();
  for (const entry of store.log) {
    const isTask = entry.kind.startsWith('task.');
    const key = isTask ? `t${entry.task}` : `l${entry.lease}`;
    if (entry.kind === 'task.claimed' || entry.kind === 'lease.acquired') {
      const bar = { agent: entry.agent, from: entry.at, to: null, kind: isTask ? 'task' : 'lease', id: isTask ? entry.task : entry.lease, tone: isTask ? 'busy' : 'held' };
      open.set(key, bar);
      list.push(bar);
    } else if (TASK_ENDS.has(entry.kind) || LEASE_ENDS.has(entry.kind)) {
      const bar = open.get(key);
      if (!bar) continue;
      bar.to = entry.at;
      if (entry.kind === 'task.done') bar.tone = 'good';
      else if (isTask || entry.kind !== 'lease.released') bar.tone = entry.kind === 'task.released' || entry.kind === 'task.handed_off' ? 'idle' : 'bad';
      open.delete(key);
    }
  }
  for (const task of store.tasks.values()) {
    if (task.attempt && !open.has(`t${task.task}`)) list.push({ agent: task.attempt.agent, from: task.attempt.claimed_at_ms, to: null, kind: 'task', id: task.task, tone: 'busy' });
  }
  for (const lease of store.leases.values()) {
    if (!open.has(`l${lease.lease}`)) list.push({ agent: lease.agent, from: lease.acquired_at_ms, to: null, kind: 'lease', id: lease.lease, tone: 'held' });
  }
  return list;
}

export function view(app, agent) {
  const { store } = app;
  // An hour of nothing but ten minutes tells less than ten minutes.
  const oldest = Math.min(...[store.log[0]?.at, ...[...store.leases.values()].map((lease) => lease.acquired_at_ms)].filter((at) => at !== undefined));
  const range = app.chosen.range ?? (store.now() - oldest < 600000 ? 600000 : 3600000);
  const filter = typed(app, 'events');
  const events = store.log.filter((entry) => (!agent || entry.agent === agent || entry.to?.includes(agent)) && (!filter || `${entry.kind} ${entry.agent ?? ''} #${entry.task ?? ''} ${entry.key ?? ''}`.toLowerCase().includes(filter)));
  return h('div', { key: 'timeline' },
    head(agent ? ['Timeline of ', words(agent, 64)] : 'Timeline',
      choice('Span', RANGES, range, (value) => { app.chosen.range = value; app.draw(); }),
      agent && h('a.button.plain', { href: '#timeline' }, 'All agents')),
    gantt(app, agent, range),
    h('section', h('h2', 'What happened', h('span.count', number(events.length))), search(app, 'events', 'Kind, agent, #task or key'),
      events.length === 0 ? empty('Nothing happened yet.', 'Events appear as agents work.')
        : h('ol.log', capped(app, 'events', events.slice(-2000).reverse(), 80, (entry, i) => h('li', { key: `e${events.length - i}` }, when(store, entry.at), sentence(store, entry))))));
}

function gantt(app, only, range) {
  const { store } = app;
  const now = store.now();
  const from = now - range;
  const rows = new Map();
  for (const agent of store.agents.values()) if (agent.presence !== 'gone' && !agent.seats_present) rows.set(agent.name, []);
  for (const bar of bars(store)) {
    if ((bar.to ?? now) < from) continue;
    if (!rows.has(bar.agent)) rows.set(bar.agent, []);
    rows.get(bar.agent).push(bar);
  }
  const list = [...rows].filter(([name]) => !only || name === only).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  if (list.length === 0) return empty('No agent did anything in this time.', 'Rows appear when agents take tasks and leases.');
  const step = range / 6;
  const marks = [];
  for (let at = Math.ceil((from + store.offset) / step) * step - store.offset; at < from + range * 0.98; at += step) marks.push(at);
  const limit = ROWS + (app.more.gantt ?? 0);
  return h('section', h('h2.hush', 'Bars for each agent'), h('div.gantt', axis(store, marks, from, range), list.slice(0, limit).map(([name, held]) => ganttRow(store, name, held, marks, from, range))),
    h('p.legend', [['busy', 'task running'], ['good', 'task done'], ['bad', 'failed or lost'], ['held', 'lease']].map(([tone, text]) => h('span', { key: tone, class: tone }, text)), h('span.quiet', 'in your time zone; journal time stops while no coordinator runs')),
    list.length > limit && button(`Show ${list.length - limit} more agents`, () => { app.more.gantt = (app.more.gantt ?? 0) + ROWS; app.draw(); }, 'plain'));
}

function axis(store, marks, from, range) {
  return h('div.axis', { 'aria-hidden': 'true' }, h('span.name'), h('div.lane', marks.map((at) => h('span', { key: at, style: { left: `${((at - from) / range) * 100}%` } }, wall(store, at).slice(0, -3)))));
}

/** Bars that overlap lie in lanes below each other. */
function ganttRow(store, name, held, marks, from, range) {
  const now = from + range;
  held.sort((a, b) => a.from - b.from);
  const lanes = [];
  const shapes = held.slice(-BARS_A_ROW).map((bar) => {
    const end = bar.to ?? now;
    let lane = lanes.findIndex((until) => until <= bar.from);
    if (lane < 0) lane = lanes.length < 6 ? lanes.push(0) - 1 : 5;
    lanes[lane] = end;
    const x = Math.max(0, ((bar.from - from) / range) * WIDTH);
    const width = Math.max(3, Math.min(WIDTH, ((end - from) / range) * WIDTH) - x);
    return h('rect', { key: `${bar.kind}${bar.id}/${bar.from}`, x, y: lane * LANE + 2, width, height: LANE - 3, rx: 2, class: bar.tone }, h('title', told(store, bar, end)));
  });
  const height = Math.max(1, lanes.length) * LANE + 2;
  const tasks = held.filter((bar) => bar.kind === 'task').length;
  return h('div.row', { key: name }, h('span.name', agentLink(name)),
    h('div.lane', h('svg', { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: 'none', style: { height: `${height}px` }, role: 'img', 'aria-label': `${name}: ${tasks} attempts and ${held.length - tasks} leases in this time` },
      marks.map((at) => ((at - from) / range) * WIDTH).map((x) => h('line', { x1: x, x2: x, y1: 0, y2: height })), shapes)));
}

function told(store, bar, end) {
  const what = bar.kind === 'task' ? `task ${bar.id}: ${store.tasks.get(bar.id)?.title ?? ''}` : `lease ${bar.id}: ${store.leases.get(bar.id)?.resources.slice(0, 3).join(', ') ?? 'ended'}`;
  return `${clean(what, 160)} (${span(end - bar.from)})`;
}

const DID = {
  'agent.online': 'is here', 'agent.updated': 'said what it does', 'agent.gone': 'went', 'agent.removed': 'was removed',
  'session.opened': 'opened a session', 'session.resumed': 'came back', 'session.lost': 'lost its connection', 'session.ended': 'ended a session',
  'task.submitted': 'submitted', 'task.ready': 'can be claimed:', 'task.claimed': 'claimed', 'task.progress': 'made progress on', 'task.done': 'finished',
  'task.failed': 'failed at', 'task.lost': 'lost', 'task.released': 'gave back', 'task.handed_off': 'handed over', 'task.dead': 'is dead:', 'task.cancelled': 'cancelled',
  'task.retried': 'requeued', 'task.stuck': 'is stuck:', 'task.unstuck': 'is no longer stuck:', 'lease.acquired': 'took', 'lease.released': 'gave back', 'lease.reduced': 'gave back a part of',
  'lease.lapsed': 'lost', 'lease.revoked': 'had revoked', 'lease.opened': 'is free again:', 'message.sent': 'wrote', 'message.acked': 'read', 'message.expired': 'did not read in time',
  'context.put': 'wrote', 'context.deleted': 'deleted', 'token.created': 'got a token', 'token.revoked': 'lost a token', 'project.created': 'created', 'epoch.started': 'The shared journal began anew',
};

/** The same where the task is known. */
const SHORT = {
  'task.submitted': 'submitted it', 'task.ready': 'can be claimed', 'task.claimed': 'claimed it', 'task.progress': 'made progress', 'task.done': 'finished it', 'task.failed': 'failed', 'task.lost': 'lost it',
  'task.released': 'gave it back', 'task.handed_off': 'handed it over', 'task.dead': 'is dead', 'task.cancelled': 'cancelled it', 'task.retried': 'requeued it', 'task.stuck': 'is stuck', 'task.unstuck': 'is no longer stuck',
};

/** What an event says, as a sentence. */
export function sentence(store, entry, short) {
  const lease = entry.lease && store.leases.get(entry.lease);
  const bad = /dead|failed|lost|lapsed|stuck$|revoked/.test(entry.kind);
  return h('span', { class: bad ? 'bad-text' : '' },
    entry.agent && [agentLink(entry.agent), ' '], (short && SHORT[entry.kind]) || (DID[entry.kind] ?? entry.kind),
    entry.task && !short && [' ', store.tasks.has(entry.task) ? taskLink(entry.task, store.tasks.get(entry.task).title) : taskLink(entry.task)],
    entry.lease && [' ', lease ? resource(lease.resources[0], 60) : `lease ${entry.lease}`, lease?.resources.length > 1 && ` and ${lease.resources.length - 1} more`],
    entry.message && ` message #${entry.message}`, entry.kind !== 'message.acked' && entry.to?.length > 0 && [' → ', entry.to.slice(0, 3).map((name, i) => [i > 0 && ', ', agentLink(name)]), entry.to.length > 3 && ` and ${entry.to.length - 3} more`],
    entry.key && [' ', h('code', words(entry.key, 80))], entry.reason && h('span.quiet', ' – ', words(entry.reason, 160)));
}
