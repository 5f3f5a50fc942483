// What an operator can do. The coordinator checks each as it does for every client; what cannot be undone asks first.

import { clean, h, patch, words } from './dom.js';
import { button } from './parts.js';
import { requestId } from './wire.js';

let app = null;
export function setUp(given) { app = given; }

/** A dialog whose content is drawn by `content(close)`; focus goes back to where it came from. */
export function dialog(title, content) {
  const box = document.createElement('dialog');
  box.setAttribute('aria-label', title);
  const close = () => { box.close(); };
  const draw = () => patch(box, [h('h2', title), content(close, draw)].flat());
  box.onclose = () => box.remove();
  box.onclick = (event) => { if (event.target === box) close(); };
  document.body.append(box);
  draw();
  box.showModal();
}

async function run(what, method, params) {
  try {
    const result = await app.store.call(method, params);
    app.say(what);
    app.store.dirty.all = true;
    app.store.flush();
    return result;
  } catch (error) {
    app.say(`It did not work: ${clean(error.message, 300)}`, true);
    return null;
  }
}

function ask(title, text, label, act, tone = 'danger', field = null) {
  let typed = '';
  dialog(title, (close) => h('form', { onsubmit: (event) => { event.preventDefault(); close(); act(typed.trim()); } },
    h('p', text),
    field && h('label', field, h('input', { maxlength: 300, oninput: (event) => { typed = event.target.value; } })),
    h('div.acts', button('Leave it', close, 'plain'), h('button', { class: tone, type: 'submit' }, label))));
}

const optional = (params, name, value) => (value ? { ...params, [name]: value } : params);

export const retryTask = (task) => run(`Task ${task.task} is requeued.`, 'task.retry', { task: task.task, request_id: requestId() });

export const cancelTask = (task) => ask(`Cancel task ${task.task}?`, [words(task.title, 160), '. Its holder is told to stop. It runs again only if somebody retries it.'], 'Cancel the task',
  (reason) => run(`Task ${task.task} is cancelled.`, 'task.cancel', optional({ task: task.task, request_id: requestId() }, 'reason', reason)), 'danger', 'Why (agents see it)');

export const revokeLease = (lease) => ask(`Revoke lease ${lease.lease}?`, [words(lease.agent, 100), ' holds ', h('code', words(lease.resources.slice(0, 5).join(', '), 300)), '. It is told to stop, but what it wrote already stays. This cannot be undone.'], 'Revoke the lease',
  (reason) => run(`Lease ${lease.lease} is revoked.`, 'lease.revoke', optional({ lease: lease.lease, request_id: requestId() }, 'reason', reason)), 'danger', 'Why (the holder sees it)');

export const removeAgent = (agent) => ask(`Remove ${clean(agent.name, 100)}?`, 'All it holds is released, and its mailbox is deleted. This cannot be undone. It may come back as long as its token is valid.', 'Remove the agent',
  () => run('The agent is removed.', 'agent.remove', { agent: agent.name, request_id: requestId() }));

export const ackMessages = (messages) => run('Taken out of your mailbox.', 'message.ack', { messages: messages.map((message) => message.message), request_id: requestId() });

const MIME = { normal: 'Normal', high: 'Important', low: 'Low' };

