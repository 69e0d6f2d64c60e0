'use strict';
// Draws the page from a stream of news. What is told of is changed, and nothing else: each node has its own
// element for as long as it lives.

const $ = (id) => document.getElementById(id);
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const flashLimit = 150;      // of more changes at once nobody sees which they were
const logLimit = 500;
const views = new Map();     // node id -> its elements
let mayWrite = false;
let server = {};
let connected = false, everConnected = false;
let isStale = false, isComplete = true;

function el(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function setText(e, text) { if (e.textContent !== text) e.textContent = text; }

function flash(e, colour) {
  if (!calm.matches) e.animate([{ backgroundColor: `color-mix(in srgb, var(${colour}) 45%, transparent)` }, {}], { duration: 900, easing: 'ease-out' });
}

function shortNumber(x) { return typeof x === 'number' ? String(Number(x.toPrecision(6))) : String(x); }
function shown(value) { return Array.isArray(value) ? value.map(shortNumber).join(', ') : shortNumber(value); }
function mapped(value) { return (Array.isArray(value) ? value : [value]).some((v) => typeof v === 'string' && /^[ac]\d+$/.test(v)); }
function busName(value) { return String(shown(value)).replace(/\bc(\d+)/g, 'bus c$1').replace(/\ba(\d+)/g, 'bus a$1'); }

// ---- what the page may ask for

let toastTimer = 0;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, 6000);
}

async function act(action, params) {
  try {
    const answer = await fetch(action, { method: 'POST', body: new URLSearchParams(params) });
    if (!answer.ok) {
      const text = await answer.text();
      let said = text;
      try { said = JSON.parse(text).error || text; } catch (_) { /* plain text */ }
      toast(said);
    }
  } catch (_) {
    toast('The inspector does not answer.');
  }
}

// ---- nodes

function chip(view, control, value) {
  const c = el(mayWrite ? 'button' : 'span', 'chip');
  if (mayWrite) c.type = 'button';
  c.dataset.control = control;
  c.append(control, el('span', 'v'));
  if (mayWrite) c.addEventListener('click', () => edit(view, c));
  updateChip(c, value);
  return c;
}

function updateChip(c, value) {
  c.dataset.value = JSON.stringify(value);
  c.classList.toggle('bus', mapped(value));
  c.title = mapped(value) ? `${c.dataset.control} is mapped to ${busName(value)}` : '';
  setText(c.querySelector('.v'), shown(value));
}

// A control that is being edited keeps its field while its value changes beneath.
function edit(view, c) {
  if (view.editing) return;
  view.editing = true;
  const value = JSON.parse(c.dataset.value);
  const field = el('input');
  field.value = mapped(value) ? '' : (Array.isArray(value) ? value.join(', ') : value);
  field.setAttribute('aria-label', c.dataset.control);
  field.inputMode = 'text';
  const box = el('span', 'chip', c.dataset.control);
  box.append(field);
  c.hidden = true;
  c.after(box);
  field.focus();
  field.select();
  let over = false;
  const end = (send) => {
    if (over) return;
    over = true;
    view.editing = false;
    const text = field.value.trim();
    box.remove();
    c.hidden = false;
    if (send && text) act('set', { id: view.id, control: c.dataset.control, value: text });
  };
  field.addEventListener('keydown', (e) => { if (e.key === 'Enter') end(true); if (e.key === 'Escape') end(false); e.stopPropagation(); });
  field.addEventListener('blur', () => end(false));
}

function fold(view, folded) {
  view.li.classList.toggle('folded', folded);
  view.fold.setAttribute('aria-expanded', String(!folded));
  view.note.hidden = !folded;
}

function button(text, className, f) {
  const b = el('button', className, text);
  b.type = 'button';
  b.addEventListener('click', f);
  return b;
}

function makeView(node) {
  const li = el('li', node.kind);
  li.dataset.id = node.id;
  const row = el('div', 'row');
  const view = { id: node.id, kind: node.kind, li, row, chips: new Map() };
  if (node.kind === 'group') {
    view.fold = button('', 'fold', () => fold(view, !li.classList.contains('folded')));
    view.fold.title = 'fold or unfold';
    view.fold.setAttribute('aria-label', 'fold or unfold');
    view.fold.setAttribute('aria-expanded', 'true');
    row.append(view.fold);
  }
  view.name = el('span', 'name');
  view.idText = el('span', 'id', node.id);
  view.key = el('span', 'key');
  view.parallel = el('span', 'tag', 'parallel');
  view.paused = el('span', 'tag', 'paused');
  row.append(view.idText, view.name, view.key, view.parallel, view.paused);
  if (node.kind === 'group') {
    view.note = el('span', 'note');
    view.note.hidden = true;
    row.append(view.note);
    view.list = el('ul');
  } else {
    view.controls = el('span', 'controls');
    row.append(view.controls);
  }
  if (mayWrite && node.id > 0) {
    view.run = button('pause', '', () => act(view.isPaused ? 'resume' : 'pause', { id: view.id }));
    const acts = el('span', 'acts');
    acts.append(view.run, button('free', 'free', () => act('free', { id: view.id })));
    row.append(acts);
  }
  li.append(row);
  if (view.list) li.append(view.list);
  views.set(node.id, view);
  return view;
}

