'use strict'
const $ = id => document.getElementById(id)
const data = JSON.parse($('data').textContent), clips = data.clips
const canvas = $('map'), pen = canvas.getContext('2d'), player = $('player')
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]
const CLOSEST = 60, FARTHEST = .7            // of the scale at which all is seen
let view = null, chosen = -1, under = -1, queue = []
let found = null, only = null, picked = null  // what search, legend and lasso leave; null: all
let paint = [], kinds = [], names = []        // of the colouring: style of a clip, kind of a clip, and their names
let inks = {}

// ---- where a clip is on the screen
const at = i => [(clips[i].x - view.x) * view.scale + view.w / 2, (clips[i].y - view.y) * view.scale + view.h / 2]
const isLit = i => (!found || found.has(i)) && (!only || only.has(kinds[i])) && (!picked || picked.has(i))
const lit = () => clips.map((_, i) => i).filter(isLit)
const [X0, X1, Y0, Y1] = bounds()

function bounds() {
  const xs = clips.map(c => c.x), ys = clips.map(c => c.y), least = (a, b) => Math.min(a, b), most = (a, b) => Math.max(a, b)
  return [xs.reduce(least), xs.reduce(most), ys.reduce(least), ys.reduce(most)]
}

function whole() { return .9 * Math.min(view.w / (X1 - X0 || 1), view.h / (Y1 - Y0 || 1)) }
function fit() {
  view = { x: (X0 + X1) / 2, y: (Y0 + Y1) / 2, w: canvas.clientWidth, h: canvas.clientHeight }
  view.scale = whole()
}
function bound() {
  view.scale = Math.max(FARTHEST * whole(), Math.min(CLOSEST * whole(), view.scale))
  view.x = Math.max(X0, Math.min(X1, view.x))
  view.y = Math.max(Y0, Math.min(Y1, view.y))
}
function resize() {
  const dots = window.devicePixelRatio || 1
  canvas.width = canvas.clientWidth * dots
  canvas.height = canvas.clientHeight * dots
  if (view) { view.w = canvas.clientWidth; view.h = canvas.clientHeight; bound() } else fit()
  draw()
}
function zoom(factor, x = view.w / 2, y = view.h / 2) {
  const px = view.x + (x - view.w / 2) / view.scale, py = view.y + (y - view.h / 2) / view.scale
  view.scale = Math.max(FARTHEST * whole(), Math.min(CLOSEST * whole(), view.scale * factor))
  view.x = px - (x - view.w / 2) / view.scale
  view.y = py - (y - view.h / 2) / view.scale
  bound()
  soon()
}

// ---- drawing
function shape(kind, x, y, r) {
  pen.beginPath()
  if (kind % 4 === 0) pen.arc(x, y, r, 0, 7)
  else if (kind % 4 === 1) pen.rect(x - r, y - r, 2 * r, 2 * r)
  else if (kind % 4 === 2) { pen.moveTo(x, y - 1.3 * r); pen.lineTo(x + 1.2 * r, y + r); pen.lineTo(x - 1.2 * r, y + r); pen.closePath() }
  else { pen.moveTo(x, y - 1.4 * r); pen.lineTo(x + 1.4 * r, y); pen.lineTo(x, y + 1.4 * r); pen.lineTo(x - 1.4 * r, y); pen.closePath() }
}
const tone = color => color === '#000000' ? inks.ink : color
function draw() {
  const start = performance.now(), dots = window.devicePixelRatio || 1
  pen.setTransform(dots, 0, 0, dots, 0, 0)
  pen.clearRect(0, 0, view.w, view.h)
  const r = Math.max(3, Math.min(8, 5 * Math.sqrt(view.scale * data.spacing / 12)))
  pen.globalAlpha = .68
  for (const pass of [false, true]) for (let i = 0; i < clips.length; i++) {
    if (isLit(i) !== pass) continue
    const [x, y] = at(i)
    if (x < -12 || y < -12 || x > view.w + 12 || y > view.h + 12) continue
    pen.fillStyle = pass ? tone(paint[i].color) : inks.dim
    shape(paint[i].shape, x, y, r)
    pen.fill()
  }
  pen.globalAlpha = 1
  for (const [i, color, width] of [[under, inks.faint, 1.5], [chosen, inks.ink, 2.5]]) if (i >= 0) {
    const [x, y] = at(i)
    pen.strokeStyle = color
    pen.lineWidth = width
    pen.beginPath()
    pen.arc(x, y, r + 4, 0, 7)
    pen.stroke()
  }
  label()
  if (loop.length) {
    pen.strokeStyle = inks.press
    pen.lineWidth = 2
    pen.setLineDash([5, 4])
    pen.beginPath()
    loop.forEach(([x, y], k) => k ? pen.lineTo(x, y) : pen.moveTo(x, y))
    pen.stroke()
    pen.setLineDash([])
  }
  return performance.now() - start
}
let waiting = false
function soon() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw() }) } }

