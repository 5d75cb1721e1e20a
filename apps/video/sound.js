// Blocks of sound, played one after another by Web Audio, a little later than they arrive: the jitter buffer.

const BLOCK = 0.02; // seconds
const FIRST_LEAD = 0.08; // seconds that a block waits at first, so that a late one is still in time
const LONGEST_LEAD = 0.5;
const STEP = 0.02; // seconds more, after a block that was late

export const sound = {
  on: false,
  rate: 16000,
  context: null,
  begin: null, // when block 0 would be played, by the context's clock
  lead: FIRST_LEAD,
  gaps: 0,
  delay: 0,

  async toggle() {
    this.on = !this.on;
    if (this.on) {
      this.context = new AudioContext({ sampleRate: this.rate });
      Object.assign(this, { begin: null, lead: FIRST_LEAD, gaps: 0, delay: 0 });
      await this.context.resume();
    } else {
      await this.context.close();
    }
  },

  take(number, age, bytes) {
    if (!this.on || this.context.state !== "running") return;
    const samples = new DataView(bytes);
    const buffer = this.context.createBuffer(1, bytes.byteLength / 2, this.rate);
    const channel = buffer.getChannelData(0);
    for (let place = 0; place < channel.length; place += 1) {
      channel[place] = samples.getInt16(2 * place, true) / 32768;
    }
    const now = this.context.currentTime;
    let wait = this.begin === null ? 0 : this.begin + number * BLOCK - now;
    if (this.begin !== null && wait < 0) {
      this.gaps += 1;
      this.lead = Math.min(this.lead + STEP, LONGEST_LEAD);
    }
    if (this.begin === null || wait < 0 || wait > this.lead + LONGEST_LEAD) {
      this.begin = now + this.lead - number * BLOCK;
      wait = this.lead;
    }
    this.delay = age + wait;
    const player = new AudioBufferSourceNode(this.context, { buffer });
    player.connect(this.context.destination);
    player.start(now + wait);
  },

  words() {
    if (!this.on) return "off";
    return `${Math.round(1000 * this.delay)} ms, ${this.gaps} ${this.gaps === 1 ? "gap" : "gaps"}`;
  },
};
