// Now: what needs a person first, then who is here and what each does.

import { clean, h, words } from './dom.js';
import { agentLink, ago, bar, button, capped, command, empty, head, icon, number, plural, resource, span, state, taskLink, titleOf } from './parts.js';
import { cancelTask, removeAgent, retryTask, revokeLease, createToken } from './actions.js';

const MAIL_MANY = 20;
const PATHS_SHOWN = 3;

export function holdings(store) {
  const held = new Map();
  for (const lease of store.leases.values()) {
    if (!held.has(lease.agent)) held.set(lease.agent, []);
    held.get(lease.agent).push(lease);
  }
  return held;
}

/** What waits for a person: the worst first. */
export function attention(store) {
  const list = [];
  const add = (rank, tone, key, what, why, ...acts) => list.push({ rank, tone, key, what, why, acts });
  const { status } = store;
  if (status && status.status && status.status !== 'ready') {
    add(0, 'bad', 'status', ['The coordinator is ', status.status.replaceAll('_', ' ')], status.waiting_for ? ['It waits for ', words(status.waiting_for), '.'] : 'Agents cannot begin new work.');
  }
  const waiters = new Map();
  for (const task of store.tasks.values()) {
    for (const stuck of task.stuck ?? []) {
      if (stuck.root === task.task) continue;
      if (!waiters.has(stuck.root)) waiters.set(stuck.root, []);
      waiters.get(stuck.root).push(task.task);
    }
  }
  const blocks = (task) => {
    const count = waiters.get(task)?.length ?? 0;
    return count ? ` ${plural(count, 'task waits', 'tasks wait')} for it.` : '';
  };
  for (const task of store.tasks.values()) {
    const link = taskLink(task.task, task.title);
    if (task.state === 'dead') {
      add(waiters.has(task.task) ? 1 : 3, 'bad', `t${task.task}`, ['Dead after ', plural(task.failures, 'failed attempt'), ': ', link],
        [task.last_error && h('q', words(task.last_error, 160)), blocks(task.task)],
        store.acts && button('Retry', () => retryTask(task)), store.acts && button('Cancel', () => cancelTask(task), 'plain'));
    } else if (task.state === 'cancelled' && waiters.has(task.task)) {
      add(2, 'bad', `t${task.task}`, ['Cancelled, but needed: ', link], [task.cancelled?.reason && h('q', words(task.cancelled.reason, 160)), blocks(task.task)],
        store.acts && button('Retry', () => retryTask(task)));
    } else {
      const own = (task.stuck ?? []).find((stuck) => stuck.root === task.task);
      if (own) {
        add(2, 'bad', `t${task.task}`, ['Nobody can do: ', link], [words(own.text, 200), '.', blocks(task.task), ' Next: ', words(own.next, 200), '.'],
          store.acts && button('Cancel', () => cancelTask(task), 'plain'));
      }
    }
  }
  const held = holdings(store);
  for (const agent of store.agents.values()) {
    const leases = held.get(agent.name) ?? [];
    const holds = [agent.tasks.length && plural(agent.tasks.length, 'task'), leases.length && plural(leases.length, 'lease')].filter(Boolean).join(' and ');
    const lost = (agent.sessions ?? []).find((session) => session.grace_until_ms !== undefined);
    if (agent.presence === 'away' && lost && holds) {
      add(4, 'wait', `a${agent.name}`, [agentLink(agent.name), ' lost its connection'], `It holds ${holds}, for ${span(lost.grace_until_ms - store.now())} more unless it comes back.`);
    } else if (agent.presence === 'gone' && holds) {
      add(4, 'wait', `a${agent.name}`, [agentLink(agent.name), ' is not here'], `It still holds ${holds}.`,
        store.operates && button('Remove agent', () => removeAgent(agent), 'plain'));
    }
    if (agent.mailbox && agent.name === store.me.agent && store.acts) {
      add(0, 'info', 'mail', [plural(agent.mailbox, 'message'), ' for you'], store.inbox[0] && h('q', words(store.inbox.at(-1).subject ?? '(no subject)', 120)), h('a.button', { href: '#messages' }, 'Read'));
    } else if (agent.mailbox && agent.presence === 'gone' && !agent.seats_present) {
      add(5, 'wait', `m${agent.name}`, [plural(agent.mailbox, 'message'), ' for ', agentLink(agent.name), ', which is not here'], 'They wait until it comes back, or expire.');
    } else if (agent.mailbox >= MAIL_MANY) {
      add(5, 'wait', `m${agent.name}`, [agentLink(agent.name), ` has ${plural(agent.mailbox, 'unread message')}`], 'It is here, but does not read its mail.');
    }
  }
  for (const lease of store.leases.values()) {
    if (lease.opens_at_ms === undefined || lease.opens_at_ms === null) continue;
    add(6, 'wait', `l${lease.lease}`, ['A lapsed lease of ', agentLink(lease.agent)], [lease.resources.slice(0, 2).map((text) => [resource(text), ' ']), lease.resources.length > 2 && `and ${lease.resources.length - 2} more `, `open to others in ${span(lease.opens_at_ms - store.now())}.`],
      store.operates && button('Revoke', () => revokeLease(lease), 'plain'));
  }
  return list.sort((a, b) => a.rank - b.rank);
}