// the name of each kind in the middle of its clips, the largest kinds first; none covers another
let middles = []
function middle(members) {                      // the one to which the others are nearest
  const some = members.filter((_, i) => i % Math.ceil(members.length / 300) === 0)
  const far = c => some.reduce((sum, d) => sum + Math.hypot(c.x - d.x, c.y - d.y), 0)
  return some.map(c => [far(c), c]).reduce((a, b) => b[0] < a[0] ? b : a)[1]
}
function findMiddles() {
  middles = names.map((name, k) => ({ name: String(name).slice(0, 28), kind: k, members: clips.filter((_, i) => kinds[i] === k) }))
    .filter(m => m.members.length).sort((a, b) => b.members.length - a.members.length)
  for (const m of middles) { const c = middle(m.members); m.x = c.x; m.y = c.y }
}
function label() {
  const taken = []
  pen.font = '600 13px system-ui, sans-serif'
  pen.textAlign = 'center'
  pen.textBaseline = 'middle'
  pen.lineJoin = 'round'
  pen.lineWidth = 4
  pen.strokeStyle = inks.paper
  pen.fillStyle = inks.ink
  for (const m of middles) {
    if (only && !only.has(m.kind)) continue
    const x = (m.x - view.x) * view.scale + view.w / 2, y = (m.y - view.y) * view.scale + view.h / 2, w = pen.measureText(m.name).width / 2 + 3
    if (x < w || x > view.w - w || y < 10 || y > view.h - 10) continue
    const spot = [0, -18, 18, -36, 36].map(d => [x - w, y + d - 9, x + w, y + d + 9]).find(a => !taken.some(b => a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1]))
    if (!spot) continue
    taken.push(spot)
    pen.strokeText(m.name, x, spot[1] + 9)
    pen.fillText(m.name, x, spot[1] + 9)
  }
}

