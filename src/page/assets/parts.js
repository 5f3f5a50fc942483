// What several views show: times, states, paths, buttons.

import { clean, h, icon, words } from './dom.js';

const UNITS = [[86400000, 'd'], [3600000, 'h'], [60000, 'm'], [1000, 's']];

/** A span in its largest unit, and the next one where it says something. */
export function span(ms) {
  ms = Math.max(0, ms);
  if (ms < 1000) return '0s';
  for (let i = 0; i < UNITS.length; i += 1) {
    const [size, unit] = UNITS[i];
    if (ms < size) continue;
    const whole = Math.floor(ms / size);
    const next = UNITS[i + 1];
    const rest = next && whole < 3 && size > 1000 ? Math.floor((ms % size) / next[0]) : 0;
    return rest ? `${whole}${unit} ${rest}${next[1]}` : `${whole}${unit}`;
  }
  return '0s';
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });

/** A journal time as the reader's clock shows it. Over an idle night it is off, which the tooltip says. */
export function wall(store, ms) {
  const date = new Date(ms + (store.offset ?? 0));
  const text = clock.format(date);
  return Date.now() - date.getTime() > 72000000 ? `${day.format(date)}, ${text}` : text;
}
const TOLD = 'journal time, in your time zone: it stops while no coordinator runs';
export const when = (store, ms) => h('time', { title: TOLD }, wall(store, ms));
export const ago = (store, ms) => h('time', { title: `since ${wall(store, ms)}, ${TOLD}` }, span(store.now() - ms));

export const number = (value, digits = 0) => value.toLocaleString(undefined, { maximumFractionDigits: digits });
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function bytes(count) {
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (count < 1000 || unit === 'GB') return `${number(count, count < 10 && unit !== 'B' ? 1 : 0)} ${unit}`;
    count /= 1000;
  }
  return '';
}

const TONES = {
  ready: 'info', claimed: 'busy', blocked: 'wait', done: 'good', dead: 'bad', cancelled: 'idle',
  busy: 'busy', online: 'good', idle: 'good', away: 'wait', gone: 'idle',
};
const SAID = { claimed: 'running', gone: 'not here' };

/** A state as a dot and a word: colour alone says nothing. */
export const state = (name) => h(`span.state.${TONES[name] ?? 'idle'}`, SAID[name] ?? name);
export const chip = (text, tone = '') => h('span.chip', { class: tone }, words(text, 60));

export const agentLink = (name, shown = name) => h('a.agent', { href: `#timeline/${encodeURIComponent(name)}` }, words(shown, 64));
export const taskLink = (number, title) => h('a', { href: `#tasks/${number}` }, h('span.num', `#${number}`), title !== undefined && [' ', words(title, 120)]);

export function titleOf(store, number) {
  const task = store.tasks.get(number);
  return task ? taskLink(number, task.title) : taskLink(number);
}

export function resource(text, max = 90) {
  const cut = text.indexOf(':');
  const kind = text.slice(0, cut);
  return h('span.resource', { title: clean(text, 300) }, kind !== 'path' && kind !== 'file' && h('span.kind', kind), h('code', words(text.slice(cut + 1), max)));
}

export function bar(percent, label) {
  return h('span.bar', { role: 'progressbar', 'aria-valuenow': percent, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-label': label },
    h('span', { style: { width: `${percent}%` } }));
}

export const button = (text, onclick, tone = '', more = {}) => h('button', { type: 'button', class: tone, onclick, ...more }, text);

export const empty = (title, ...next) => h('div.empty', h('p.strong', title), next.length > 0 && h('p', next));
export const command = (text) => h('code.command', text);

export const head = (title, ...more) => h('header.head', h('h1', { tabindex: '-1' }, title), more);

/** The first `max` of a list, and a button for more. */
export function capped(app, name, list, max, show) {
  const limit = (app.more[name] ?? 0) + max;
  const rest = list.length - limit;
  const shown = list.slice(0, limit).map(show);
  return [
    shown,
    rest > 0 && h(shown[0]?.tag === 'li' ? 'li.more' : 'div.more', { key: 'more' }, button(`Show ${Math.min(rest, max)} more of ${number(rest)}`, () => {
      app.more[name] = (app.more[name] ?? 0) + max;
      app.draw();
    }, 'plain')),
  ];
}

export function search(app, name, label) {
  return h('input.search', {
    type: 'search', 'aria-label': label, placeholder: label, value: app.typed[name] ?? '',
    oninput: (event) => { app.typed[name] = event.target.value; app.draw(); },
  });
}
export const typed = (app, name) => (app.typed[name] ?? '').trim().toLowerCase();

/** Buttons of which one is chosen. */
export function choice(label, options, chosen, choose) {
  return h('div.choice', { role: 'group', 'aria-label': label }, options.map(([value, text, count]) =>
    h('button', { type: 'button', 'aria-pressed': String(value === chosen), onclick: () => choose(value) }, text,
      count !== undefined && h('span.count', number(count)))));
}

export const facts = (pairs) => h('dl.facts', pairs.filter(Boolean).map(([name, value]) => h('div', h('dt', name), h('dd', value ?? '–'))));

export { icon };
