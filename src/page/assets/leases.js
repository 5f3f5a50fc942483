// Leases: paths as a tree with their holders, ports by host, names.

import { h, words } from './dom.js';
import { agentLink, ago, button, capped, chip, command, empty, head, plural, search, span, typed } from './parts.js';
import { revokeLease } from './actions.js';

const ROWS = 300;

export function view(app) {
  const { store } = app;
  const filter = typed(app, 'leases');
  const tree = node('');
  const ports = [];
  const names = [];
  let shown = 0;
  for (const lease of store.leases.values()) {
    for (const text of lease.resources) {
      if (filter && !`${text} ${lease.agent} ${lease.note ?? ''}`.toLowerCase().includes(filter)) continue;
      shown += 1;
      const cut = text.indexOf(':');
      const [kind, rest] = [text.slice(0, cut), text.slice(cut + 1)];
      if (kind === 'path' || kind === 'file') plant(tree, rest, lease);
      else if (kind === 'port') ports.push({ rest, lease });
      else names.push({ rest, lease });
    }
  }
  const rows = [];
  flatten(tree, 0, rows);
  return h('div', { key: 'leases' },
    head('Leases', h('p.lead', plural(store.leases.size, 'lease'), ' on ', plural(shown, 'resource'), '.'), search(app, 'leases', 'Path, agent or note')),
    store.leases.size === 0 && empty('Nothing is held.', 'An agent takes files before it changes them: ', command("coord lease acquire 'path:src/**' --ttl 10m")),
    rows.length > 0 && h('section', h('h2', 'Paths'), h('ul.tree', { 'aria-label': 'Held paths' }, capped(app, 'tree', rows, ROWS, (row) => line(store, row)))),
    ports.length > 0 && h('section', h('h2', 'Ports'), byHost(store, ports)),
    names.length > 0 && h('section', h('h2', 'Names'), h('ul.tree', capped(app, 'names', names, ROWS, ({ rest, lease }) => line(store, { key: `n${rest}/${lease.lease}`, depth: 0, name: rest, leases: [lease] })))));
}

const node = (name) => ({ name, kids: new Map(), leases: [] });

function plant(tree, path, lease) {
  let at = tree;
  for (const part of path.split('/')) {
    if (!at.kids.has(part)) at.kids.set(part, node(part));
    at = at.kids.get(part);
  }
  at.leases.push(lease);
}

/** Folders with one entry and no lease are one line with it. */
function flatten(tree, depth, rows, path = '') {
  const kids = [...tree.kids.values()].sort((a, b) => (b.kids.size > 0) - (a.kids.size > 0) || (a.name < b.name ? -1 : 1));
  for (let kid of kids) {
    let { name } = kid;
    while (kid.leases.length === 0 && kid.kids.size === 1) {
      [kid] = kid.kids.values();
      name += `/${kid.name}`;
    }
    const key = `${path}/${name}`;
    rows.push({ key, depth, name: kid.kids.size ? `${name}/` : name, leases: kid.leases, folder: kid.leases.length === 0 });
    flatten(kid, depth + 1, rows, key);
  }
}

function line(store, { key, depth, name, leases, folder }) {
  return h('li', { key, style: { '--depth': Math.min(depth, 10) }, class: folder ? 'folder' : '' }, h('code.grow', words(name, 120)),
    leases.length > 0 && h('div.holders', leases.map((lease) => holder(store, lease))));
}

function holder(store, lease) {
  const lapsed = lease.opens_at_ms !== undefined && lease.opens_at_ms !== null;
  const until = lapsed ? `lapsed, free in ${span(lease.opens_at_ms - store.now())}`
    : lease.expires_at_ms ? `${span(lease.expires_at_ms - store.now())} left` : 'while connected';
  return h('span.holder', { key: lease.lease, title: lease.note ? undefined : `lease ${lease.lease}` }, agentLink(lease.agent), lease.mode === 'shared' && chip('shared'), lease.tree && chip(lease.tree),
    h('span.quiet.small', { class: lapsed ? 'bad-text' : '' }, until), h('span.quiet.small', 'held ', ago(store, lease.acquired_at_ms)),
    lease.note && h('span.quiet.small.notetext', words(lease.note, 80)),
    store.operates && button('Revoke', () => revokeLease(lease), 'plain tiny', { 'aria-label': `Revoke lease ${lease.lease}` }));
}

function byHost(store, ports) {
  const hosts = new Map();
  for (const port of ports) {
    const cut = port.rest.lastIndexOf(':');
    const host = port.rest.slice(0, cut);
    if (!hosts.has(host)) hosts.set(host, []);
    hosts.get(host).push({ ...port, number: Number(port.rest.slice(cut + 1)) });
  }
  return [...hosts].sort().map(([host, list]) => h('div', { key: host }, h('h3', words(host, 60)),
    h('ul.tree', list.sort((a, b) => a.number - b.number).map(({ number, lease }) => line(store, { key: `${number}/${lease.lease}`, depth: 0, name: String(number), leases: [lease] })))));
}
