'use strict'
let context = null, current = null     // one player sounds at a time
const bytes = uri => Uint8Array.from(atob(uri.slice(uri.indexOf(',') + 1)), c => c.charCodeAt(0)).buffer
function make(tag, text, name) { const e = document.createElement(tag); e.textContent = text; if (name) e.className = name; return e }

// All versions of a row run together and one of them is heard, so that a switch keeps the position.
class Player {
  constructor(figure) {
    this.screen = figure.querySelector('.screen')
    this.versions = [...figure.querySelectorAll('.version')]
    this.audios = this.versions.map(v => v.querySelector('audio'))
    this.now = this.offset = 0
    this.secs = 5
    for (const audio of this.audios) { audio.removeAttribute('controls'); audio.hidden = true }
    this.build(figure)
    this.show(0)
  }
  build(figure) {
    const bar = make('div', '', 'bar'), many = this.versions.length > 1
    this.button = make('button', '▶', 'play')
    this.button.onclick = () => this.toggle()
    this.clock = make('span', '', 'clock')
    bar.append(this.button)
    this.choices = many ? this.versions.map((v, k) => {
      const choice = make('button', v.dataset.name)
      choice.onclick = () => this.choose(k)
      bar.append(choice)
      return choice
    }) : []
    bar.append(this.clock)
    figure.append(bar)
    figure.classList.add('ready')
    this.head = make('i', '', 'head')
    this.screen.append(this.head)
    this.screen.tabIndex = 0
    this.screen.setAttribute('role', 'slider')
    this.screen.setAttribute('aria-label', 'position in ' + figure.dataset.name)
    this.screen.setAttribute('aria-valuemin', 0)
    this.screen.onpointerdown = e => { this.screen.setPointerCapture(e.pointerId); this.drag(e) }
    this.screen.onpointermove = e => { if (e.buttons) this.drag(e) }
    this.screen.onkeydown = e => {
      const step = { ArrowLeft: -.5, ArrowRight: .5 }[e.key]
      if (step) this.seek(this.position() + step)
      else if (e.key === ' ' || e.key === 'Enter') this.toggle()
      else return
      e.preventDefault()
    }
  }
  drag(e) { const box = this.screen.getBoundingClientRect(); this.seek((e.clientX - box.left) / box.width * this.secs) }
  async load() {
    if (this.buffers) return
    context ??= new AudioContext()
    this.buffers = await Promise.all(this.audios.map(a => context.decodeAudioData(bytes(a.src))))
    this.secs = Math.min(...this.buffers.map(b => b.duration))
  }
  async toggle() {
    if (this.sources) return this.pause()
    try { await this.load() } catch { return this.plain() }
    await context.resume()
    if (!this.sources) this.start()
  }
  plain() {                              // what the browser itself can do with the sound
    for (const audio of this.audios) { audio.controls = true; audio.hidden = false }
    this.button.hidden = this.clock.hidden = true
  }
  start() {
    if (current && current !== this) current.pause()
    current = this
    this.gains = this.buffers.map((_, k) => new GainNode(context, { gain: +(k === this.now) }))
    this.sources = this.buffers.map((buffer, k) => {
      const source = new AudioBufferSourceNode(context, { buffer, loop: this.choices.length > 0, loopEnd: this.secs })
      source.connect(this.gains[k]).connect(context.destination)
      source.start(0, this.offset)
      return source
    })
    this.since = context.currentTime - this.offset
    if (!this.choices.length) this.sources[0].onended = () => { if (this.sources) { this.pause(); this.offset = 0; this.mark() } }
    this.button.textContent = '❚❚'
    this.tick()
  }
  position() {
    if (!this.sources) return this.offset
    const t = context.currentTime - this.since
    return this.choices.length ? t % this.secs : Math.min(t, this.secs)
  }
  pause() {
    this.offset = this.position() % this.secs
    for (const source of this.sources || []) { source.onended = null; source.stop() }
    this.sources = null
    this.button.textContent = '▶'
    this.mark()
  }
  seek(t) {
    const plays = !!this.sources
    if (plays) this.pause()
    this.offset = Math.max(0, Math.min(this.secs - .01, t))
    if (plays) this.start()
    this.mark()
  }
  choose(k) {
    this.show(k)
    if (this.sources) this.gains.forEach((g, j) => g.gain.setTargetAtTime(+(j === k), context.currentTime, .008))
    else this.toggle()
  }
  show(k) {
    this.now = k
    this.versions.forEach((v, j) => { v.hidden = j !== k })
    this.choices.forEach((c, j) => c.setAttribute('aria-pressed', j === k))
    this.button.setAttribute('aria-label', 'play or pause ' + this.versions[k].dataset.name)
    this.mark()
  }
  mark() {
    const t = this.position()
    this.head.style.left = 100 * t / this.secs + '%'
    this.clock.textContent = t.toFixed(1) + ' s'
    this.screen.setAttribute('aria-valuemax', this.secs.toFixed(1))
    this.screen.setAttribute('aria-valuenow', t.toFixed(1))
  }
  tick() { if (this.sources) { this.mark(); requestAnimationFrame(() => this.tick()) } }
}

const players = window.AudioContext ? [...document.querySelectorAll('figure.player')].map(figure => new Player(figure)) : []
addEventListener('keydown', e => {
  const k = 'ab'.indexOf(e.key.toLowerCase())
  if (e.key.length === 1 && k >= 0 && current && k < current.choices.length && !e.ctrlKey && !e.metaKey && !e.altKey) current.choose(k)
})

// Folded parts open where a link leads to them, on paper, and all at once.
const parts = [...document.querySelectorAll('details')], all = document.getElementById('all')
function unfold() {
  let id = location.hash.slice(1)
  try { id = decodeURIComponent(id) } catch { return }     // no address of ours
  const there = id && document.getElementById(id)
  if (there && there.closest('details')) { there.closest('details').open = true; there.scrollIntoView() }
}
let folded = []
addEventListener('hashchange', unfold)
addEventListener('beforeprint', () => { folded = parts.filter(p => !p.open); for (const p of parts) p.open = true })
addEventListener('afterprint', () => { for (const p of folded) p.open = false })
all.hidden = false
all.onclick = () => {
  const open = parts.some(p => !p.open)
  for (const p of parts) p.open = open
  all.textContent = open ? 'fold all' : 'open all'
}
unfold()