export function view(app) {
  const { store } = app;
  const agents = [...store.agents.values()];
  const present = agents.filter((agent) => agent.presence !== 'gone');
  const working = present.filter((agent) => agent.tasks.length);
  const list = attention(store);
  return h('div', { key: 'now' },
    head('Now', h('p.lead', number(present.length), present.length === 1 ? ' agent is here, ' : ' agents are here, ', number(working.length), ' with a task. ',
      plural(store.leases.size, 'lease'), ' held. ', h('strong', { class: list.length ? 'bad-text' : 'good-text' }, list.length ? `${plural(list.length, 'thing needs', 'things need')} a person.` : 'Nothing needs you.'))),
    h('section', { 'aria-labelledby': 'h-attention' }, h('h2', { id: 'h-attention' }, 'Needs a person'),
      list.length === 0
        ? h('p.calm', icon('done'), 'Nothing is dead, stuck or left behind.')
        : h('ul.attention', capped(app, 'attention', list, 8, (item) => h('li', { key: item.key, class: item.tone },
          h('div.grow', h('p.strong', item.what), item.why && h('p.quiet', item.why)), h('div.acts', item.acts))))),
    h('section', { 'aria-labelledby': 'h-agents' }, h('h2', { id: 'h-agents' }, 'Agents'), team(app, agents)));
}

function team(app, agents) {
  const { store } = app;
  if (agents.filter((agent) => agent.name !== store.me.agent).length === 0) {
    return empty('No agents yet.', 'Run ', command('coord token create alice --out alice.token'), ' and give the token to an agent, or ', command('coord setup'), ' in a repository.',
      store.operates && [' ', button('Make a token', createToken, 'main')]);
  }
  const groups = new Map();
  for (const agent of agents) {
    const principal = agent.name.split('/')[0];
    if (!groups.has(principal)) groups.set(principal, { principal, own: null, seats: [] });
    const group = groups.get(principal);
    if (agent.name === principal) group.own = agent;
    else group.seats.push(agent);
  }
  const held = holdings(store);
  const here = (group) => [group.own, ...group.seats].some((agent) => agent && agent.presence !== 'gone');
  const list = [...groups.values()].sort((a, b) => here(b) - here(a) || (a.principal < b.principal ? -1 : 1));
  const shown = list.filter(here);
  const gone = list.filter((group) => !here(group));
  return [
    h('div.cards', capped(app, 'agents', shown, 48, (group) => card(app, group, held))),
    shown.length === 0 && empty('Nobody is connected now.', 'Agents appear here when they open a session.'),
    gone.length > 0 && h('details.gone', { key: 'gone' }, h('summary', `Not here: ${gone.length}`), h('div.cards', capped(app, 'gone', gone, 48, (group) => card(app, group, held)))),
    store.operates && h('p', { key: 'make' }, button('Make a token for an agent', createToken)),
  ];
}

function card(app, group, held) {
  const { principal, own, seats } = group;
  const rows = seats.length && own && own.presence === 'gone' && !own.tasks.length && !held.get(own.name) && !own.mailbox ? seats : [own, ...seats].filter(Boolean);
  const only = rows.length === 1 && !seats.length ? rows[0] : null;
  return h('article.card', { key: principal },
    h('header', h('h3', agentLink(principal)), only ? [kind(only), h('span.grow'), presence(app.store, only)] : h('span.quiet', plural(seats.length, 'seat'))),
    rows.map((agent) => row(app, agent, held.get(agent.name) ?? [], only ? null : agent.name.slice(principal.length + 1) || 'itself')));
}

const kind = (agent) => agent.kind && h('span.quiet.small', words(agent.kind, 24));
const presence = (store, agent) => [state(agent.presence), agent.since_ms > 0 && h('span.quiet.small', ago(store, agent.since_ms))];

function row(app, agent, leases, seat) {
  const { store } = app;
  const paths = leases.flatMap((lease) => lease.resources.map((text) => ({ text, lease })));
  return h('div.seat', { key: agent.name },
    seat && h('p.who', h('strong', words(seat, 32)), kind(agent), h('span.grow'), presence(store, agent)),
    agent.tasks.map((id) => work(store, id)),
    agent.tasks.length === 0 && agent.presence !== 'gone' && h('p.quiet', agent.note ? words(agent.note, 140) : 'No task.'),
    agent.tasks.length > 0 && agent.note && h('p.quiet.small', words(agent.note, 140)),
    paths.length > 0 && h('p.paths', paths.slice(0, PATHS_SHOWN).map(({ text }) => resource(text, 44)), paths.length > PATHS_SHOWN && h('a', { href: '#leases' }, `${paths.length - PATHS_SHOWN} more`)),
    agent.mailbox > 0 && h('p.quiet.small', plural(agent.mailbox, 'unread message')),
    store.operates && agent.presence === 'gone' && agent.name !== store.me.agent && h('p', button('Remove', () => removeAgent(agent), 'plain tiny', { 'aria-label': `Remove ${clean(agent.name, 64)}` })));
}

function work(store, id) {
  const task = store.tasks.get(id);
  const percent = task?.progress?.percent;
  return h('div.work', { key: id }, h('p', titleOf(store, id), task?.attempt && h('span.quiet.small', ' for ', ago(store, task.attempt.claimed_at_ms))),
    percent !== undefined && percent !== null && h('p.progress', bar(percent, `progress of task ${id}`), h('span.small', `${percent} %`), task.progress.note && h('span.quiet.small', words(task.progress.note, 60))));
}
