// The box: what the coordinator says about itself, and its metrics as small charts.

import { clean, h, words } from './dom.js';
import { bytes, chip, facts, head, number, plural, span, state } from './parts.js';

const GOOD = new Set(['ready', 'right', 'valid', 'none']);

export function view(app) {
  const { store } = app;
  const { status, samples } = store;
  if (!app.health || performance.now() - app.health.at > 10000) ask(app);
  const health = app.health?.data ?? {};
  const last = samples.at(-1)?.values ?? new Map();
  const get = (name) => last.get(name);
  const behind = (late, text) => h('span', { class: `state ${late ? 'wait' : 'good'}` }, text);
  const [push, mqtt, lag] = [status?.push, status?.mqtt, get('coord_push_lag_seconds')];
  const ok = (value, text = value) => h('span', { class: `state ${GOOD.has(value) ? 'good' : 'bad'}` }, String(text).replaceAll('_', ' '));
  const drift = get('coord_firewall_drift');
  return h('div', { key: 'box' },
    head('Box', h('p.lead', 'What the coordinator says about itself and the machine.')),
    h('h2.hush', 'State'), h('div.cards.wide',
      panel('Coordinator', [
        ['State', ok(status?.status ?? 'unknown')], status?.waiting_for && ['Waits for', words(status.waiting_for, 200)],
        ['Version', `${status?.version}, protocol ${status?.protocol}`], ['Node', words(status?.node)], ['Profile', chip(status?.environment)],
        ['Up for', status && span(status.uptime_ms)], ['Connections', number(status?.connections ?? 0)], ['Port fingerprint', h('code', status?.port_fingerprint ?? '–')],
        ['Clients with other ports', number(health.connections_port_mismatch ?? 0)],
      ]),
      panel('Journal', [
        ['Kind', status?.journal === 'redis' ? 'shared, in Redis' : 'embedded'], ['Position', h('code', status?.project.cursor)], ['Storage', health.storage_full ? h('span.state.bad', 'full: work can be finished, not begun') : h('span.state.good', 'not full')],
        ['Records kept', get('coord_journal_live_bytes') !== undefined && bytes(get('coord_journal_live_bytes'))], ['On disk', get('coord_journal_disk_bytes') !== undefined && bytes(get('coord_journal_disk_bytes'))],
        ['Torn at the last start', get('coord_journal_torn_bytes') !== undefined && bytes(get('coord_journal_torn_bytes'))],
        status?.journal === 'redis' && ['Redis', get('coord_shared_connected') === 0 ? h('span.state.bad', 'not reached') : h('span.state.good', health.durability_warnings ? `${health.durability_warnings} durability warnings, see the log` : 'connected')],
      ]),
      panel('Machine', [
        ['Clock', health.clock && ok(health.clock)], ['Certificate', health.certificate && ok(health.certificate, health.certificate === 'none' ? 'none: plain, on loopback' : health.certificate)],
        ['Firewall', drift === undefined ? (get('coord_firewall_unreadable') ? h('span.state.bad', 'cannot be read') : 'not managed by coord') : drift > 0 ? h('span.state.bad', 'differs from what was applied') : h('span.state.good', 'as applied')],
        ['Memory', get('process_resident_memory_bytes') !== undefined && bytes(get('process_resident_memory_bytes'))],
        push && ['Metrics pushed', h('span', behind(push.state !== 'sending', push.state.replaceAll('_', ' ')), ` ${span((lag ?? push.lag_ms / 1000) * 1000)} behind, ${number(get('coord_push_backlog_records') ?? push.backlog_records)} waiting`)],
        push?.remark && ['Receiver', words(push.remark, 160)],
        mqtt && ['MQTT', h('span', behind(!mqtt.connected, mqtt.connected ? 'connected' : 'not connected'), ` ${plural(get('coord_mqtt_lag_events') ?? 0, 'event')} behind, events: ${clean(mqtt.events, 20)}`)],
        mqtt?.problem && ['Broker', words(mqtt.problem, 160)],
      ]),
      panel('Project', status && [
        ['Name', words(status.project.project)], ['Agents here', `${status.project.agents_present} of ${status.project.agents}`],
        ['Tasks', h('span', state('blocked'), ` ${status.project.tasks_blocked} `, state('ready'), ` ${status.project.tasks_ready} `, state('claimed'), ` ${status.project.tasks_claimed} `, state('dead'), ` ${status.project.tasks_dead}`)],
        ['Leases', number(status.project.leases)], ['Messages unread', number(status.project.messages_waiting)], ['Context entries', number(status.project.context_entries)],
      ])),
    h('section', h('h2', 'Since the page was opened'), samples.length < 2 ? h('p.quiet', 'The first points come within half a minute.')
      : h('div.cards.wide', charts(store).map((chart) => h('article.card.chart', { key: chart.name }, h('header', h('h3', chart.name), h('span.grow'), h('strong', chart.now)), line(chart))))));
}

