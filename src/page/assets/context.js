// The shared context: keys by prefix, and the value of one.

import { h, json, longText, words } from './dom.js';
import { ago, capped, command, empty, head, plural, search, typed } from './parts.js';

export function view(app) {
  const { store } = app;
  const filter = typed(app, 'context');
  const entries = [...store.context.values()].filter((entry) => !filter || `${entry.key} ${entry.written_by}`.toLowerCase().includes(filter));
  entries.sort((a, b) => (a.key < b.key ? -1 : 1));
  return h('div', { key: 'context' },
    head('Context', h('p.lead', plural(store.context.size, 'entry', 'entries'), ' that agents share.'), search(app, 'context', 'Key or agent')),
    store.context.size === 0 ? empty('Nothing is shared yet.', 'Write an entry: ', command("coord context put build/branch '\"main\"'"))
      : h('div.stack', capped(app, 'context', entries, 100, (entry) => item(app, entry))));
}

function item(app, entry) {
  const name = `ctx${entry.key}`;
  const open = app.opened[name] ?? false;
  const answer = app.answers[name];
  if (open && (!answer || answer.revision !== entry.revision)) {
    app.answers[name] = { ...answer, revision: entry.revision };
    app.store.call('context.get', { key: entry.key }).then(
      (got) => { app.answers[name] = { revision: entry.revision, value: json(got.value) }; },
      (error) => { app.answers[name] = { revision: entry.revision, error: error.message }; },
    ).then(() => app.draw());
  }
  return h('details.why', { key: entry.key, open, ontoggle: (event) => {
    if (open === event.target.open) return;
    app.opened[name] = event.target.open;
    app.draw();
  } },
  h('summary', h('code.grow', words(entry.key, 160)), h('span.quiet.small', words(entry.written_by, 64), ' ', ago(app.store, entry.written_at_ms), ' ago, revision ', entry.revision)),
  open && (answer?.error ? h('p.bad-text', words(answer.error)) : answer?.value === undefined ? h('p.quiet', 'Asking…') : longText(answer.value, 20000)));
}