function updateControls(view, controls, loud) {
  const seen = new Set();
  for (const [name, value] of controls) {
    const control = String(name);
    seen.add(control);
    const c = view.chips.get(control);
    if (!c) {
      const made = chip(view, control, value);
      view.chips.set(control, made);
      view.controls.append(made);
    } else if (c.dataset.value !== JSON.stringify(value)) {
      updateChip(c, value);
      if (loud) flash(c, '--accent');
    }
  }
  for (const [control, c] of view.chips) if (!seen.has(control)) { c.remove(); view.chips.delete(control); }
}

function updateView(view, node, loud) {
  const key = node.key || '';
  setText(view.name, node.kind === 'group' ? 'group' : (node.def || '?'));
  setText(view.key, key);
  view.key.hidden = !key;
  view.parallel.hidden = !node.parallel;
  view.paused.hidden = !node.paused;
  view.li.classList.toggle('paused', Boolean(node.paused));
  view.isPaused = Boolean(node.paused);
  if (view.run) setText(view.run, node.paused ? 'resume' : 'pause');
  if (node.kind === 'group') {
    setText(view.note, `… ${node.children.length}`);
    view.children = node.children;
  } else {
    updateControls(view, node.controls || [], loud);
  }
}

// Puts the elements of a group's children in their order, and moves few of them.
function order(view) {
  let place = view.list.firstElementChild;
  for (const id of view.children) {
    const child = views.get(id);
    if (!child) continue;
    if (place && place !== child.li && place.nextElementSibling === child.li) {
      const later = place;
      place = child.li;
      view.list.append(later);
    }
    if (place === child.li) place = place.nextElementSibling;
    else view.list.insertBefore(child.li, place);
  }
}

function removeView(id) {
  const view = views.get(id);
  if (view) { view.li.remove(); views.delete(id); }
}

function updateNodes({ changed, gone }, anew) {
  const told = new Set(changed.map((n) => n.id));
  const loud = !anew && changed.length <= flashLimit;
  if (anew) gone = [...views.keys()].filter((id) => !told.has(id));
  // What moved out of a group that has gone is put elsewhere below.
  gone.forEach(removeView);
  for (const node of changed) {
    let view = views.get(node.id);
    if (view && view.kind !== node.kind) { removeView(node.id); view = undefined; }
    const made = !view;
    if (made) view = makeView(node);
    const before = made ? '' : view.text;
    view.text = JSON.stringify({ ...node, controls: undefined, children: undefined });
    updateView(view, node, loud);
    if (loud && before !== view.text) flash(view.row, made ? '--accent' : '--warn');
  }
  for (const node of changed) if (node.kind === 'group') order(views.get(node.id));
  const root = views.get(0);
  if (root && root.li.parentNode !== $('tree')) $('tree').append(root.li);
}

// ---- the rest

function percent(x) { return typeof x === 'number' ? `${x.toFixed(1)} %` : '–'; }
function count(x) { return typeof x === 'number' ? String(x) : '–'; }
function scale(e, x) { e.style.transform = `scaleX(${Math.max(0, Math.min(1, x))})`; }