// ---- colours
function ramp(t) {
  const k = Math.min(3, Math.floor(4 * t)), f = 4 * t - k
  return 'rgb(' + RAMP[k].map((a, c) => Math.round(a + f * (RAMP[k + 1][c] - a))).join() + ')'
}
function swatch(p) {
  const ns = 'http://www.w3.org/2000/svg', svg = document.createElementNS(ns, 'svg'), path = document.createElementNS(ns, 'path')
  path.setAttribute('d', ['M6 1a5 5 0 1 0 .01 0z', 'M1 1h10v10H1z', 'M6 0 12 11H0z', 'M6 0 12 6 6 12 0 6z'][p.shape % 4])
  svg.setAttribute('width', 12)
  svg.setAttribute('height', 12)
  svg.setAttribute('fill', tone(p.color))
  svg.append(path)
  return svg
}
function word(text, tag = 'span') { const e = document.createElement(tag); e.textContent = text; return e }
function press(kind, more) {
  const all = names.map((_, k) => k)
  if (more) {
    only = new Set(only || all)
    if (!only.delete(kind)) only.add(kind)
  } else only = only && only.size === 1 && only.has(kind) ? null : new Set([kind])
  if (only && (!only.size || only.size === all.length)) only = null
  show()
}
function colour(by) {
  const values = clips.map(c => c.facts[by] ?? null), known = values.filter(v => v !== null)
  only = null
  if (known.length && known.every(v => typeof v === 'number') && new Set(known).size > 12) {
    const low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b)), bar = word('')
    kinds = values.map(() => -1)
    names = []
    paint = values.map(v => ({ color: v === null ? '#999999' : ramp((v / 2 - low / 2) / (high / 2 - low / 2)), shape: 0 }))
    bar.className = 'ramp'
    bar.style.background = 'linear-gradient(90deg,' + [0, .25, .5, .75, 1].map(ramp).join() + ')'
    $('legend').replaceChildren(word(+low.toPrecision(3)), bar, word(+high.toPrecision(3)))
  } else {
    names = [...new Set(known)].sort((a, b) => typeof a === 'number' ? a - b : String(a).localeCompare(b))
    const number = new Map(names.map((v, k) => [v, k])), style = k => ({ color: data.colors[k % 8], shape: Math.floor(k / 8) })
    kinds = values.map(v => v === null ? -1 : number.get(v))
    paint = kinds.map(k => k < 0 ? { color: '#999999', shape: 0 } : style(k))
    const rows = names.slice(0, 32).map((v, k) => {
      const button = document.createElement('button')
      button.append(swatch(style(k)), word(v))
      button.onclick = e => press(k, e.shiftKey || e.ctrlKey || e.metaKey)
      return button
    })
    if (names.length > 32) rows.push(word('and ' + (names.length - 32) + ' more'))
    $('legend').replaceChildren(...rows)
  }
  findMiddles()
  show()
}
function show() {
  document.querySelectorAll('#legend button').forEach((b, k) => b.setAttribute('aria-pressed', !only || only.has(k)))
  const n = lit().length
  $('count').textContent = (n < clips.length ? n + ' of ' : '') + clips.length + ' clips'
  soon()
}
function tones() {
  const style = getComputedStyle(document.documentElement)
  for (const name of ['ink', 'paper', 'faint', 'dim', 'press']) inks[name] = style.getPropertyValue('--' + name).trim()
}

// ---- choosing and playing
const KIND = ['original', 'reconstruction']
function title(i) { return clips[i].track + ', ' + clips[i].start + ' s' }
function play(i, copy, from = 0) {
  player.src = 'data:' + data.kind + ';base64,' + (copy ? clips[i].copy : clips[i].sound)
  player.dataset.clip = i
  player.dataset.kind = KIND[+copy]
  if (from) player.onloadedmetadata = () => { player.currentTime = from; player.onloadedmetadata = null }
  else player.onloadedmetadata = null
  player.play().catch(e => { if (e.name === 'NotSupportedError') $('mute').hidden = false })
  buttons()
}
function buttons() {
  const here = +player.dataset.clip === chosen && !player.paused
  $('original').setAttribute('aria-pressed', here && player.dataset.kind === KIND[0])
  $('copy').setAttribute('aria-pressed', here && player.dataset.kind === KIND[1])
}
function turn(copy) {              // from the original to the reconstruction and back, at the same position
  const same = +player.dataset.clip === chosen && !player.paused
  if (same && player.dataset.kind === KIND[+copy]) player.pause()
  else play(chosen, copy, same ? player.currentTime : 0)
}
player.onplay = player.onpause = buttons
player.onended = () => { buttons(); if (queue.length) step() }
function step() {
  const i = queue.shift()
  choose(i)
  play(i, false)
}
function stop() { queue = []; player.pause() }
function choose(i) {
  chosen = i
  $('chosen').hidden = false
  $('name').textContent = title(i)
  $('facts').replaceChildren(...Object.entries(clips[i].facts).filter(([, v]) => v !== null).map(([k, v]) => {
    const row = document.createElement('tr')
    row.append(word(k, 'th'), word(typeof v === 'number' ? +v.toPrecision(4) : v, 'td'))
    return row
  }))
  $('picture').src = 'data:image/jpeg;base64,' + clips[i].picture
  $('near').replaceChildren(...clips[i].near.map(j => {
    const item = document.createElement('li'), button = word('▶ ' + title(j), 'button')
    button.onclick = e => { queue = []; choose(j); play(j, e.shiftKey) }
    item.append(button)
    return item
  }))
  const [x, y] = at(i)
  if (x < 0 || y < 0 || x > view.w || y > view.h) { view.x = clips[i].x; view.y = clips[i].y }
  buttons()
  soon()
}
$('original').onclick = () => turn(false)
$('copy').onclick = () => turn(true)
$('tour').onclick = () => { if (queue.length) stop(); else { queue = lit(); if (queue.length) step() } }