async function ask(app) {
  app.health = { at: performance.now(), data: app.health?.data };
  try {
    app.health.data = await (await fetch('/readyz', { cache: 'no-store' })).json();
    app.draw();
  } catch { /* The connection's own message says it. */ }
}

const panel = (title, pairs) => h('article.card', { key: title }, h('header', h('h3', title)), pairs && facts(pairs.filter((pair) => pair && pair[1] !== false)));

const total = (values, prefix) => { let all = 0; for (const [name, value] of values) if (name.startsWith(prefix)) all += value; return all; };

/** The bound under which 99 of 100 requests stayed, between two samples. */
function p99(before, after, name) {
  const counts = [];
  for (const [key, value] of after) {
    const found = key.startsWith(`${name}_bucket`) && /le="([^"]+)"/.exec(key);
    if (found) counts.push([found[1] === '+Inf' ? Infinity : Number(found[1]), value - (before.get(key) ?? 0), key]);
  }
  const whole = counts.filter(([, , key]) => !key.includes('class=') || key.includes('class="write"')).sort((a, b) => a[0] - b[0]);
  const all = whole.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const hit = whole.find(([, count]) => count >= all * 0.99)[0];
  return Number.isFinite(hit) ? hit * 1000 : whole.at(-2)[0] * 1000;
}

function charts(store) {
  const { samples } = store;
  const series = (read) => samples.slice(1).map((sample, i) => ({ at: sample.at, y: read(samples[i], sample, Math.max(0.001, (sample.at - samples[i].at) / 1000)) }));
  const rate = (prefix) => series((a, b, seconds) => { const grown = total(b.values, prefix) - total(a.values, prefix); return grown < 0 ? null : grown / seconds; });
  const list = [
    ['Requests a second', rate('coord_requests_total'), 1, ''],
    ['Writes, 99 of 100 within', series((a, b) => p99(a.values, b.values, 'coord_request_seconds')), 1, ' ms'],
    ['Disk sync, 99 of 100 within', series((a, b) => p99(a.values, b.values, 'coord_journal_sync_seconds')), 1, ' ms'],
    ['Events sent a second', rate('coord_events_sent_total'), 1, ''],
    ['Connections', series((a, b) => b.values.get('coord_connections') ?? null), 0, ''],
    ['From this page and back', series((a, b) => b.latency), 1, ' ms'],
  ];
  return list.map(([name, points, digits, unit]) => {
    const last = points.findLast((point) => point.y !== null && point.y !== undefined);
    return { name, points, now: last ? `${number(last.y, digits)}${unit}` : '–', unit };
  });
}

function line({ points, name, unit }) {
  const known = points.filter((point) => point.y !== null && point.y !== undefined);
  if (known.length < 1) return h('p.quiet', 'Nothing yet.');
  const [first, last] = [points[0].at, points.at(-1).at];
  const top = Math.max(...known.map((point) => point.y), 0.001);
  const x = (at) => (last === first ? 300 : ((at - first) / (last - first)) * 300);
  const y = (value) => 58 - (value / top) * 52;
  const text = known.map((point) => `${x(point.at).toFixed(1)},${y(point.y).toFixed(1)}`).join(' ');
  return h('svg.spark', { viewBox: '0 0 300 60', preserveAspectRatio: 'none', role: 'img', 'aria-label': `${name}: at most ${number(top, 1)}${unit}` },
    h('polyline', { class: 'area', points: `${x(known[0].at)},60 ${text} ${x(known.at(-1).at)},60` }), h('polyline', { class: 'stroke', points: text }));
}
