// The playground in the page: one instrument that plays on while the sound changes below it.
const FADE = .04                       // seconds of a crossfade
const STOPS = [[0, 0, 4], [40, 17, 89], [101, 26, 128], [159, 46, 127], [216, 69, 108], [246, 110, 92], [254, 178, 122], [252, 253, 191]]
const NAMES = { original: 'original', edited: 'edited', decoded: 'decoded' }
const KEYS = { a: 'original', b: 'edited', c: 'decoded' }

function make(tag, facts = {}, ...parts) {
  const e = document.createElement(tag)
  for (const [name, value] of Object.entries(facts)) {
    if (name in e && name !== 'list') e[name] = value
    else e.setAttribute(name, value)
  }
  if (e.matches('button, input, select, canvas')) e.dataset.lmSuppressShortcuts = true      // keys are not JupyterLab's
  e.append(...parts)
  return e
}

const color = Array.from({ length: 256 }, (_, i) => {
  const at = i / 256 * (STOPS.length - 1), k = Math.floor(at), share = at - k
  return STOPS[k].map((c, j) => c + share * (STOPS[k + 1][j] - c))
})

// Sounds in memory, of which one is heard; every change of sound is a crossfade at the same position.
class Player {
  constructor() { Object.assign(this, { buffers: {}, heard: 'edited', loop: true, voice: null, offset: 0, onend: () => {} }) }
  get buffer() { return this.buffers[this.heard] }
  get secs() { return this.buffer ? this.buffer.duration : 0 }
  get playing() { return this.voice !== null }
  position() {
    if (!this.playing || !this.secs) return Math.min(this.offset, this.secs)
    const at = Math.max(0, this.context.currentTime - this.zero)
    return this.loop ? at % this.secs : Math.min(at, this.secs)
  }
  put(name, samples, rate) {
    const at = this.position()
    this.buffers[name] = new AudioBuffer({ length: Math.max(1, samples.length), sampleRate: rate })
    this.buffers[name].copyToChannel(samples, 0)
    if (name === this.heard) this.move(at)
  }
  hear(name) {
    const at = this.position()
    this.heard = name
    this.move(at)
  }
  move(at) {
    this.offset = this.secs ? at % this.secs : 0
    if (this.playing) this.start()
  }
  start() {
    const { context } = this, now = context.currentTime, at = now + .005
    const gain = new GainNode(context, { gain: 0 }), loopEnd = this.secs
    const source = new AudioBufferSourceNode(context, { buffer: this.buffer, loop: this.loop, loopEnd })
    source.connect(gain).connect(this.out)
    gain.gain.setValueAtTime(0, at)
    gain.gain.linearRampToValueAtTime(1, at + FADE)
    source.start(at, this.offset)
    this.stop(this.voice)
    this.voice = { source, gain, at }
    this.zero = at - this.offset
    source.onended = () => { if (this.voice && this.voice.source === source) { this.voice = null; this.offset = 0; this.onend() } }
  }
  stop(voice) {
    if (!voice) return
    const now = this.context.currentTime, level = Math.min(1, Math.max(0, (now - voice.at) / FADE))
    voice.gain.gain.cancelScheduledValues(now)
    voice.gain.gain.setValueAtTime(level, now)
    voice.gain.gain.linearRampToValueAtTime(0, now + FADE)
    voice.source.onended = null
    voice.source.stop(now + FADE)
  }
  async play() {
    if (!this.context) {
      this.context = new AudioContext()
      this.out = new GainNode(this.context)
      this.out.connect(this.context.destination)
    }
    await this.context.resume()
    if (!this.playing && this.buffer) this.start()
  }
  pause() {
    this.offset = this.position()
    const { voice } = this
    this.voice = null
    this.stop(voice)
  }
  setLoop(loop) {
    const at = this.position()
    this.loop = loop
    if (this.playing) { this.voice.source.loop = loop; this.zero = this.context.currentTime - at }
  }
}

function samplesOf(data) {             // little-endian 16-bit samples, as a kernel sends them
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return Float32Array.from({ length: data.byteLength >> 1 }, (_, i) => view.getInt16(2 * i, true) / 32767)
}