function nearest(x, y, reach) {
  let best = -1, least = reach * reach
  for (let i = 0; i < clips.length; i++) {
    if (!isLit(i)) continue
    const [a, b] = at(i), d = (a - x) ** 2 + (b - y) ** 2
    if (d < least) { least = d; best = i }
  }
  return best
}
let dwell = 0
function hover(i, x, y) {
  if (i !== under) {
    under = i
    soon()
    clearTimeout(dwell)
    if (i >= 0 && $('listen').checked) dwell = setTimeout(() => { queue = []; play(i, false) }, 90)
  }
  $('tip').hidden = i < 0
  if (i < 0) return
  if ($('tip').dataset.clip !== String(i)) {
    const picture = new Image()
    picture.alt = ''
    picture.src = 'data:image/jpeg;base64,' + clips[i].picture
    $('tip').replaceChildren(picture, word(title(i)))
    $('tip').dataset.clip = i
  }
  const wide = $('tip').offsetWidth, high = $('tip').offsetHeight
  $('tip').style.left = Math.max(0, Math.min(x + 14, view.w - wide)) + 'px'
  $('tip').style.top = Math.max(0, y + 14 + high > view.h ? y - high - 14 : y + 14) + 'px'
}

// ---- lasso: the clips inside a line that is drawn
let loop = []
const isDrawing = () => $('lasso').getAttribute('aria-pressed') === 'true'
function lasso(on) { $('lasso').setAttribute('aria-pressed', on); loop = []; soon() }
function isInside(x, y) {
  let inside = false
  for (let a = 0, b = loop.length - 1; a < loop.length; b = a++) {
    const [x1, y1] = loop[a], [x2, y2] = loop[b]
    if (y1 > y !== y2 > y && x < (x2 - x1) * (y - y1) / (y2 - y1) + x1) inside = !inside
  }
  return inside
}
function pick() {
  picked = null
  const inside = new Set(lit().filter(i => isInside(...at(i))))
  picked = inside.size ? inside : null
  lasso(false)
  show()
}
$('lasso').onclick = () => { if (picked) { picked = null; show(); lasso(false) } else lasso(!isDrawing()) }

// ---- files: a playlist with paths below the folder of the music, and a table
function save(name, kind, text) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type: kind }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10000)
}
const oneLine = s => String(s).replace(/[\x00-\x1f\x7f\u2028\u2029]+/g, ' ')
function playlist(rows) {
  const entry = i => {
    const c = clips[i], track = oneLine(c.track)
    return ['#EXTINF:' + Math.round(c.secs) + ',' + track, '#EXTVLCOPT:start-time=' + c.start, '#EXTVLCOPT:stop-time=' + (c.start + Math.round(c.secs)), './' + track]
  }
  return ['#EXTM3U', ...rows.flatMap(entry), ''].join('\n')
}
function cell(v) {                       // quoted; what a spreadsheet would take for a formula is made text
  if (typeof v === 'number' || v === null || v === undefined) return v ?? ''
  return '"' + String(v).replace(/^[=+@\t\r-]/, "'$&").replaceAll('"', '""') + '"'
}
function csv(rows) {
  const facts = data.by.filter(by => by in clips[0].facts)
  const lines = rows.map(i => [clips[i].track, clips[i].start, clips[i].x, clips[i].y, ...facts.map(by => clips[i].facts[by])])
  return [['track', 'start_secs', 'x', 'y', ...facts], ...lines].map(line => line.map(cell).join()).join('\r\n') + '\r\n'
}
$('m3u').onclick = () => save('clips.m3u8', 'audio/x-mpegurl', playlist(lit()))
$('csv').onclick = () => save('clips.csv', 'text/csv', csv(lit()))