export function sendMessage(to = '', subject = '', replyTo = null) {
  const letter = { kind: 'agent', to, subject, body: '', importance: 'normal', id: requestId(), told: null };
  const set = (name) => (event) => { letter[name] = event.target.value; };
  dialog(replyTo ? 'Answer' : 'Write a message', (close, draw) => h('form', { onsubmit: async (event) => {
    event.preventDefault();
    const recipient = letter.kind === 'all' ? { all: true } : { [letter.kind]: letter.to.trim() };
    let params = { to: recipient, body: letter.body, importance: letter.importance, request_id: letter.id };
    params = optional(optional(params, 'subject', letter.subject.trim()), 'reply_to', replyTo);
    try {
      const { recipients } = await app.store.call('message.send', params);
      const failed = recipients.filter((one) => one.delivery === 'unknown' || one.delivery === 'full');
      if (recipients.length && !failed.length) {
        app.say(`Sent to ${recipients.length === 1 ? clean(recipients[0].agent, 100) : `${recipients.length} agents`}.`);
        close();
        return;
      }
      letter.told = failed.length ? failed.map((one) => `${one.agent}: ${one.delivery === 'full' ? 'its mailbox is full' : `nobody has this name${one.similar?.length ? `; did you mean ${one.similar.join(' or ')}?` : ''}`}`).join('; ') : 'Nobody fits: no agent listens to it.';
    } catch (error) {
      letter.told = error.message;
    }
    letter.id = requestId();
    draw();
  } },
  h('div.line', h('label', 'To', h('select', { value: letter.kind, onchange: (event) => { letter.kind = event.target.value; draw(); } }, [['agent', 'an agent'], ['topic', 'a topic'], ['capability', 'everyone who can'], ['all', 'everyone']].map(([value, text]) => h('option', { value, key: value }, text)))),
    letter.kind !== 'all' && h('label.grow', 'Name', h('input', { required: true, maxlength: 128, value: letter.to, list: 'agents', oninput: set('to') })),
    h('label', 'Importance', h('select', { value: letter.importance, onchange: set('importance') }, Object.entries(MIME).map(([value, text]) => h('option', { value, key: value }, text))))),
  h('datalist', { id: 'agents' }, [...app.store.agents.keys()].slice(0, 200).map((name) => h('option', { value: name, key: name }))),
  h('label', 'Subject', h('input', { maxlength: 200, value: letter.subject, oninput: set('subject') })),
  h('label', 'Text', h('textarea', { required: true, rows: 6, maxlength: 60000, value: letter.body, oninput: set('body') })),
  letter.told && h('p.bad-text', { role: 'alert' }, words(letter.told, 400)),
  h('div.acts', button('Leave it', close, 'plain'), h('button.main', { type: 'submit' }, 'Send'))));
}

export function createToken() {
  const wish = { agent: '', role: 'agent', seats: true, made: null, told: null };
  dialog('A token for an agent', (close, draw) => (wish.made ? made(wish, close) : h('form', { onsubmit: async (event) => {
    event.preventDefault();
    try {
      wish.made = await app.store.call('token.create', { agent: wish.agent.trim(), role: wish.role, seats: wish.seats, projects: [app.store.status.project.project] });
    } catch (error) {
      wish.told = error.message;
    }
    draw();
  } },
  h('label', 'Name of the agent', h('input', { required: true, maxlength: 64, pattern: '[A-Za-z0-9_][A-Za-z0-9_.\\-]*', title: 'letters, digits and -_.', value: wish.agent, oninput: (event) => { wish.agent = event.target.value; } })),
  h('label', 'It may', h('select', { value: wish.role, onchange: (event) => { wish.role = event.target.value; } }, h('option', { value: 'agent' }, 'work'), h('option', { value: 'observer' }, 'only look'))),
  h('label.check', h('input', { type: 'checkbox', checked: wish.seats, onchange: (event) => { wish.seats = event.target.checked; } }), 'Several sessions of it may work side by side, each with a seat'),
  wish.told && h('p.bad-text', { role: 'alert' }, words(wish.told, 300)),
  h('div.acts', button('Leave it', close, 'plain'), h('button.main', { type: 'submit' }, 'Make the token')))));
}

function made(wish, close) {
  const { agent, secret } = wish.made;
  const { certificate } = app.store.me;
  const file = `~/.config/coord/${agent}.token`;
  const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`;
  const flags = [`--url ${url}`, certificate && `--tls-fingerprint ${certificate}`, `--project ${app.store.status.project.project}`, `--token-file ${file}`].filter(Boolean).join(' ');
  const looks = wish.role === 'observer';
  return [
    h('p', h('strong', 'The token is shown only now.'), ' No command below contains it, so no history of a shell keeps it.'),
    h('pre.text.token', { tabindex: '0' }, secret),
    h('p', '1. As the user of the agent: run this, paste the token, press Enter and then Ctrl-D.'),
    h('pre.text', { tabindex: '0' }, `(umask 077; set -C; mkdir -p ~/.config/coord; cat > ${file})`),
    h('p', looks ? '2. Then look on:' : '2. In the repository where it works:'),
    h('pre.text', { tabindex: '0' }, `coord ${flags} ${looks ? 'top' : 'setup'}`),
    /^(localhost|127\..*|\[::1\])$/.test(location.hostname) && h('p.quiet.small', 'On another machine give the address by which that one reaches the coordinator.'),
    h('div.acts', button('Copy the token', async () => {
      try {
        await navigator.clipboard.writeText(secret);
        app.say('Copied.');
      } catch {
        app.say('The browser does not let the page copy: select it by hand.', true);
      }
    }), button('I have it', close, 'main')),
  ].filter(Boolean);
}

