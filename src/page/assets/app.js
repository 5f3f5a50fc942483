// The page: who looks, where it stands, and which view is drawn.

import { h, icon, patch, words } from './dom.js';
import { button, command, number } from './parts.js';
import { setUp } from './actions.js';
import { Store } from './store.js';
import * as now from './now.js';
import * as stuck from './stuck.js';
import * as tasks from './tasks.js';
import * as leases from './leases.js';
import * as messages from './messages.js';
import * as context from './context.js';
import * as timeline from './timeline.js';
import * as box from './box.js';

const VIEWS = [
  ['now', 'Now', now], ['stuck', 'Why stuck', stuck], ['tasks', 'Tasks', tasks], ['leases', 'Leases', leases],
  ['messages', 'Messages', messages], ['context', 'Context', context], ['timeline', 'Timeline', timeline], ['box', 'Box', box],
];
/** Events come in bursts; drawing more often than this shows nobody more. */
const DRAW_MS = 250;
/** Where a picture takes long to draw, the page is at most a fifth of the time busy with it. */
const REST = 4;
const REST_MS_MAX = 2000;
/** Ages grow without events. */
const TICK_MS = 5000;

const app = {
  root: document.getElementById('app'), typed: {}, chosen: {}, more: {}, opened: {}, answers: {}, health: null,
  login: { token: '', operate: false, told: null, busy: false }, me: undefined, toast: null, drawn: 0, cost: 0, due: 0,
  draw() {
    if (app.due) return;
    const rest = Math.max(DRAW_MS, Math.min(REST * app.cost, REST_MS_MAX));
    const pause = Math.max(0, rest - (performance.now() - app.drawn));
    app.due = setTimeout(() => requestAnimationFrame(paint), pause > 200 ? pause : 0);
  },
  say(text, bad = false) {
    document.getElementById('say').textContent = text;
    clearTimeout(app.toastTimer);
    app.toast = { text, bad };
    app.toastTimer = setTimeout(() => { app.toast = null; app.draw(); }, bad ? 9000 : 4000);
    app.draw();
  },
};
app.store = new Store(() => app.draw());
setUp(app);

function paint() {
  app.due = 0;
  if (document.hidden) return;
  app.drawn = performance.now();
  patch(app.root, app.me ? frame().filter(Boolean) : app.me === null ? [login()] : [h('p.boot.quiet', { key: 'boot' }, 'Opening…')]);
  // The layout, which the browser would do next, counts too.
  document.body.getBoundingClientRect();
  app.cost = performance.now() - app.drawn;
}

function place() {
  const [name, rest] = location.hash.slice(1).split('/');
  const found = VIEWS.find(([view]) => view === name) ?? VIEWS[0];
  let detail = null;
  try { detail = rest ? decodeURIComponent(rest) : null; } catch { /* A broken link is the view without its detail. */ }
  return { view: found, detail };
}

function frame() {
  const { store } = app;
  if (store.link === 'out') return [login('Your session is over: it ended, was revoked, or the coordinator restarted, which keeps no sessions.')];
  const { view, detail } = place();
  const [name, title, module] = view;
  const counts = store.ready ? { now: now.attention(store).length, stuck: stuck.waiting(store).filter((task) => task.stuck?.length).length, messages: store.acts ? store.inbox.length : 0 } : {};
  document.title = `${counts.now ? `(${counts.now}) ` : ''}${title} · coord`;
  const story = name === 'tasks' && detail && /^\d{1,15}$/.test(detail) ? Number(detail) : null;
  return [
    h('a.skip', { key: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); focusMain(); } }, 'Skip to the content'),
    h('div.shell', { key: 'shell' },
      h('nav.side', { 'aria-label': 'Views' },
        h('div.brand', h('span.logo', { 'aria-hidden': 'true' }), h('span', 'coord'), store.status && h('span.env', words(store.status.environment, 20))),
        h('ul', VIEWS.map(([id, label]) => h('li', { key: id }, h('a', { href: `#${id}`, 'aria-current': id === name ? 'page' : null }, icon(id), h('span', label), counts[id] > 0 && h('span.badge', { class: id === 'messages' ? '' : 'hot' }, number(counts[id]))))))),
      h('div.pane',
        h('header.top', link(store), store.projects.length > 1 && h('select', { 'aria-label': 'Project', value: store.status?.project.project, onchange: (event) => store.change(event.target.value) }, store.projects.map((project) => h('option', { key: project, value: project }, project))),
          h('span.grow'), h('span.quiet.small.me', words(store.me.agent, 40), store.acts ? `, ${store.me.role}` : ', looking on'), button('Log out', logout, 'plain')),
        store.note && h('p.banner', { role: 'status' }, h('span.grow', words(store.note, 300)), button('OK', () => { store.note = null; app.draw(); }, 'plain')),
        h('main', { id: 'main', tabindex: '-1' }, store.ready ? module.view(app, detail) : h('p.boot.quiet', store.link === 'lost' ? 'Waiting for the coordinator…' : 'Reading…')),
        story !== null && store.ready && tasks.story(app, story))),
    app.toast && h('div.toast', { key: 'toast', class: app.toast.bad ? 'bad' : '' }, words(app.toast.text, 400)),
  ];
}

