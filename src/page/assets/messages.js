// Messages: the reader's own mail as threads, everybody's mailboxes, and who wrote to whom. Mail of others is theirs.

import { h, json, longText, words } from './dom.js';
import { agentLink, button, capped, chip, command, empty, head, number, plural, when } from './parts.js';
import { ackMessages, sendMessage } from './actions.js';

export function view(app) {
  const { store } = app;
  const boxes = [...store.agents.values()].filter((agent) => agent.mailbox).sort((a, b) => b.mailbox - a.mailbox);
  const sent = store.log.filter((entry) => entry.kind === 'message.sent');
  return h('div', { key: 'messages' },
    head('Messages', store.acts ? button('Write a message', () => sendMessage(), 'main') : h('p.lead', 'You look on: mail has its readers, so here is who wrote to whom.')),
    store.acts && h('section', h('h2', 'For you', h('span.count', number(store.inbox.length))), threads(app)),
    h('section', h('h2', 'Unread, by mailbox'), boxes.length === 0 ? h('p.calm', 'Every message was read.')
      : h('ul.tree', capped(app, 'boxes', boxes, 60, (agent) => h('li', { key: agent.name }, h('span.grow', agentLink(agent.name), agent.name === store.me.agent ? [' ', chip('you')] : agent.presence === 'gone' && [' ', chip('not here')]), h('strong', plural(agent.mailbox, 'message')))))),
    h('section', h('h2', 'Lately'), sent.length === 0 ? empty('No messages lately.', 'Agents write with ', command('coord message send --to bob "…"'))
      : h('ol.log', capped(app, 'sent', sent.slice().reverse(), 60, (entry) => h('li', { key: `s${entry.message}` }, when(store, entry.at),
        h('span', agentLink(entry.agent), ' → ', entry.topic ? chip(`topic ${entry.topic}`) : (entry.to ?? []).slice(0, 4).map((name, i) => [i > 0 && ', ', agentLink(name)]), (entry.to ?? []).length > 4 && ` and ${entry.to.length - 4} more`, ' ', h('span.num', `#${entry.message}`)))))));
}

function threads(app) {
  const { store } = app;
  if (store.inbox.length === 0) return h('p.calm', 'No mail for you.');
  const list = new Map();
  for (const message of store.inbox) {
    if (!list.has(message.thread)) list.set(message.thread, []);
    list.get(message.thread).push(message);
  }
  return h('div.stack', capped(app, 'threads', [...list.values()].reverse(), 20, (unread) => thread(app, unread)));
}

function thread(app, unread) {
  const { store } = app;
  const last = unread.at(-1);
  const name = `thread${last.thread}`;
  const answer = app.answers[name];
  if (!answer || answer.last !== last.message) {
    app.answers[name] = { ...answer, last: last.message };
    store.call('message.thread', { message: last.message }).then((result) => { app.answers[name] = { last: last.message, messages: result.messages }; app.draw(); }, () => {});
  }
  const messages = app.answers[name].messages ?? unread;
  const title = messages.find((message) => message.subject)?.subject;
  return h('article.card.thread', { key: last.thread },
    h('header', h('h3', title ? words(title, 200) : ['From ', agentLink(last.from)]), last.importance === 'high' && chip('important', 'bad')),
    messages.slice(-12).map((message) => h('div.said', { key: message.message, class: message.from === store.me.agent ? 'own' : '' },
      h('p.quiet.small', agentLink(message.from), ' ', when(store, message.sent_at_ms)),
      typeof message.body === 'string' && message.body.length < 2000 ? h('p.body', words(message.body, 2000)) : longText(json(message.body)))),
    h('p.acts', button('Answer', () => sendMessage(last.from, title ? `Re: ${title}`.slice(0, 180) : '', last.message)), button('Done with it', () => ackMessages(unread), 'plain')));
}