function updateStatus() {
  const status = connected ? (server.status || '…') : 'no connection';
  const online = connected && server.status === 'online';
  setText($('status'), status.toUpperCase());
  $('status').className = `pill ${connected ? server.status : 'cut'}`;
  document.title = `${status.toUpperCase()} · Espalier`;
  const notice = connected ? (['lost', 'restoring'].includes(server.status) && server.lost) : (everConnected && 'The inspector does not answer: it was stopped, or its REPL has ended.');
  $('notice').hidden = !notice;
  setText($('notice'), notice || '');
  document.body.classList.toggle('stale', isStale || !connected);
  setText($('engine'), [server.engine, server.version].filter(Boolean).join(' '));
  setText($('shown'), (server.shown || '').replace(/^#<Server \w+ /, '').replace(/>$/, ''));
  $('shown').title = server.shown || '';
  const of = (x, f) => (online ? f(x) : '–');
  setText($('cpu'), online ? `${percent(server['average-cpu-percent'])} · peak ${percent(server['peak-cpu-percent'])}` : '–');
  scale($('cpu-average'), online ? (server['average-cpu-percent'] || 0) / 100 : 0);
  scale($('cpu-peak'), online ? (server['peak-cpu-percent'] || 0) / 100 : 0);
  setText($('synths'), of(server['synth-count'], count));
  setText($('groups'), of(server['group-count'], count));
  setText($('ugens'), of(server['ugen-count'], count));
  setText($('synthdef-count'), of(server['synthdef-count'], count));
  setText($('late'), count(server['late-count']));
  setText($('rate'), of(server['actual-sample-rate-hz'], (x) => (x ? `${Math.round(x)} Hz` : '–')));
}

function updateTreeNote(stale, complete) {
  $('tree-note').classList.toggle('bad', stale || !complete);
  setText($('tree-note'), stale ? 'as it was seen last' : (complete ? '' : 'incomplete: the server does not tell it all'));
}

function updateDrift(drift) {
  const { roots, edits, error } = drift || { edits: [], error: null };
  $('drift-note').classList.toggle('bad', Boolean(error));
  setText($('drift-note'), !drift ? 'unknown' : error || (roots === 0 ? 'nothing is declared' : (edits.length === 0 ? 'none: it plays as declared' : `what would mend it: ${edits.length}`)));
  $('drift').replaceChildren(...edits.slice(0, 200).map((text) => el('li', '', text)));
}

function updateSynthDefs(defs) {
  setText($('synthdefs-note'), defs.length ? String(defs.length) : 'none known');
  const open = new Set([...$('synthdefs').querySelectorAll('details[open]')].map((d) => d.dataset.name));
  $('synthdefs').replaceChildren(...defs.map(([name, controls]) => {
    const d = el('details');
    d.dataset.name = name;
    d.open = open.has(name);
    d.append(el('summary', '', name));
    const chips = el('div', 'chips');
    if (!controls) chips.append(el('span', 'note', 'controls unknown'));
    else if (controls.length === 0) chips.append(el('span', 'note', 'no controls'));
    else for (const [control, value] of controls) {
      const c = el('span', 'chip', control);
      c.append(el('span', 'v', shown(value)));
      chips.append(c);
    }
    d.append(chips);
    return d;
  }));
}

function clock(at) {
  const t = new Date(at);
  return isNaN(t) ? '' : `${t.toTimeString().slice(0, 8)}.${String(t.getMilliseconds()).padStart(3, '0')}`;
}

function updateLog(lines, anew) {
  const log = $('log');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  if (anew) log.replaceChildren();
  log.append(...lines.map(({ at, kind, level, text }) => {
    const li = el('li', `${kind} ${level}`);
    li.append(el('time', '', clock(at)), el('span', '', text));
    return li;
  }));
  while (log.childElementCount > logLimit) log.firstElementChild.remove();
  if (atEnd || anew) log.scrollTop = log.scrollHeight;
}

function decibels(x) { return x > 0.000001 ? 20 * Math.log10(x) : -120; }

function updateMeters(levels) {
  $('meters-panel').hidden = !levels;
  if (!levels) return;
  const box = $('meters');
  while (box.childElementCount > levels.length) box.lastElementChild.remove();
  levels.forEach(({ peak, rms }, n) => {
    let m = box.children[n];
    if (!m) {
      m = el('div', 'meter');
      const bar = el('span', 'bar');
      bar.append(el('i'), el('b'));
      m.append(el('span', '', n), bar, el('span', 'v'));
      box.append(m);
    }
    const p = decibels(peak), r = decibels(rms);
    scale(m.querySelector('i'), (p + 60) / 60);
    scale(m.querySelector('b'), (r + 60) / 60);
    setText(m.querySelector('.v'), p <= -100 ? '–∞' : `${p.toFixed(1)} / ${r.toFixed(1)}`);
    m.classList.toggle('clips', peak > 1);
  });
}

// ---- the stream

function show(news) {
  if (news.anew) {
    // What may be done is part of each node's elements.
    if (mayWrite !== Boolean(news.write)) { [...views.keys()].forEach(removeView); mayWrite = Boolean(news.write); }
    $('mode').hidden = !mayWrite;
  }
  if (news.server) { server = news.server; }
  if ('stale' in news) isStale = news.stale;
  if ('complete' in news) isComplete = news.complete;
  if ('stale' in news || 'complete' in news) updateTreeNote(isStale, isComplete);
  if (news.nodes) updateNodes(news.nodes, news.anew);
  if ('drift' in news) updateDrift(news.drift);
  if (news.synthdefs) updateSynthDefs(news.synthdefs);
  if (news.log) updateLog(news.log, news.anew);
  if ('meters' in news) updateMeters(news.meters);
  updateStatus();
}

function connect() {
  const stream = new EventSource('events');
  stream.onmessage = (e) => {
    connected = everConnected = true;
    show(JSON.parse(e.data));
  };
  stream.onerror = () => {
    connected = false;
    updateStatus();
    // The browser tries again by itself, unless it was refused.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

$('fold').addEventListener('click', () => { for (const v of views.values()) if (v.list && v.id !== 0) fold(v, true); });
$('unfold').addEventListener('click', () => { for (const v of views.values()) if (v.list) fold(v, false); });
$('drift-now').addEventListener('click', () => act('drift', {}));
connect();