function link(store) {
  if (store.link === 'live') return h('span.state.good', { role: 'status' }, 'live');
  return h('span.state.wait', { role: 'status' }, store.link === 'lost' ? 'not connected: trying again, what you see may be old' : 'connecting');
}

function login(told) {
  const { login: form } = app;
  const enter = async (event) => {
    event.preventDefault();
    const token = form.token.trim();
    form.token = '';
    await enterWith({ token, operate: form.operate });
  };
  return h('main.login', { key: 'login', id: 'main' },
    h('div.brand', h('span.logo', { 'aria-hidden': 'true' }), h('span', 'coord')),
    h('h1', 'Who does what, what is stuck, and why'),
    told && h('p.banner', { role: 'status' }, told),
    h('p', 'On the machine of the coordinator, or wherever you have a token, run ', command('coord open'), ' and follow the link that it prints.'),
    h('form', { onsubmit: enter },
      h('label', 'Or paste a token', h('input', { type: 'password', name: 'token', autocomplete: 'off', spellcheck: 'false', required: true, maxlength: 512, value: form.token, oninput: (event) => { form.token = event.target.value; } })),
      h('label.check', h('input', { type: 'checkbox', checked: form.operate, onchange: (event) => { form.operate = event.target.checked; } }), 'Let me change things, not only look'),
      form.told && h('p.bad-text', { role: 'alert' }, words(form.told, 300)),
      h('button.main', { type: 'submit', disabled: form.busy }, 'Enter')),
    h('p.quiet.small', 'The token is used once to begin a session. Neither the page nor the browser keeps it.'));
}

async function enterWith(body) {
  app.login.busy = true;
  app.login.told = null;
  app.draw();
  try {
    const answer = await fetch('/page/login', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    const said = await answer.json();
    if (answer.ok) begin(said);
    else {
      app.me = null;
      app.login.told = said.error?.message ?? 'It did not work.';
    }
  } catch {
    app.me = null;
    app.login.told = 'The coordinator does not answer. Is it running?';
  }
  app.login.busy = false;
  app.draw();
}

function begin(me) {
  app.me = me;
  app.store.leave();
  app.store.enter(me);
  app.answers = {};
  app.draw();
}

async function logout() {
  try {
    await fetch('/page/logout', { method: 'POST' });
  } catch { /* Without a coordinator there is no session either. */ }
  app.store.leave();
  app.me = null;
  app.answers = {};
  app.draw();
}

function focusMain() {
  (document.querySelector('main h1') ?? document.getElementById('main'))?.focus();
}

async function start() {
  // The code is in the part of the link that browsers send to nobody; it goes out of sight before anything else.
  const code = /^#code=([A-Za-z0-9_-]{16,128})$/.exec(location.hash)?.[1];
  if (code) {
    history.replaceState(null, '', location.pathname);
    await enterWith({ code });
    return;
  }
  try {
    const answer = await fetch('/page/session', { cache: 'no-store' });
    if (answer.ok) begin(await answer.json());
    else app.me = null;
  } catch {
    app.me = null;
    app.login.told = 'The coordinator does not answer. Is it running?';
  }
  app.draw();
}

let shown = place();
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#code=')) { start(); return; }
  const before = shown;
  shown = place();
  paint();
  if (before.view !== shown.view) {
    document.querySelector('.side [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
    scrollTo(0, 0);
    focusMain();
  } else if (shown.detail && shown.view[0] === 'tasks') document.querySelector('.drawer')?.focus();
});
addEventListener('keydown', (event) => {
  if (!app.me || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog') || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
  if (event.key === 'Escape' && place().detail) location.hash = place().view[0];
  else if (event.key === '/') {
    const field = document.querySelector('main input[type=search]');
    if (field) { event.preventDefault(); field.focus(); }
  } else if (/^[1-8]$/.test(event.key)) location.hash = VIEWS[Number(event.key) - 1][0];
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) { app.draw(); app.store.flush(); } });
setInterval(() => app.draw(), TICK_MS);
app.draw();
start();