function wavFile(data, rate) {
  const head = new DataView(new ArrayBuffer(44)), word = (at, text) => [...text].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)))
  word(0, 'RIFF'); head.setUint32(4, 36 + data.byteLength, true); word(8, 'WAVEfmt ')
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true)
  head.setUint32(24, rate, true); head.setUint32(28, 2 * rate, true); head.setUint16(32, 2, true); head.setUint16(34, 16, true)
  word(36, 'data'); head.setUint32(40, data.byteLength, true)
  return new Blob([head, data], { type: 'audio/wav' })
}

class Instrument {
  constructor(model, el) {
    Object.assign(this, { model, el, player: new Player(), sent: new Map(), inputs: {}, pending: new Map(), took: [] })
    this.root = make('div', { className: 'celae-play', tabIndex: 0, 'data-lm-suppress-shortcuts': 'true' })
    this.root.celae = this
    this.build()
    el.append(this.root)
    this.watch({ 'change:clips': () => this.offer(), 'change:state': () => this.show(), 'change:message': () => this.say(), 'change:answered': () => this.answer() })
    for (const name in NAMES) this.watch({ [`change:${name}`]: () => this.take(name) })
    for (const name in NAMES) this.take(name)
    this.player.onend = () => this.buttons()
    this.root.addEventListener('keydown', e => this.key(e))
    this.offer(); this.show(); this.say(); this.buttons(); this.listen('edited')
    this.frame = requestAnimationFrame(() => this.tick())
  }
  watch(events) { for (const [name, f] of Object.entries(events)) { this.model.on(name, f); (this.watched ??= []).push([name, f]) } }
  close() {
    this.player.pause()
    if (this.player.context) setTimeout(() => this.player.context.close(), 1000 * FADE + 50)
    cancelAnimationFrame(this.frame)
    for (const [name, f] of this.watched) this.model.off(name, f)
  }

  // What there is to press
  build() {
    this.screen = make('canvas', { width: 600, height: 128, tabIndex: 0, role: 'slider', 'aria-label': 'position', 'aria-valuemin': 0 })
    this.head = make('i', { className: 'head' })
    this.button = (text, help, press, facts) => make('button', { type: 'button', textContent: text, title: help, onclick: press, ...facts })
    this.playing = this.button('▶ play', 'play or pause (space)', () => this.toggle(), { className: 'main' })
    this.choices = Object.entries(NAMES).map(([name, words]) => {
      const key = Object.keys(KEYS).find(k => KEYS[k] === name)
      return this.button(`${key.toUpperCase()} ${words}`, `hear the ${words} sound at the same position (key ${key})`, () => this.listen(name), { 'data-name': name })
    })
    this.looping = this.button('loop', 'play again and again (key l)', () => this.loop(), { 'aria-pressed': true })
    this.clock = make('span', { className: 'clock' })
    this.busy = make('span', { className: 'busy', role: 'status' })
    this.message = make('p', { className: 'message', role: 'status' })
    const swap = make('span', { className: 'swap', role: 'group', 'aria-label': 'what is heard' }, ...this.choices)
    const file = make('input', { type: 'file', accept: 'audio/*,.flac,.ogg,.opus,.m4a,.mp3,.wav', hidden: true, onchange: () => this.upload(file) })
    const actions = [
      this.button('reset', 'all sliders back to no change (key r)', () => this.set(this.defaults())),
      this.button('download', 'keep what is heard as a WAV file', () => this.download()),
      this.button('save', this.model.get('words').save, () => this.ask('save'))]
    this.root.append(
      make('div', { className: 'screen' }, this.screen, this.head),
      make('div', { className: 'bar' }, this.playing, this.looping, this.clock, swap, this.busy, make('span', { className: 'gap' }), ...actions),
      this.message,
      make('div', { className: 'groups' }, ...this.groups(file)))
    this.screen.onpointerdown = e => { this.screen.setPointerCapture(e.pointerId); this.seek(e) }
    this.screen.onpointermove = e => { if (e.buttons) this.seek(e) }
  }
  groups(file) {
    const upload = this.button('your own file', this.model.get('words').upload, () => file.click())
    const extra = { music: [upload, file], 'new music': [this.button('make a new clip', 'let the prior make music; it becomes the clip', () => this.ask('make'))] }
    const presets = Object.entries(this.model.get('presets')).map(([name, state]) =>
      this.button(name, `sliders: ${Object.entries(state).map(([k, v]) => `${k} ${v}`).join(', ')}`, () => this.set({ ...this.defaults(), ...state })))
    const names = [...new Set(this.model.get('controls').map(c => c.group))]
    const made = names.map(name => make('fieldset', { 'data-group': name }, make('legend', { textContent: name }),
      ...this.model.get('controls').filter(c => c.group === name).map(c => this.control(c)), ...(extra[name] ?? [])))
    made.splice(1, 0, make('fieldset', { 'data-group': 'presets' }, make('legend', { textContent: 'presets' }), make('div', { className: 'presets' }, ...presets)))
    return made
  }
  control(c) {
    const about = { title: c.help, 'aria-label': c.label, 'data-name': c.name }, words = make('output')
    const input = c.kind === 'choice' ? make('select', { ...about, onchange: () => this.set({ [c.name]: input.value }) })
      : make('input', { ...about, type: c.kind === 'number' ? 'number' : 'range', min: c.low, max: c.high, step: c.step })
    if (c.kind === 'choice') this.fill(input, c.options)
    else input.oninput = () => { if (input.value !== '' && input.checkValidity()) this.set({ [c.name]: Number(input.value) }) }
    if (c.kind === 'slider') input.ondblclick = () => this.set({ [c.name]: c.default })
    this.inputs[c.name] = { input, words, c }
    return make('label', { className: `control ${c.kind}`, 'data-help': c.help }, make('span', { textContent: c.label }), input, words)
  }
  fill(select, options) {
    if ([...select.options].map(o => o.value).join('\n') === options.join('\n')) return
    select.replaceChildren(...options.map(name => make('option', { value: name, textContent: name })))
  }
  offer() {
    for (const name of ['clip', 'towards']) this.fill(this.inputs[name].input, this.model.get('clips'))
    this.show()
  }