// ---- mouse and fingers
const fingers = new Map()
let moved = 0
canvas.onpointerdown = e => {
  canvas.setPointerCapture(e.pointerId)
  fingers.set(e.pointerId, [e.offsetX, e.offsetY])
  if (fingers.size === 1) moved = 0
  if (isDrawing()) loop = [[e.offsetX, e.offsetY]]
}
canvas.onpointermove = e => {
  if (!fingers.has(e.pointerId)) return hover(nearest(e.offsetX, e.offsetY, 14), e.offsetX, e.offsetY)
  const old = fingers.get(e.pointerId), [dx, dy] = [e.offsetX - old[0], e.offsetY - old[1]]
  if (isDrawing()) { loop.push([e.offsetX, e.offsetY]); soon() }
  else if (fingers.size === 2) {
    const other = [...fingers].find(([id]) => id !== e.pointerId)[1], span = p => Math.hypot(p[0] - other[0], p[1] - other[1])
    zoom(span([e.offsetX, e.offsetY]) / (span(old) || 1), other[0], other[1])
    moved += 99
  } else {
    view.x -= dx / view.scale
    view.y -= dy / view.scale
    bound()
    moved += Math.abs(dx) + Math.abs(dy)
    if (moved > 5) hover(-1)
    soon()
  }
  fingers.set(e.pointerId, [e.offsetX, e.offsetY])
}
canvas.onpointerup = e => {
  const single = fingers.size === 1
  fingers.delete(e.pointerId)
  if (isDrawing()) return loop.length > 2 ? pick() : lasso(false)
  if (!single || moved > 5) return
  const i = nearest(e.offsetX, e.offsetY, e.pointerType === 'touch' ? 28 : 14)
  if (i >= 0) { queue = []; choose(i); play(i, e.shiftKey) }
}
canvas.onpointercancel = e => { fingers.delete(e.pointerId); lasso(false) }
canvas.onpointerleave = () => hover(-1)
canvas.addEventListener('wheel', e => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY) }, { passive: false })
$('in').onclick = () => zoom(1.5)
$('out').onclick = () => zoom(1 / 1.5)
$('reset').onclick = () => { fit(); found = only = picked = null; $('search').value = ''; stop(); lasso(false); show() }

// ---- keys
canvas.onkeydown = e => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key]
  if (way) {
    if (chosen < 0) choose(Math.max(0, nearest(view.w / 2, view.h / 2, 1e9)))
    else {
      let best = -1, least = Infinity
      for (let i = 0; i < clips.length; i++) {
        if (i === chosen || !isLit(i)) continue
        const dx = clips[i].x - clips[chosen].x, dy = clips[i].y - clips[chosen].y, ahead = dx * way[0] + dy * way[1], aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0])
        if (ahead > 0 && aside <= 3 * ahead && ahead + 2 * aside < least) { least = ahead + 2 * aside; best = i }
      }
      if (best >= 0) choose(best)
    }
  } else if (e.key === 'Enter' && chosen >= 0) play(chosen, e.shiftKey)
  else if (e.key === '+' || e.key === '=') zoom(1.3)
  else if (e.key === '-') zoom(1 / 1.3)
  else if (e.key === '0') { fit(); soon() }
  else if (e.key === 'l' || e.key === 'L') lasso(!isDrawing())
  else if (e.key === 'Escape') { stop(); only = picked = null; lasso(false); show() }
  else return
  e.preventDefault()
}

// ---- search
$('search').oninput = () => {
  const words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean)
  found = words.length ? new Set(clips.flatMap((c, i) => words.every(w => c.words.includes(w)) ? [i] : [])) : null
  show()
}
$('search').onkeydown = e => {
  if (e.key === 'Escape') { $('search').value = ''; $('search').oninput() }
  else if (e.key === 'Enter' && lit().length) { const i = lit()[0]; choose(i); play(i, e.shiftKey) }
}

for (const c of clips) c.words = (c.track + ' ' + Object.values(c.facts).join(' ')).toLowerCase()
for (const by of data.by) $('by').add(new Option(by, by))
$('by').onchange = () => colour($('by').value)
$('mute').hidden = player.canPlayType(data.kind + '; codecs=opus') !== ''
matchMedia('(prefers-color-scheme: dark)').onchange = () => { tones(); colour($('by').value) }
tones()
fit()
colour(data.by[0])
new ResizeObserver(resize).observe(canvas)
