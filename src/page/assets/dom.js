// A small virtual DOM: views return trees, `patch` changes what differs, so that focus, selection and scrolling stay.
// Text only ever becomes text nodes; no markup is parsed anywhere.

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'path', 'rect', 'line', 'circle', 'g', 'text', 'polyline', 'title']);

/** `h('div.card', {onclick, key}, children…)` */
export function h(tag, props, ...kids) {
  if (props && (typeof props !== 'object' || Array.isArray(props) || props.tag)) {
    kids.unshift(props);
    props = null;
  }
  const [name, ...classes] = tag.split('.');
  props = props ? { ...props } : {};
  if (classes.length) props.class = props.class ? `${classes.join(' ')} ${props.class}` : classes.join(' ');
  const key = props.key;
  delete props.key;
  const list = [];
  gather(kids, list);
  return { tag: name, props, kids: list, key };
}

function gather(kids, list) {
  for (const kid of kids) {
    if (kid === null || kid === undefined || kid === false || kid === true) continue;
    if (Array.isArray(kid)) gather(kid, list);
    else if (typeof kid === 'object') list.push(kid);
    else list.push(String(kid));
  }
}

function create(node) {
  if (typeof node === 'string') return document.createTextNode(node);
  const el = SVG_TAGS.has(node.tag)
    ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  el.vkey = node.key;
  el.vtag = node.tag;
  el.vprops = {};
  update(el, node);
  return el;
}

function update(el, node) {
  const before = el.vprops;
  for (const name in before) if (!(name in node.props)) set(el, name, null);
  // A select takes its value only once its options are there.
  const late = [];
  for (const name in node.props) {
    if (name === 'value') late.push(name);
    else if (before[name] !== node.props[name]) set(el, name, node.props[name]);
  }
  el.vprops = node.props;
  patch(el, node.kids);
  for (const name of late) if (before[name] !== node.props[name]) set(el, name, node.props[name]);
}

function set(el, name, value) {
  if (name.startsWith('on')) el[name] = value;
  else if (name === 'style') for (const key in value) el.style.setProperty(key, value[key]);
  else if (name === 'value') el.value = value ?? '';
  else if (name === 'checked' || name === 'open' || name === 'disabled') el[name] = Boolean(value);
  else if (name === 'ref') { if (value) value(el); }
  else if (value === null || value === undefined || value === false) el.removeAttribute(name);
  else el.setAttribute(name, value === true ? '' : value);
}

/** Makes the children of `parent` what `nodes` says. */
export function patch(parent, nodes) {
  const wanted = new Set();
  for (const node of nodes) if (node.key !== undefined) wanted.add(node.key);
  const keyed = new Map();
  for (let el = parent.firstChild; el; el = el.nextSibling) if (el.vkey !== undefined) keyed.set(el.vkey, el);
  let at = parent.firstChild;
  for (const node of nodes) {
    // What is no longer wanted goes first: moving the rest around it would cost focus and scrolling.
    while (at && at.vkey !== undefined && !wanted.has(at.vkey)) at = drop(at);
    let el = null;
    if (node.key !== undefined) {
      el = keyed.get(node.key);
      if (el && el.vtag !== node.tag) el = null;
      keyed.delete(node.key);
    } else if (at && at.vkey === undefined && (typeof node === 'string' ? at.nodeType === 3 : at.vtag === node.tag)) el = at;
    if (!el) el = create(node);
    else if (typeof node === 'string') {
      if (el.data !== node) el.data = node;
    } else update(el, node);
    if (el === at) at = at.nextSibling;
    else parent.insertBefore(el, at);
  }
  while (at) at = drop(at);
}

function drop(el) {
  const next = el.nextSibling;
  el.remove();
  return next;
}

// --- Texts of agents -------------------------------------------------------------------------------------------

const HIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function shown(char) {
  const code = char.codePointAt(0);
  if (code === 9) return '  ';
  if (code === 27) return '␛';
  if (code < 32) return String.fromCharCode(0x2400 + code);
  return `⟨${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
}

/** Text as it may be shown: control characters and changes of direction become visible signs, length is bounded. */
export function clean(text, max = 200) {
  text = String(text ?? '');
  let cut = text.length > max ? text.slice(0, max) : text;
  if (/[\ud800-\udbff]$/.test(cut)) cut = cut.slice(0, -1);
  cut = cut.replace(HIDDEN, shown);
  return cut.length === text.length || text.length <= max ? cut : `${cut}…`;
}

/** What an agent wrote, isolated from the direction of what is around it. */
export const words = (text, max) => h('bdi', clean(text, max));

/** A longer text: its beginning, and how much there is. */
export function longText(text, max = 4000) {
  text = String(text ?? '');
  const rest = text.length - max;
  return [h('pre.text', { tabindex: '0' }, clean(text, max)), rest > 0 && h('p.quiet', `${max} of ${text.length} characters are shown.`)];
}

export const json = (value) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

const ICONS = {
  now: 'M3 12h4l3-8 4 16 3-8h4',
  stuck: 'M12 3 2 20h20zM12 9v5M12 17v.5',
  tasks: 'M4 5h5v14H4zM11 5h5v9h-5zM18 5h3v5h-3z',
  leases: 'M6 11V8a6 6 0 0 1 12 0v3M5 11h14v9H5z',
  messages: 'M4 5h16v11H9l-5 4z',
  context: 'M4 6h16M4 12h10M4 18h13',
  timeline: 'M3 6h8M7 12h9M13 18h8',
  box: 'M4 4h16v7H4zM4 13h16v7H4zM8 7.5v.1M8 16.5v.1',
  close: 'M6 6l12 12M18 6 6 18',
  done: 'M5 12.5l4.5 4.5L19 7.5',
  key: 'M14 10a4 4 0 1 1-1-2.6L21 7v3h-2v3h-3v-2.5',
};
export const icon = (name) => h('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true', class: 'icon' }, h('path', { d: ICONS[name] }));