  // What goes to the kernel and comes back. Changes are sent until they are answered.
  defaults() { return Object.fromEntries(Object.values(this.inputs).filter(({ c }) => c.kind === 'slider').map(({ c }) => [c.name, c.default])) }
  next() {
    const asked = (this.asked ?? this.model.get('asked')) + 1
    this.asked = asked
    this.sent.set(asked, performance.now())
    this.wait()
    return asked
  }
  get state() { return { ...this.model.get('state'), ...this.unanswered(() => true) } }
  get changes() { return this.unanswered(each => !each.brought) }      // what no button has brought along
  unanswered(wanted) { return Object.fromEntries([...this.pending].filter(([, each]) => wanted(each)).map(([name, each]) => [name, each.value])) }
  set(changes) {
    const asked = this.next()
    for (const [name, value] of Object.entries(changes)) this.pending.set(name, { value, asked })
    this.model.set({ changes: this.changes, asked })
    this.model.save_changes()
    this.show()
  }
  ask(what, facts = {}, buffers = []) {
    this.model.send({ do: what, changes: this.changes, asked: this.next(), ...facts }, undefined, buffers)
    for (const each of this.pending.values()) each.brought = true
  }
  async upload(input) {
    const file = input.files[0]
    input.value = ''
    if (!file) return
    if (file.size > this.model.get('words').max_bytes) return this.say(`${file.name}: ${this.model.get('words').upload}`, true)
    this.say(`reading ${file.name}`)
    this.ask('upload', { name: file.name }, [await file.arrayBuffer()])
  }
  answer() {
    const answered = this.model.get('answered'), since = this.sent.get(answered)
    if (since !== undefined) queueMicrotask(() => this.took.push(performance.now() - since))   // once the sound is taken
    for (const asked of this.sent.keys()) if (asked <= answered) this.sent.delete(asked)
    for (const [name, { asked }] of this.pending) if (asked <= answered) this.pending.delete(name)
    this.wait()
    this.show()
    if (!this.sent.size) this.say()
  }
  wait() {
    this.root.classList.toggle('is-busy', this.sent.size > 0)
    this.busy.textContent = this.sent.size ? 'working' : ''
  }
  show() {
    const { state } = this
    for (const [name, { input, words, c }] of Object.entries(this.inputs)) {
      const value = state[name]
      if (value === undefined) continue
      if (String(input.value) !== String(value) && !(document.activeElement === input && c.kind === 'number')) input.value = value
      if (c.kind === 'slider') {
        words.textContent = value === c.low && c.off ? 'off' : c.secs ? `${(value * c.secs).toFixed(2)} s` : Number(value.toFixed(2))
        input.closest('label').classList.toggle('moved', value !== c.default)
        input.setAttribute('aria-valuetext', words.textContent)
      }
    }
  }
  say(text, bad) {
    const [words, wrong] = text === undefined ? [this.model.get('message').text, this.model.get('message').bad] : [text, bad]
    this.message.textContent = words ?? ''
    this.message.classList.toggle('bad', !!wrong)
  }
  take(name) {
    const sound = this.model.get(name)
    if (!sound || !sound.pcm) return
    this.player.put(name, samplesOf(sound.pcm), sound.rate)
    if (name === this.player.heard) this.draw()
  }

  // What is heard and seen
  async toggle() {
    if (this.player.playing) this.player.pause()
    else await this.player.play()
    this.buttons()
  }
  listen(name) {
    this.player.hear(name)
    this.draw()
    this.buttons()
  }
  loop() { this.player.setLoop(!this.player.loop); this.buttons() }
  buttons() {
    this.playing.textContent = this.player.playing ? '❚❚ pause' : '▶ play'
    this.looping.setAttribute('aria-pressed', this.player.loop)
    for (const choice of this.choices) choice.setAttribute('aria-pressed', choice.dataset.name === this.player.heard)
  }
  seek(e) { const box = this.screen.getBoundingClientRect(); this.jump((e.clientX - box.left) / box.width * this.player.secs) }
  jump(secs) { this.player.move(Math.min(Math.max(0, secs), Math.max(0, this.player.secs - .01))) }
  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches('select, input[type=number]')) return
    const key = e.key.toLowerCase(), step = { arrowleft: -.5, arrowright: .5 }[key]
    if (key in KEYS) this.listen(KEYS[key])
    else if (key === ' ' && !e.target.matches('button')) this.toggle()
    else if (key === 'l') this.loop()
    else if (key === 'r') this.set(this.defaults())
    else if (step && e.target === this.screen) this.jump(this.player.position() + step)
    else return
    e.preventDefault()
  }
  download() {
    const sound = this.model.get(this.player.heard), name = `${this.state.clip} ${this.player.heard}`.replace(/[^\p{L}\p{N} _-]+/gu, '_').slice(0, 80)
    const link = make('a', { href: URL.createObjectURL(wavFile(sound.pcm, sound.rate)), download: `${name}.wav` })
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10000)
  }
  draw() {
    const { picture, columns } = this.model.get(this.player.heard)
    if (!picture) return
    const bands = picture.byteLength / columns, image = new ImageData(columns, bands)
    for (let i = 0; i < picture.byteLength; i++) image.data.set([...color[picture.getUint8(i)], 255], 4 * i)
    const small = new OffscreenCanvas(columns, bands), pen = this.screen.getContext('2d')
    small.getContext('2d').putImageData(image, 0, 0)
    pen.imageSmoothingEnabled = false
    pen.drawImage(small, 0, 0, this.screen.width, this.screen.height)
  }
  tick() {
    const at = this.player.position(), secs = this.player.secs
    this.head.style.left = `${secs ? 100 * at / secs : 0}%`
    const words = `${at.toFixed(1)} / ${secs.toFixed(1)} s`
    if (this.clock.textContent !== words) {
      this.clock.textContent = words
      this.screen.setAttribute('aria-valuenow', at.toFixed(1))
      this.screen.setAttribute('aria-valuemax', secs.toFixed(1))
    }
    this.frame = requestAnimationFrame(() => this.tick())
  }
}

function render({ model, el }) {
  const instrument = new Instrument(model, el)
  return () => instrument.close()
}
export default { render }
